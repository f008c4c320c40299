"""What is said of an answer once it has ended."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..i18n import _
from ..sanitize import one_line
from .asking import Ended
from .message import Message, State

if TYPE_CHECKING:
    from ..store import Message as Stored


_MOST_TOKENS: Final = 10**12


def figures(end: Ended) -> str:
    """Tokens a second from the server's own count, hidden below ten; the first token's time."""
    parts = []
    tokens = _count((end.usage or {}).get("completion_tokens"))
    if tokens >= 10 and end.first_token is not None:
        seconds = end.total - end.first_token
        if seconds > 0:
            parts.append(_("{n:.1f} tok/s").format(n=(tokens - 1) / seconds))
    if end.first_token is not None:
        parts.append(_("first after {n:.2f} s").format(n=end.first_token))
    return " · ".join(parts)


def reasoning_tokens(usage: dict[str, Any] | None) -> int | None:
    details = (usage or {}).get("completion_tokens_details")
    return _count(details.get("reasoning_tokens")) or None if isinstance(details, dict) else None


def _count(value: object) -> int:
    """A number of tokens as a server gives it, 0 where it is none that can be."""
    return value if isinstance(value, int) and 0 < value <= _MOST_TOKENS else 0


def shown(stored: "Stored") -> Message:
    """A stored message as it is drawn, an answer with its figures below it."""
    state = State(stored.state.value)
    if stored.role != "assistant":
        return Message(stored.role, stored.content, state=state, id=stored.id)
    seconds = stored.timings
    end = Ended(
        stored.content,
        stored.reasoning or "",
        stored.model,
        stored.usage,
        stored.finish_reason,
        _seconds(seconds.get("first_token_seconds")),
        _seconds(seconds.get("total_seconds")) or 0.0,
        stored.error or "",
    )
    return replace(ended(end, state, _seconds(seconds.get("reasoning_seconds"))), id=stored.id)


def _seconds(value: object) -> float | None:
    return value if isinstance(value, float) else None


def ended(end: Ended, state: State, thought: float | None, *, again: str = "") -> Message:
    """An answer that has ended, with its figures below it; `again` is the key that asks again."""
    note = " · ".join(part for part in (one_line(end.model or ""), figures(end)) if part)
    if end.finish_reason == "length":
        note = _("Cut at the limit of tokens") + (f" · {note}" if note else "")
    if end.error:
        note = _("{key} asks again").format(key=again) if again else ""
    return Message(
        "assistant",
        end.content,
        end.reasoning,
        state,
        end.error,
        note,
        thought_seconds=thought,
        thought_tokens=reasoning_tokens(end.usage),
    )
