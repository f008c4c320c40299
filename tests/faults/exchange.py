"""One request under way: what a behaviour may do with its connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from .answers import Ask, Choice, stream_events, whole_body
from .log import Record
from .metrics import Engine
from .orders import Style, share

__all__ = ["JSON", "Exchange", "NullResponse", "abort"]

JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}

# A paced answer counts its tokens at least this often, as a server's metrics do. Seconds.
TICK = 0.05


class NullResponse(web.StreamResponse):
    """Stands for a response that a behaviour has sent by itself, or has not sent at all."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def abort(transport: asyncio.BaseTransport | None) -> None:
    """End a connection with a RST instead of a FIN."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.Transport):
        transport.abort()


@dataclass(slots=True)
class Exchange:
    """A request with its answer made, ready to be sent rightly or wrongly."""

    request: web.Request
    engine: Engine
    ask: Ask
    style: Style
    choices: list[Choice]
    record: Record

    def body(self) -> dict[str, Any]:
        return whole_body(self.ask, self.choices, style=self.style, attempt=self.record.attempt)

    def events(self) -> Iterator[tuple[bytes, int]]:
        return stream_events(self.ask, self.choices, style=self.style, attempt=self.record.attempt)

    def is_instant(self) -> bool:
        return not (self.style.latency or self.style.jitter or self.style.rate)

    async def first_byte(self) -> None:
        """Wait as long as the style's latency and jitter say."""
        more = self.style.jitter
        if more:
            more *= share(f"jitter/{self.ask.key}/{self.record.attempt}")
        if self.style.latency + more:
            await asyncio.sleep(self.style.latency + more)

    async def pace(self, tokens: int) -> None:
        """Let the engine bring forth tokens at the style's rate."""
        rate = self.style.rate
        if not rate:
            self.engine.generated += tokens
            return
        step = max(1, int(rate * TICK))
        while tokens > 0:
            now = min(step, tokens)
            await asyncio.sleep(now / rate)
            self.engine.generated += now
            tokens -= now

    def json(self, body: object, status: int = 200) -> web.Response:
        return web.Response(body=orjson.dumps(body), status=status, headers=JSON)

    async def open(self, *, length: int | None = None) -> web.StreamResponse:
        """Begin a response that is written bit by bit; chunked unless a length is given."""
        response = web.StreamResponse(headers=EVENTS if self.ask.stream else JSON)
        response.content_length = length
        await response.prepare(self.request)
        return response

    async def payload(self) -> bytes:
        """The whole right body, as bytes: the JSON or all events of the stream."""
        if self.ask.stream:
            return b"".join(event for event, _ in self.events())
        return orjson.dumps(self.body())

    async def write_some(self, after: int | None) -> web.StreamResponse:
        """The first part of the right body: ``after`` events, or half of it."""
        if not self.ask.stream:
            whole = await self.payload()
            response = await self.open(length=len(whole))
            await response.write(whole[: len(whole) // 2])
            return response
        events = list(self.events())
        upto = after if after is not None else (len(events) - 1) // 2
        response = await self.open()
        for event, tokens in events[: min(upto, len(events) - 1)]:
            await self.pace(tokens)
            await response.write(event)
        return response

    async def reset(self) -> NullResponse:
        """RST, once what was written is on its way."""
        # A RST right behind the data could overtake it in the client's kernel.
        await asyncio.sleep(0.02)
        abort(self.request.transport)
        return NullResponse()
