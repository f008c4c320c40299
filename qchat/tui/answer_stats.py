"""What is said of an answer once it has ended."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import is_too_long
from ..i18n import _
from ..sanitize import one_line
from .chat.request_thread import AnswerResult
from .transcript.message import AnswerState, Message

if TYPE_CHECKING:
    from ..store import StoredMessage as Stored

Usage = Mapping[str, Any]


class KeyHints(NamedTuple):
    """The keys that ask again, that go on with an answer, that edit the question, that take out
    messages, and that begin a new conversation; '' where there are none."""

    again: str = ""
    go_on: str = ""
    edit: str = ""
    drop: str = ""
    new: str = ""


NO_WAYS: Final = KeyHints()


_MOST_TOKENS: Final = 10**12


def figures(usage: Usage | None, first_token: float | None, total: float | None) -> tuple[str, ...]:
    """Tokens a second from the server's own count, hidden below ten; the first token's time."""
    rate = tokens_per_second(usage, first_token, total)
    parts = [] if rate is None else [_("{n:.1f} tok/s").format(n=rate)]
    if first_token is not None:
        parts.append(_("first after {n:.2f} s").format(n=first_token))
    return tuple(parts)


def result_stats(end: AnswerResult) -> tuple[str, ...]:
    """The same for an answer that has ended."""
    return figures(end.usage, end.first_token, end.total)


def stored_stats(stored: "Stored") -> tuple[str, ...]:
    """The same for a stored answer."""
    first_token, total = (_seconds(stored, f"{name}_seconds") for name in ("first_token", "total"))
    return figures(stored.usage, first_token, total)


def tokens_per_second(
    usage: Usage | None, first_token: float | None, total: float | None
) -> float | None:
    """The server's count over the time from the first token to the end; None below ten tokens."""
    tokens = _count((usage or {}).get("completion_tokens")) or 0
    if tokens < 10 or first_token is None or total is None:
        return None
    return (tokens - 1) / (total - first_token) if total > first_token else None


def tokens_of(usage: Usage | None) -> int | None:
    """Tokens of a question, all before it, and its answer; None where the server did not say."""
    names = ("prompt_tokens", "completion_tokens")
    asked, answered = (_count((usage or {}).get(name)) for name in names)
    return None if asked is None or answered is None else asked + answered


def reasoning_tokens(usage: Usage | None) -> int | None:
    """Tokens of the thinking, where the server tells them apart."""
    details = (usage or {}).get("completion_tokens_details")
    return _count(details.get("reasoning_tokens")) or None if isinstance(details, dict) else None


def _count(value: object) -> int | None:
    """A number of tokens as a server gives it, None where it is none that can be."""
    return value if isinstance(value, int) and 0 <= value <= _MOST_TOKENS else None


def message_from_stored(
    stored: "Stored", version: tuple[int, int] | None = None, *, ways: KeyHints = NO_WAYS
) -> Message:
    """A stored message as it is drawn, an answer with its figures; `version` as in `Message`."""
    state = AnswerState(stored.state.value)
    if stored.role != "assistant":
        return Message(stored.role, stored.content, state=state, id=stored.id, version=version)
    end = AnswerResult(
        stored.content,
        stored.reasoning or "",
        stored.model,
        stored.usage,
        stored.finish_reason,
        _seconds(stored, "first_token_seconds"),
        _seconds(stored, "total_seconds") or 0.0,
        stored.error or "",
    )
    message = message_from_result(end, state, _seconds(stored, "reasoning_seconds"), ways=ways)
    return replace(message, id=stored.id, version=version)


def _seconds(stored: "Stored", name: str) -> float | None:
    value = stored.timings.get(name)
    return value if isinstance(value, float) else None


def message_from_result(
    end: AnswerResult, state: AnswerState, thought: float | None, *, ways: KeyHints = NO_WAYS
) -> Message:
    """An answer that has ended, with its figures below it, or the ways on where it failed."""
    note = " · ".join(part for part in (one_line(end.model or ""), *result_stats(end)) if part)
    if end.finish_reason == "length":
        note = _("Cut at the limit of tokens") + (f" · {note}" if note else "")
    if end.error:
        note = " · ".join(words.format(key=key) for key, words in _ways_on(end, ways) if key)
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


def _ways_on(end: AnswerResult, ways: KeyHints) -> Iterator[tuple[str, str]]:
    """Where an answer failed: keys, and what each does about it."""
    if is_too_long(end.error):  # the same once more fails once more
        yield ways.edit, _("{key} edits the question")
        yield ways.drop, _("{key} takes out messages")
        yield ways.new, _("{key} begins anew")
        return
    yield ways.again, _("{key} asks again")
    if end.content.strip():
        yield ways.go_on, _("{key} goes on with what came")
