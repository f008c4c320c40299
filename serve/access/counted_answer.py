"""vLLM's answer to a request for work, on its way to the client: its tokens are counted."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from . import answers
from .accounts import Usage
from .denials import is_anthropic
from .request_body import WorkRequest
from .response_usage import UsageReader

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class CountedAnswer:
    """A ``send`` that passes each message on at once, and reads the usage in it."""

    def __init__(self, work: WorkRequest, path: str, send: Send) -> None:
        self._work = work
        self._path = path
        self._send = send
        self._status: int | None = None
        self._reader: UsageReader | None = None

    async def __call__(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start":
            self._begin(message)
        elif self._reader is not None and message["type"] == "http.response.body":
            body = message.get("body", b"")
            more = bool(message.get("more_body"))
            rest = self._reader.feed(body, last=not more)
            if rest is not body:
                if more and not rest:
                    return
                message = {**message, "body": rest}
        await self._send(message)

    def _begin(self, message: Message) -> None:
        self._status = message["status"]
        if self._status == 200:
            kind = answers.media_type(message)
            if kind in (b"application/json", b"text/event-stream"):
                stream = kind == b"text/event-stream"
                self._reader = UsageReader(stream, self._work.hides_usage)
        elif message["status"] >= 400 and is_anthropic(self._path):
            change = answers.in_anthropic_form
            self._send = answers.Rewriter(self._send, change, b"application/json")

    def usage(self, reserved: float) -> Usage:
        """Return the tokens of the request. Where the client left before an answer came, those
        that were reserved count."""
        guess = self._work.prompt_tokens
        if self._reader is not None:
            return self._reader.usage(guess)
        if self._status is None:
            return Usage(guess, max(0, int(reserved) - guess))
        return Usage(0, 0)
