"""One streamed answer, from the chunks of the chat API to what is known of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Code, Failure
from ..i18n import _
from ..json_types import JsonObject
from .client import Client, ServerError
from .reasoning import Continuation, Event, ReasoningSplitter


@dataclass(slots=True)
class StreamProgress:
    """What is known of an answer so far. Times are seconds since the request was sent."""

    splitter: ReasoningSplitter | Continuation = field(default_factory=ReasoningSplitter)
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
        said: JsonObject = {
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
        return said if error is None else {**said, "error": error}


def stream_chunks(
    client: Client, body: JsonObject, take: Callable[[JsonObject], None], progress: StreamProgress
) -> None:
    """Ask, and give each chunk to `take`, which feeds `progress`. Raises `ServerError`."""
    try:
        for chunk in client.stream(body):
            try:
                take(chunk)
            except (TypeError, AttributeError, KeyError) as e:
                said = _("a part of the answer has not the shape of the chat API")
                raise ServerError(Failure(Code.BAD_RESPONSE, said), client.endpoint) from e
            if progress.finish_reason is not None and not progress.wants_usage:
                return
    except ServerError:
        if progress.finish_reason is None:
            raise
        # The answer is whole: what breaks after it does no harm.
    if progress.finish_reason is None:
        if progress.choices:
            failure = Failure(Code.DISCONNECTED, _("the stream ended before the answer did"))
        else:
            failure = Failure(Code.BAD_RESPONSE, _("no answer was in it"))
        raise ServerError(failure, client.endpoint)


def apply_chunk(progress: StreamProgress, chunk: Mapping[str, Any]) -> Iterable[Event]:
    """What a chunk says, noted in `progress` on the way. Raises TypeError for a wrong shape."""
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
        yield from progress.splitter.feed(choice.get("delta") or {})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
