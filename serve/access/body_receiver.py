"""A request's body, read whole within a bound. How long it may take is `http_protocol`'s."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .denials import Denial, too_large
from .head import Head

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_DRAINED_BYTES = 8 << 20
_DRAIN_SECONDS = 2.0
_LENGTH = re.compile(rb"[0-9]{1,18}")


async def read(receive: Receive, max_bytes: int) -> bytes | Denial | None:
    """Return the whole body; the denial of one that is too large; None where the client is gone."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        return body if len(body) <= max_bytes else too_large(max_bytes)
    pieces = [body]
    size = len(body)
    while message["type"] == "http.request" and size <= max_bytes:
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
    return too_large(max_bytes) if size > max_bytes else None


async def drain(receive: Receive, length: int) -> None:
    """Read a body that is refused, for a moment: one of `length` bytes, if that is not much."""
    if length > _DRAINED_BYTES:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while (message := await receive())["type"] == "http.request":
                if not message.get("more_body"):
                    return


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives `body`, then what follows it: the end of the client."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


def declared_length(method: str, head: Head) -> int | None:
    """Return the declared length, which the HTTP server enforces; None where none is usable."""
    if head.values(b"transfer-encoding"):
        return None
    lengths = head.values(b"content-length")
    if not lengths:
        # Only a request that needs no body has neither header.
        return 0 if method in ("GET", "OPTIONS") else None
    if len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]):
        return int(lengths[0])
    return None
