"""Who answers at a server's address while no vLLM runs there (--idle-stop).

The doorkeeper accepts connections in a thread of its own, reads the head of each request without
consuming it, and answers what needs no model: /health, /metrics, and every denial, by the rules of
the access layer. An allowed request knocks, and waits until its connection can be handed over.
"""

import asyncio
import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...processes import raise_file_limit
from ..access.access_rules import AccessRules
from ..access.denials import Denial
from ..access.gate import Caller
from ..access.head import Head
from ..access.layer import Access, Message
from ..access.routes import METRICS, OPEN
from ..access.served_routes import ServedRoutes
from .request_head import RequestHead, peek

_OWN_FILES = 64
MAX_CONNECTIONS = 1024  # that wait, or whose head is being read
_RETRY_AFTER = b"30"  # seconds
_WRITE_TIMEOUT = 5.0  # seconds for a client to take an answer
_LINGER = 1.0  # seconds in which the rest of a request is read, so that the answer is not lost

Deliver = Callable[[socket.socket], None]

NOT_READY = Denial(
    503,
    "server_not_ready",
    "The server is starting, or could not be started; retry later.",
    ((b"retry-after", _RETRY_AFTER),),
)


class Doorkeeper:
    """Accepts the connections of one listening socket while it is asked to."""

    def __init__(
        self,
        listener: socket.socket,
        rules: AccessRules,
        knock: Callable[[], None],
        variables: Mapping[str, str] = MappingProxyType({}),
        folder: Path | None = None,
    ) -> None:
        """`listener` listens; `knock` is called in another thread when an allowed request has
        come. `folder` is where the access layer writes which routes vLLM has. Raises `UsageError`
        for invalid keys."""
        self._listener = listener
        listener.setblocking(False)
        # Some files are the supervisor's own: its log, the record, vLLM's pipes.
        self._most = max(1, raise_file_limit(MAX_CONNECTIONS + _OWN_FILES) - _OWN_FILES)
        self._access = Access(self._unreachable, rules, {**os.environ, **variables})
        self._knock = knock
        self._folder = folder
        self._routes: ServedRoutes | None = None  # vLLM's, once it has run
        self._held: list[socket.socket] = []
        self._open: set[socket.socket] = set()
        self._deliver: Deliver | None = None
        self._refuses_until = 0.0
        self._is_accepting = False
        self._accepts_on = False  # also while there are too few files to accept
        self.is_healthy = False  # what /health says
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="doorkeeper", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @staticmethod
    async def _unreachable(_scope: Message, _receive: Any, _send: Any) -> None:
        raise AssertionError("the doorkeeper passes nothing on")

    # For the supervisor's thread.

    def attend(self, *, is_healthy: bool) -> None:
        """Accept connections from now on."""
        self.is_healthy = is_healthy
        if self._folder is not None:
            self._routes = ServedRoutes.read(self._folder) or self._routes
        self._call(self._attend)

    def waiting(self) -> int:
        """Return how many allowed requests wait."""
        return len(self._held)

    def hand_over(self, deliver: Deliver, *, accepts_on: bool = False) -> None:
        """Stop accepting, unless `accepts_on`, and give every connection with a request to
        `deliver`, those whose head is still being read when that is there."""
        self._call(self._hand_over, deliver, accepts_on)

    def refuse(self, seconds: float) -> None:
        """Refuse the requests that wait, and those that come within `seconds`."""
        self._call(self._refuse, time.monotonic() + seconds)

    def close(self) -> None:
        """Close all connections and the listening socket; again, it does nothing."""
        if not self._thread.is_alive():  # nobody would call anything any more
            return
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._listener.close()

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run `function` in the doorkeeper's thread, and wait for its end."""
        done = threading.Event()

        def call() -> None:
            try:
                function(*arguments)
            finally:
                done.set()

        self._loop.call_soon_threadsafe(call)
        done.wait(30.0)

    # In the doorkeeper's thread.

    def _attend(self) -> None:
        self._deliver = None
        self._accept_on()

    def _accept_on(self) -> None:
        self._accepts_on = True
        if not self._is_accepting:
            self._is_accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _stop_accepting(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def _hand_over(self, deliver: Deliver, accepts_on: bool) -> None:
        self._accepts_on = accepts_on
        if not accepts_on:
            self._stop_accepting()
        self._deliver = deliver
        held, self._held = self._held, []
        for connection in held:
            self._pass_on(connection)

    def _refuse(self, deadline: float) -> None:
        self._refuses_until = deadline
        held, self._held = self._held, []
        for connection in held:
            self._start(self._answer_and_close(connection, None, NOT_READY))

    def _close(self) -> None:
        self._accepts_on = False
        self._stop_accepting()
        for task in self._tasks:
            task.cancel()
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._held.clear()

    def _accept(self) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError as error:  # nobody, or gone again
            if error.errno in (errno.EMFILE, errno.ENFILE):  # the socket stays readable
                self._stop_accepting()
                self._loop.call_later(1.0, self._resume)
            return
        if len(self._open) >= self._most:
            connection.close()
            return
        connection.setblocking(False)
        self._open.add(connection)
        self._start(self._receive(connection))

    def _resume(self) -> None:
        if self._accepts_on:
            self._accept_on()

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pass_on(self, connection: socket.socket) -> None:
        """Give the connection to vLLM's process, or hold it until there is one."""
        if self._deliver is None:
            self._held.append(connection)
            self._knock()
            return
        try:
            self._deliver(connection)
        except OSError:  # vLLM has ended just now; nothing of the request was read
            self._start(self._answer_and_close(connection, None, NOT_READY))
            return
        self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        connection.close()

    async def _receive(self, connection: socket.socket) -> None:
        try:
            head = await peek(connection)
        except Exception:
            self._drop(connection)
            raise
        if isinstance(head, Denial):
            await self._answer_and_close(connection, None, head)
        elif head is None:
            self._drop(connection)
        elif self._deliver is not None:  # vLLM runs, and answers itself
            self._pass_on(connection)
        else:
            scope = {**head.scope, "app": self._routes}
            decision = self._access.gate.decide(scope)
            own = self._own_answer(decision, scope) if isinstance(decision, Caller) else decision
            if own is None:
                self._pass_on(connection)
            else:
                await self._answer_and_close(connection, head, own)

    def _own_answer(self, caller: Caller, scope: Message) -> Denial | str | bytes | None:
        """Return what is answered to an allowed request here; None for one that needs vLLM."""
        if caller.route in OPEN:
            return "" if self.is_healthy else NOT_READY
        if caller.route == METRICS:
            return metrics(self.waiting())
        if not self._access.gate.needs_key(caller.route):
            return preflight(caller.head, self._access.rules.allowed_origins)
        if (denial := self._access.head_denial(caller, scope)) is not None:
            return denial
        return NOT_READY if time.monotonic() < self._refuses_until else None

    async def _answer_and_close(
        self, connection: socket.socket, head: RequestHead | None, answer: Denial | str | bytes
    ) -> None:
        try:
            data = await self._response(head, answer)
            await asyncio.wait_for(self._loop.sock_sendall(connection, data), _WRITE_TIMEOUT)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._read_rest(connection), _LINGER)
        except (OSError, TimeoutError):
            pass  # the client is gone, or does not read
        finally:
            self._drop(connection)

    async def _read_rest(self, connection: socket.socket) -> None:
        while await self._loop.sock_recv(connection, 1 << 16):
            pass

    async def _response(self, head: RequestHead | None, answer: Denial | str | bytes) -> bytes:
        """Return the bytes of a response, a denial with the headers that the layer gives it."""
        if isinstance(answer, bytes):
            return answer
        messages: list[Message] = []

        async def send(message: Message) -> None:
            messages.append(message)

        if isinstance(answer, Denial):
            scope = head.scope if head else {"method": "GET", "path": "/", "headers": []}
            await self._access.deny(answer, scope, send)
            return response(messages[0]["status"], messages[0]["headers"], messages[1]["body"])
        content_type = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        body = answer.encode()
        length = (b"content-length", str(len(body)).encode())
        return response(200, [content_type, length], body)


def response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return an HTTP/1.1 response that ends its connection."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}".encode()]
    lines += [name + b": " + value for name, value in headers if name != b"connection"]
    return b"\r\n".join([*lines, b"connection: close", b"", body])


def preflight(head: Head, allowed: tuple[str, ...]) -> bytes:
    """Return the response to a browser's CORS preflight, which has no key and wakes nobody."""
    origin, method = head.values(b"origin"), head.values(b"access-control-request-method")
    plain = (b"content-type", b"text/plain; charset=utf-8")
    if len(origin) != 1 or not ("*" in allowed or origin[0].decode("latin-1") in allowed):
        return response(400, [plain, (b"content-length", b"22")], b"Disallowed CORS origin")
    headers = [plain, (b"content-length", b"2"), (b"vary", b"Origin")]
    headers += [(b"access-control-allow-origin", origin[0])]
    headers += [(b"access-control-allow-methods", method[0])]
    requested = head.values(b"access-control-request-headers")
    headers += [(b"access-control-allow-headers", each) for each in requested]
    return response(200, headers, b"OK")


def metrics(waiting: int) -> str:
    """Return the exposition of a server without a running vLLM."""
    return (
        "# HELP qchat_asleep Whether no vLLM runs, and a request starts it.\n"
        "# TYPE qchat_asleep gauge\n"
        "qchat_asleep 1\n"
        "# HELP qchat_requests_held Requests that wait until vLLM has started.\n"
        "# TYPE qchat_requests_held gauge\n"
        f"qchat_requests_held {waiting}\n"
    )
