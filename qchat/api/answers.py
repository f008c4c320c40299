"""The answer of a model as a Python program gets it: whole, or piece by piece."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..json_types import JsonObject
from .reasoning import ContentDelta, Reclassified
from .stream import StreamProgress, apply_chunk


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of an answer; zeros where the server does not tell."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.completion_tokens


class Answer(str):
    """The text of an answer, with what came beside it.

    `reasoning` is what the model thought, None where it did not; `usage` counts tokens;
    `finish_reason` is ``stop``, ``length`` (the token limit cut it), ``tool_calls`` or the server's
    own word; `seconds` is the time from the request to the end, `first_token_seconds` that to the
    first piece (None where it was not streamed). `raw` is the response's body, or the last chunk.
    """

    reasoning: str | None
    usage: Usage
    model: str | None
    finish_reason: str | None
    seconds: float
    first_token_seconds: float | None
    raw: JsonObject

    def __new__(cls, content: str | None = "", **fields: Any) -> "Answer":
        """Make an answer with these fields."""
        answer = super().__new__(cls, content or "")
        answer.reasoning = fields.get("reasoning")
        answer.usage = fields.get("usage") or Usage()
        answer.model = fields.get("model")
        answer.finish_reason = fields.get("finish_reason")
        answer.seconds = fields.get("seconds", 0.0)
        answer.first_token_seconds = fields.get("first_token_seconds")
        answer.raw = fields.get("raw") or {}
        return answer

    @property
    def content(self) -> str:
        """The text as a plain `str`."""
        return str.__str__(self)

    @property
    def is_cut(self) -> bool:
        """Whether the token limit ended it."""
        return self.finish_reason == "length"


def answer_of_body(body: JsonObject, content: str | None, **fields: Any) -> Answer:
    """The answer by a response body whose first choice has this content."""
    model = body.get("model")
    return Answer(
        content,
        usage=_usage(body.get("usage")),
        model=model if isinstance(model, str) else None,
        raw=body,
        **fields,
    )


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    numbers = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    return Usage(*(n if isinstance(n, int) else 0 for n in numbers))


@dataclass(slots=True)
class AnswerBuilder:
    """Makes pieces of text, and at the end an `Answer`, of the chunks of a stream."""

    progress: StreamProgress = field(default_factory=lambda: StreamProgress(wants_usage=True))
    started: float = field(default_factory=time.monotonic)
    pieces: list[str] = field(default_factory=list)  # since they were last taken
    last: JsonObject = field(default_factory=dict)

    def add(self, chunk: JsonObject) -> None:
        """Take a chunk. Raises TypeError, AttributeError or KeyError for a wrong format."""
        self.last = chunk
        for event in apply_chunk(self.progress, chunk):
            if self.progress.first_token is None:
                self.progress.first_token = time.monotonic() - self.started
            self._take(event)

    def _take(self, event: object) -> None:
        if isinstance(event, ContentDelta):
            self.pieces.append(event.text)
        elif isinstance(event, Reclassified):
            self.pieces.clear()

    def take(self) -> list[str]:
        """The pieces of text that have come since the last call."""
        pieces, self.pieces = self.pieces, []
        return pieces

    def end(self) -> None:
        """End the stream; `take` has its last pieces then."""
        for event in self.progress.splitter.finish():
            self._take(event)
        self.progress.total = time.monotonic() - self.started

    def answer(self) -> Answer:
        """The answer as far as it has come."""
        answer = self.progress.splitter.answer
        return Answer(
            answer.content,
            reasoning=answer.reasoning,
            usage=_usage(self.progress.usage),
            model=self.progress.model,
            finish_reason=self.progress.finish_reason,
            seconds=self.progress.total,
            first_token_seconds=self.progress.first_token,
            raw=self.last,
        )


class AnswerStream(Iterator[str], AsyncIterator[str]):
    """The pieces of an answer's text as they come: ``for`` for `Client.stream`, ``async for`` for
    `Client.astream`.

    `answer` is the whole answer at the end, and what came until an early end. Pieces of reasoning
    are not yielded; `reasoning` has them so far.
    """

    def __init__(
        self,
        builder: AnswerBuilder,
        pieces: Iterator[str] | None = None,
        async_pieces: AsyncIterator[str] | None = None,
    ) -> None:
        self._builder = builder
        self._pieces = pieces
        self._async_pieces = async_pieces
        self._answer: Answer | None = None

    def __iter__(self) -> "AnswerStream":
        return self

    def __next__(self) -> str:
        if self._pieces is None:
            raise TypeError("use `async for` over Client.astream")
        return next(self._pieces)

    def __aiter__(self) -> "AnswerStream":
        return self

    async def __anext__(self) -> str:
        if self._async_pieces is None:
            raise TypeError("use `for` over Client.stream")
        return await anext(self._async_pieces)

    @property
    def reasoning(self) -> str | None:
        """What the model has thought so far."""
        return self._builder.progress.splitter.answer.reasoning

    @property
    def answer(self) -> Answer:
        """The answer; before the last piece, what has come of it. Call it when you are done."""
        if self._answer is None:
            if not self._builder.progress.total:
                self._builder.end()
            self._answer = self._builder.answer()
        return self._answer

    def close(self) -> None:
        """End the request of `Client.stream`; the server stops generating."""
        if self._pieces is not None:
            self._pieces.close()  # type: ignore[attr-defined]

    async def aclose(self) -> None:
        """End the request of `Client.astream`."""
        if self._async_pieces is not None:
            await self._async_pieces.aclose()  # type: ignore[attr-defined]
