"""The result of an answer, its figures, and how it is drawn once it has ended."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...errors import is_too_long
from ...i18n import _
from ...json_types import JsonObject
from ...message_state import MessageState
from ...sanitize import one_line
from .message import Message
from .pictures import picture_urls

if TYPE_CHECKING:
    from ...store import StoredMessage as Stored

Usage = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """How an answer ended. Times are in seconds; `error` is a sentence, '' for success."""

    content: str
    reasoning: str
    model: str | None
    usage: JsonObject | None
    finish_reason: str | None
    first_token: float | None
    total: float
    error: str = ""


class KeyHints(NamedTuple):
    """The keys of the actions that a failed answer suggests; '' where there are none."""

    retry: str = ""
    resume: str = ""
    edit: str = ""
    drop: str = ""
    new: str = ""


NO_HINTS: Final = KeyHints()
_MAX_TOKENS: Final = 10**12


def figures(usage: Usage | None, first_token: float | None, total: float | None) -> tuple[str, ...]:
    """Tokens per second by the server's count, and the time to first token, as texts."""
    rate = tokens_per_second(usage, first_token, total)
    parts = [] if rate is None else [_("{n:.1f} tok/s").format(n=rate)]
    if first_token is not None:
        parts.append(_("first after {n:.2f} s").format(n=first_token))
    return tuple(parts)


def result_stats(result: AnswerResult) -> tuple[str, ...]:
    """The figures of a result."""
    return figures(result.usage, result.first_token, result.total)


def stored_stats(stored: "Stored") -> tuple[str, ...]:
    """The figures of a stored answer."""
    first_token, total = (_seconds(stored, f"{name}_seconds") for name in ("first_token", "total"))
    return figures(stored.usage, first_token, total)


def tokens_per_second(
    usage: Usage | None, first_token: float | None, total: float | None
) -> float | None:
    """Tokens per second between the first token and the end; None below ten tokens."""
    tokens = _count((usage or {}).get("completion_tokens")) or 0
    if tokens < 10 or first_token is None or total is None:
        return None
    return (tokens - 1) / (total - first_token) if total > first_token else None


def total_tokens(usage: Usage | None) -> int | None:
    """Tokens of prompt and completion; None where the server did not report both."""
    prompt, completion = (
        _count((usage or {}).get(name)) for name in ("prompt_tokens", "completion_tokens")
    )
    return None if prompt is None or completion is None else prompt + completion


def reasoning_tokens(usage: Usage | None) -> int | None:
    """Tokens of the reasoning, where the server reports them."""
    details = (usage or {}).get("completion_tokens_details")
    return _count(details.get("reasoning_tokens")) or None if isinstance(details, dict) else None


def _count(value: object) -> int | None:
    """A number of tokens as a server reports it; None where it is not plausible."""
    return value if isinstance(value, int) and 0 <= value <= _MAX_TOKENS else None


def message_from_stored(
    stored: "Stored", version: tuple[int, int] | None = None, *, hints: KeyHints = NO_HINTS
) -> Message:
    """A stored message for the transcript; `version` as in `Message`."""
    if stored.role != "assistant":
        return Message(
            stored.role,
            stored.content,
            state=stored.state,
            id=stored.id,
            version=version,
            pictures=picture_urls(stored.extra),
        )
    result = AnswerResult(
        stored.content,
        stored.reasoning or "",
        stored.model,
        stored.usage,
        stored.finish_reason,
        _seconds(stored, "first_token_seconds"),
        _seconds(stored, "total_seconds") or 0.0,
        stored.error or "",
    )
    message = message_from_result(
        result, stored.state, _seconds(stored, "reasoning_seconds"), hints=hints
    )
    return message._replace(id=stored.id, version=version)


def _seconds(stored: "Stored", name: str) -> float | None:
    value = stored.timings.get(name)
    return value if isinstance(value, float) else None


def message_from_result(
    result: AnswerResult, state: MessageState, seconds: float | None, *, hints: KeyHints = NO_HINTS
) -> Message:
    """A result for the transcript, with its figures, or with key hints where it failed.

    `seconds` is how long the model was reasoning.
    """
    note = " · ".join(
        part for part in (one_line(result.model or ""), *result_stats(result)) if part
    )
    if result.finish_reason == "length":
        note = _("Truncated at the token limit") + (f" · {note}" if note else "")
    if result.error:
        note = " · ".join(
            text.format(key=key) for key, text in _failure_hints(result, hints) if key
        )
    return Message(
        "assistant",
        result.content,
        result.reasoning,
        state,
        result.error,
        note,
        thought_seconds=seconds,
        thought_tokens=reasoning_tokens(result.usage),
    )


def _failure_hints(result: AnswerResult, hints: KeyHints) -> Iterator[tuple[str, str]]:
    """The keys that help after a failure, each with its text."""
    if is_too_long(result.error):  # a retry would fail again
        yield hints.edit, _("{key} edits the question")
        yield hints.drop, _("{key} removes messages")
        yield hints.new, _("{key} begins a new conversation")
        return
    yield hints.retry, _("{key} retries")
    if result.content.strip():
        yield hints.resume, _("{key} continues the partial answer")
