"""The head of an HTTP request on an accepted connection, peeked at and not consumed."""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ..access import http_head
from ..access.denials import Denial

_POLL_INTERVAL = 0.05  # seconds between looks at a head that is not complete


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request as ASGI's scope for `Access`, and how many bytes its head has."""

    scope: dict[str, Any]
    size: int


async def peek(connection: socket.socket) -> RequestHead | Denial | None:
    """Return the request that waits on a non-blocking connection; None where the client is gone, or
    has sent nothing at all."""
    try:
        return await asyncio.wait_for(_peek(connection), http_head.TIMEOUT)
    except TimeoutError:
        return http_head.TOO_SLOW if _has_begun(connection) else None
    except OSError:
        return None


def _has_begun(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


async def _peek(connection: socket.socket) -> RequestHead | Denial | None:
    loop = asyncio.get_running_loop()
    while True:
        await _readable(loop, connection)
        data = connection.recv(http_head.MAX_BYTES, socket.MSG_PEEK)
        if not data:
            return None
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            return parse(data[: end + 4], connection.getpeername())
        if len(data) >= http_head.MAX_BYTES:
            return http_head.TOO_LARGE
        await asyncio.sleep(_POLL_INTERVAL)  # what was peeked at keeps the socket readable


async def _readable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    ready = loop.create_future()

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(connection.fileno(), set_ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection.fileno())


def parse(data: bytes, peer: Any = None) -> RequestHead | Denial:
    """Parse a complete head, with the blank line at its end."""
    import h11

    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=http_head.MAX_BYTES)
    try:
        parser.receive_data(data)
        request = parser.next_event()
    except h11.RemoteProtocolError:
        return http_head.INVALID
    if not isinstance(request, h11.Request):
        return http_head.INVALID
    target = request.target.decode("latin-1")
    if not target.startswith("/"):  # the absolute form
        try:
            parts = urlsplit(target)
        except ValueError:  # such as "http://["
            return http_head.INVALID
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    path, _mark, query = target.partition("?")
    scope = {
        "type": "http",
        "method": request.method.decode("ascii"),
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(bytes(name), bytes(value)) for name, value in request.headers],
        "client": tuple(peer[:2]) if isinstance(peer, tuple) else None,
    }
    return RequestHead(scope, len(data))
