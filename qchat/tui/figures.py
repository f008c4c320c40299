"""What is said of an answer once it has ended."""

from typing import TYPE_CHECKING, Any

from ..i18n import _
from ..sanitize import one_line
from .asking import Ended
from .message import Message, State

if TYPE_CHECKING:
    from ..store import Message as Stored


def figures(end: Ended) -> str:
    """Tokens a second from the server's own count, hidden below ten; the first token's time."""
    parts = []
    tokens = (end.usage or {}).get("completion_tokens")
    if isinstance(tokens, int) and tokens >= 10 and end.first_token is not None:
        seconds = end.total - end.first_token
        if seconds > 0:
            parts.append(_("{n:.1f} tok/s").format(n=(tokens - 1) / seconds))
    if end.first_token is not None:
        parts.append(_("first after {n:.2f} s").format(n=end.first_token))
    return " · ".join(parts)


def reasoning_tokens(usage: dict[str, Any] | None) -> int | None:
    details = (usage or {}).get("completion_tokens_details")
    tokens = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def shown(stored: "Stored", version: tuple[int, int] | None = None) -> Message:
    """A stored message as it is drawn; `version` as in `Message`."""
    seconds = stored.timings.get("reasoning_seconds")
    return Message(
        stored.role,
        stored.content,
        stored.reasoning or "",
        State(stored.state.value),
        stored.error or "",
        one_line(stored.model or "") if stored.role == "assistant" else "",
        thought_seconds=seconds if isinstance(seconds, float) else None,
        thought_tokens=reasoning_tokens(stored.usage),
        id=stored.id,
        version=version,
    )


def ended(end: Ended, state: State, thought: float | None, *, again: str) -> Message:
    """An answer that has ended, with its figures below it; `again` is the key that asks again."""
    note = " · ".join(part for part in (one_line(end.model or ""), figures(end)) if part)
    if end.finish_reason == "length":
        note = _("Cut at the limit of tokens") + (f" · {note}" if note else "")
    if end.error:
        note = _("{key} asks again").format(key=again)
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
