"""What is said of an answer once it has ended."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..i18n import _
from ..sanitize import one_line
from .asking import Ended
from .message import Message, State

if TYPE_CHECKING:
    from ..store import Message as Stored

Usage = Mapping[str, Any]


def figures(usage: Usage | None, first_token: float | None, total: float | None) -> tuple[str, ...]:
    """Tokens a second from the server's own count, hidden below ten; the first token's time."""
    rate = tokens_per_second(usage, first_token, total)
    parts = [] if rate is None else [_("{n:.1f} tok/s").format(n=rate)]
    if first_token is not None:
        parts.append(_("first after {n:.2f} s").format(n=first_token))
    return tuple(parts)


def figures_of(end: Ended) -> tuple[str, ...]:
    """The same for an answer that has ended."""
    return figures(end.usage, end.first_token, end.total)


def stored_figures(stored: "Stored") -> tuple[str, ...]:
    """The same for a stored answer."""
    timings = stored.timings
    return figures(stored.usage, timings.get("first_token_seconds"), timings.get("total_seconds"))


def tokens_per_second(
    usage: Usage | None, first_token: float | None, total: float | None
) -> float | None:
    """The server's count over the time from the first token to the end; None below ten tokens."""
    tokens = (usage or {}).get("completion_tokens")
    if not isinstance(tokens, int) or tokens < 10 or first_token is None or total is None:
        return None
    return (tokens - 1) / (total - first_token) if total > first_token else None


def tokens_of(usage: Usage | None) -> int | None:
    """Tokens of a question, all before it, and its answer; None where the server did not say."""
    asked, answered = ((usage or {}).get(f"{name}_tokens") for name in ("prompt", "completion"))
    return asked + answered if isinstance(asked, int) and isinstance(answered, int) else None


def reasoning_tokens(usage: Usage | None) -> int | None:
    """Tokens of the thinking, where the server tells them apart."""
    details = (usage or {}).get("completion_tokens_details")
    tokens = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def shown(stored: "Stored") -> Message:
    """A stored message as it is drawn."""
    seconds = stored.timings.get("reasoning_seconds")
    return Message(
        stored.role,
        stored.content,
        stored.reasoning or "",
        State(stored.state.value),
        stored.error or "",
        " · ".join([one_line(stored.model), *stored_figures(stored)]) if stored.model else "",
        thought_seconds=seconds if isinstance(seconds, float) else None,
        thought_tokens=reasoning_tokens(stored.usage),
        id=stored.id,
    )


def ended(end: Ended, state: State, thought: float | None, *, again: str) -> Message:
    """An answer that has ended, with its figures below it; `again` is the key that asks again."""
    note = " · ".join(part for part in (one_line(end.model or ""), *figures_of(end)) if part)
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
