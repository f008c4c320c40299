"""Bounds of a connection before its request reaches the access layer: sizes and times.

uvicorn's parser has none: a head of any size is collected, and a client may take for ever to send
one. `GuardedProtocol` is its protocol with such bounds; the launcher gives it to vLLM's server.
This module imports uvicorn; only the launcher imports it.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import http_head
from .denials import TOO_SLOW, Denial

BODY_TIMEOUT = 30.0
"""Seconds for a body, and one more for each `BYTES_PER_SECOND` that have come."""
BYTES_PER_SECOND = 1024
LINGER = 5.0
"""Seconds in which a client may read a denial that came before the end of its body."""
WRITE_TIMEOUT = 60.0
"""Seconds for which a client may take nothing of an answer while its buffers are full."""

_PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, with bounds."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._body_started = 0.0
        self._parsed_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._arm(http_head.TIMEOUT, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._disarm()
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the bounds."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes:
            if self._head_bytes > http_head.MAX_BYTES:
                self._refuse(http_head.TOO_LARGE)
            elif self._timer is None:  # a later request on this connection
                self._arm(http_head.TIMEOUT, self._head_is_late)
        elif self._in_body and self._timer is None:
            self._body_started = self.loop.time()
            self._arm(BODY_TIMEOUT, self._body_is_late)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the head where it comes together with a body."""
        self._parsed_bytes += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._parsed_bytes = 0

    def on_headers_complete(self) -> None:
        """The head is whole; the body begins."""
        if self.transport.is_closing():
            return
        self._disarm()
        self._in_head = False
        if self._parsed_bytes + len(self.url) > http_head.MAX_BYTES:
            self._refuse(http_head.TOO_LARGE)
            return
        self._in_body, self._body_bytes = True, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count the body."""
        if self._in_body:
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; the next head may follow."""
        if not self._in_body:  # a refused one
            return
        self._disarm()
        self._in_head, self._in_body, self._head_bytes = True, False, 0
        super().on_message_complete()
        if self.cycle is None:  # a request to change to another protocol
            return
        if self.cycle.response_complete and not self.transport.is_closing():
            # uvicorn began to wait for a next request with the response, and ceased with the rest
            # of the body.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Give a client that was answered before the end of its body a moment to read that."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._arm(LINGER, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the form of all other errors."""
        self._refuse(http_head.INVALID)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read its answer."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _arm(self, seconds: float, late: Any) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._arm(http_head.TIMEOUT, self._head_is_late)  # an answer is on its way: after it
        elif self._head_bytes:
            self._refuse(http_head.TOO_SLOW)
        else:
            self.transport.close()

    def _body_is_late(self) -> None:
        """Refuse the body, unless it comes fast enough; then look again when it would be late."""
        allowed = BODY_TIMEOUT + self._body_bytes / BYTES_PER_SECOND
        remaining = self._body_started + allowed - self.loop.time()
        if self.flow.read_paused:  # it is us who don't read
            remaining = max(remaining, BODY_TIMEOUT)
        if remaining > 0:
            self._arm(remaining, self._body_is_late)
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True  # the application's answer comes too late
            self._refuse(TOO_SLOW)

    def _refuse(self, denial: Denial) -> None:
        """Answer without the application, and close."""
        self._disarm()
        self._in_head = self._in_body = False
        if not self.transport.is_closing():
            body = denial.body()
            head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            head %= denial.status, _PHRASES[denial.status], len(body)
            self.transport.write(head + b"connection: close\r\n\r\n" + body)
            self.transport.close()
