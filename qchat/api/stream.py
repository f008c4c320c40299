"""A streamed response: from the chunks of the chat API to its content, usage and timings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Code, Failure
from ..i18n import _
from ..json_types import JsonObject
from .client import Client, ServerError
from .reasoning import Continuation, Event, ReasoningSplitter
from .tool_calls import ToolCalls


@dataclass(slots=True)
class StreamProgress:
    """The state of a response so far. Times are seconds since the request was sent.

    `shows_tool_calls`: tool calls become part of the content, as Markdown.
    """

    splitter: ReasoningSplitter | Continuation = field(default_factory=ReasoningSplitter)
    tool_calls: ToolCalls = field(default_factory=ToolCalls)
    shows_tool_calls: bool = False
    model: str | None = None
    usage: JsonObject | None = None
    finish_reason: str | None = None
    choices: int = 0
    wants_usage: bool = False
    first_token: float | None = None
    total: float = 0.0

    def as_json(self, error: JsonObject | None) -> JsonObject:
        """The object that `--json` prints."""
        answer = self.splitter.answer
        result: JsonObject = {
            "content": answer.content,
            "reasoning": answer.reasoning,
            "model": self.model,
            "usage": self.usage,
            "finish_reason": self.finish_reason,
            "timings": {
                "first_token_seconds": _rounded(self.first_token),
                "total_seconds": _rounded(self.total),
            },
        }
        if self.tool_calls.calls:
            result["tool_calls"] = [
                {"name": call.name, "arguments": call.arguments} for call in self.tool_calls.calls
            ]
        return result if error is None else {**result, "error": error}


def stream_chunks(
    client: Client,
    body: JsonObject,
    on_chunk: Callable[[JsonObject], None],
    progress: StreamProgress,
) -> None:
    """Stream a completion and call `on_chunk`, which updates `progress`. Raises `ServerError`."""
    try:
        for chunk in client.stream(body):
            try:
                on_chunk(chunk)
            except (TypeError, AttributeError, KeyError) as e:
                message = _("a chunk does not have the format of the chat API")
                raise ServerError(Failure(Code.BAD_RESPONSE, message), client.endpoint) from e
            if progress.finish_reason is not None and not progress.wants_usage:
                return
    except ServerError:
        if progress.finish_reason is None:
            raise
        # The response is complete; a later failure does not matter.
    if progress.finish_reason is None:
        if progress.choices:
            failure = Failure(
                Code.DISCONNECTED, _("the stream ended before the answer was complete")
            )
        else:
            failure = Failure(Code.BAD_RESPONSE, _("the response has no choices"))
        raise ServerError(failure, client.endpoint)


def apply_chunk(progress: StreamProgress, chunk: Mapping[str, Any]) -> Iterable[Event]:
    """Update `progress` by a chunk and yield its events. Raises TypeError for a wrong format."""
    if isinstance(chunk.get("model"), str):
        progress.model = chunk["model"]
    if isinstance(chunk.get("usage"), dict):
        progress.usage = chunk["usage"]
    for choice in chunk.get("choices") or []:
        progress.choices += 1
        if choice.get("index", 0) != 0:  # n > 1 is for batch
            continue
        if choice.get("finish_reason"):
            progress.finish_reason = str(choice["finish_reason"])
        delta = choice.get("delta") or {}
        yield from progress.splitter.feed(delta)
        text = progress.tool_calls.text(delta)
        if text and progress.shows_tool_calls:
            yield from progress.splitter.feed({"content": text})


def finish_stream(progress: StreamProgress) -> list[Event]:
    """Return the events of what is pending at the end of a response."""
    text = progress.tool_calls.end() if progress.shows_tool_calls else ""
    return [*progress.splitter.feed({"content": text}), *progress.splitter.finish()]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
