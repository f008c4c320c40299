"""A request's body, read whole within bounds of size and time."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from .denials import TOO_SLOW, Denial, too_large
from .gate import values

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Header = tuple[bytes, bytes]

PATIENCE = 30.0
"""Seconds that a client gets to send its body, and one more for each `BYTES_PER_SECOND`."""
BYTES_PER_SECOND = 1024
_LENGTH_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class BodyReceiver:
    """Reads the body of one request. `declared` is its length in bytes; None: not known."""

    def __init__(self, scope: Message, receive: Receive, max_bytes: int) -> None:
        self.declared = _content_length(scope)
        self._receive = receive
        self._max_bytes = max_bytes

    async def read(self) -> bytes | Denial | None:
        """Return the whole body; the denial of one that is too large or comes too slowly; None
        where the client is gone."""
        if self.declared is not None and self.declared > self._max_bytes:
            return too_large(self._max_bytes)
        pieces: list[bytes] = []
        size = 0
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(started + PATIENCE) as deadline:
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        return None
                    piece = message.get("body", b"")
                    pieces.append(piece)
                    size += len(piece)
                    if size > self._max_bytes:
                        return too_large(self._max_bytes)
                    if not message.get("more_body"):
                        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
                    deadline.reschedule(started + PATIENCE + size / BYTES_PER_SECOND)
        except TimeoutError:
            return TOO_SLOW

    def replay(self, body: bytes) -> Receive:
        """Return a ``receive`` that gives `body`, then what follows it: the end of the client."""
        first = {"type": "http.request", "body": body, "more_body": False}
        messages: list[Message] = [first]

        async def receive() -> Message:
            return messages.pop() if messages else await self._receive()

        return receive

    def headers(self, headers: Iterable[Header], body: bytes) -> list[Header]:
        """Return the request's headers with the length of `body`, where it was declared or differs;
        it is whole now."""
        if self.declared == len(body):
            return list(headers)
        rest = [header for header in headers if header[0].lower() not in _LENGTH_HEADERS]
        return [*rest, (b"content-length", str(len(body)).encode())]


def _content_length(scope: Message) -> int | None:
    """Return the declared length, which the HTTP server enforces; None where none is usable."""
    if values(scope["headers"], b"transfer-encoding"):
        return None
    lengths = values(scope["headers"], b"content-length")
    if not lengths:
        # Only a request that needs no body has neither header.
        return 0 if scope["method"] in ("GET", "OPTIONS") else None
    if len(lengths) == 1 and re.fullmatch(r"[0-9]{1,18}", lengths[0]):
        return int(lengths[0])
    return None
