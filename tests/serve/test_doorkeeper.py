"""The doorkeeper at a server's address: what it answers itself, and what it holds for vLLM."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from qchat.serve.access import http_head, request_gauge
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.layer import Access
from qchat.serve.access.limits import MAX_BODY_BYTES
from qchat.serve.supervision.doorkeeper import Doorkeeper

from tests import tools

from .asgi import KEY

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
BEARER = f"Authorization: Bearer {KEY}\r\n".encode()


@dataclass
class Door:
    """A doorkeeper that attends, and what came of it."""

    port: int
    keeper: Doorkeeper
    knocks: list[float] = field(default_factory=list)
    delivered: list[socket.socket] = field(default_factory=list)

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(data)
        return connection

    def ask(self, data: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of the answer."""
        with self.connect(data) as connection:
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response.status, response.read(), dict(response.getheaders())

    def wait_for_held(self, n: int) -> None:
        deadline = time.monotonic() + 20
        while self.keeper.waiting() != n:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def deliver(self, connection: socket.socket) -> None:
        self.delivered.append(connection.dup())


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Door]:
    monkeypatch.setenv("QCHAT_API_KEY", KEY)
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    knocks: list[float] = []
    keeper = Doorkeeper(
        listener,
        AccessRules(loopback=True, allowed_origins=("https://page.example",)),
        lambda: knocks.append(time.monotonic()),
        folder=tmp_path,
    )
    keeper.attend(is_healthy=True)
    door = Door(port, keeper, knocks)
    yield door
    keeper.close()
    for connection in door.delivered:
        connection.close()


def head(method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head("GET", "/health"), 200),
        (head("GET", "/metrics", f"Authorization: Bearer {KEY}"), 200),
        (head("GET", "/metrics"), 401),
        (head("GET", "/v1/models"), 401),
        (head("POST", "/v1/chat/completions", "Authorization: Bearer " + "x" * 40), 401),
        (head("POST", "/invocations", f"Authorization: Bearer {KEY}"), 404),
        (head("POST", "/%69nvocations", f"Authorization: Bearer {KEY}"), 404),
        (head("GET", "/v1/models").replace(b"localhost", b"evil.example"), 421),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /" + b"x" * http_head.MAX_BYTES + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_what_needs_no_model_is_answered_and_does_not_knock(
    door: Door, request_bytes: bytes, status: int
) -> None:
    answer, body, headers = door.ask(request_bytes)
    assert answer == status and headers["connection"] == "close"
    if status >= 400:
        assert b'"error"' in body
    assert door.knocks == [] and door.keeper.waiting() == 0


def test_a_body_that_is_too_large_does_not_knock(door: Door) -> None:
    length = f"Content-Length: {MAX_BODY_BYTES + 1}"
    request = head("POST", "/v1/chat/completions", f"Authorization: Bearer {KEY}", length)
    status, body, _headers = door.ask(request)
    assert status == 413 and b"request_too_large" in body and door.knocks == []


def test_routes_are_those_of_the_vllm_that_ran(door: Door, tmp_path: Path) -> None:
    """What the layer writes as the server starts is read when the server sleeps."""
    app = tools.require_module("starlette.applications").Starlette()
    for path in ("/v1/chat/completions", "/pause"):
        app.add_route(path, lambda _request: None, methods=["POST"])

    async def vllm(_scope: object, _receive: object, _send: object) -> None:
        pass

    environ = {"QCHAT_API_KEY": KEY, request_gauge.VARIABLE: str(tmp_path)}
    access = Access(vllm, AccessRules(loopback=True), environ)
    asyncio.run(access({"type": "lifespan", "app": app}, vllm, vllm))  # type: ignore[arg-type]

    def message(path: str) -> bytes:
        status, body, _headers = door.ask(head("POST", path, f"Authorization: Bearer {KEY}"))
        assert status == 404
        return body

    assert b"no such route" in message("/pause")
    door.keeper.attend(is_healthy=True)
    assert b"closed here" in message("/pause")
    assert b"does not have this route" in message("/v1/embeddings")
    assert door.knocks == []
    with door.connect(POST + BEARER + b"\r\n{}"):
        door.wait_for_held(1)


def test_a_denial_reaches_a_client_that_still_sends_its_body(door: Door) -> None:
    status, body, _headers = door.ask(head("POST", "/x", "Content-Length: 500000") + b"x" * 500_000)
    assert status == 404 and b"error" in body


@pytest.mark.parametrize(("origin", "status"), [("page", 200), ("other", 400)])
def test_a_preflight_is_answered_and_does_not_knock(door: Door, origin: str, status: int) -> None:
    asked = (f"Origin: https://{origin}.example", "Access-Control-Request-Method: POST")
    headers = (*asked, "Access-Control-Request-Headers: authorization")
    answer, _body, given = door.ask(head("OPTIONS", "/v1/chat/completions", *headers))
    assert answer == status
    allowed = given.get("access-control-allow-origin")
    assert allowed == ("https://page.example" if status == 200 else None)
    assert door.knocks == [] and door.keeper.waiting() == 0


def test_a_request_that_can_not_be_handed_over_is_answered(door: Door) -> None:
    def broken(_connection: socket.socket) -> None:
        raise BrokenPipeError

    data = POST + BEARER + b"\r\n{}"
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(door.ask(data)[0]))
    thread.start()
    door.wait_for_held(1)
    door.keeper.hand_over(broken)
    thread.join(20)
    assert statuses == [503]


def test_an_unhealthy_server_says_so(door: Door) -> None:
    door.keeper.attend(is_healthy=False)
    status, _body, headers = door.ask(head("GET", "/health"))
    assert status == 503 and int(headers["retry-after"]) > 0


def test_an_allowed_request_knocks_waits_and_is_handed_over_unread(door: Door) -> None:
    data = POST + BEARER + b"\r\n{}"
    with door.connect(data[:20]) as slow, door.connect(data) as first, door.connect(data) as second:
        door.wait_for_held(2)
        assert len(door.knocks) == 2
        door.keeper.hand_over(door.deliver)
        assert [connection.recv(4096) for connection in door.delivered] == [data, data]
        slow.sendall(data[20:])  # its head is still on its way
        deadline = time.monotonic() + 20
        while len(door.delivered) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for connection, client in zip(door.delivered[:2], (first, second), strict=True):
            connection.sendall(b"answer")
            client.settimeout(20)
            assert client.recv(100) == b"answer"
        later = door.connect(data)  # is for vLLM to accept
        assert door.keeper.waiting() == 0
        later.close()


def test_a_vllm_that_goes_on_gets_every_request_from_here(door: Door) -> None:
    """It does not listen any more; what is answered is its own affair."""
    data = POST + BEARER + b"\r\n{}"
    with door.connect(data) as first:
        door.wait_for_held(1)
        door.keeper.hand_over(door.deliver, accepts_on=True)
        requests = [data, head("GET", "/health"), head("GET", "/metrics")]
        later = [door.connect(request) for request in requests]
        deadline = time.monotonic() + 20
        while len(door.delivered) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        received = [connection.recv(4096) for connection in door.delivered]
        assert sorted(received) == sorted([data, *requests]) and len(door.knocks) == 1
        door.keeper.attend(is_healthy=True)
        held = door.connect(data)
        door.wait_for_held(1)
        for connection in (first, *later, held):
            connection.close()


def test_requests_that_wait_for_a_start_that_fails(door: Door) -> None:
    data = POST + BEARER + b"\r\n{}"
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(door.ask(data)[0]))
    thread.start()
    door.wait_for_held(1)
    door.keeper.refuse(60.0)
    thread.join(20)
    assert statuses == [503]
    assert door.ask(data)[0] == 503 and len(door.knocks) == 1
    door.keeper.refuse(0.0)
    with door.connect(data):
        door.wait_for_held(1)


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", 400, b"invalid_request"),
        (b"GET /" + b"x" * http_head.MAX_BYTES + b" HTTP/1.1\r\n\r\n", 431, b"headers_too_large"),
        (POST, 408, b"The request's head did not arrive"),
    ],
)
def test_a_head_is_refused_as_it_is_awake(
    door: Door, monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, status: int, code: bytes
) -> None:
    monkeypatch.setattr(http_head, "TIMEOUT", 0.1)
    answer, body, _headers = door.ask(request_bytes)
    assert answer == status and code in body


def test_a_connection_without_a_request_is_closed_without_an_answer(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_head, "TIMEOUT", 0.1)
    with door.connect() as connection:
        assert connection.recv(1) == b""


def test_a_client_that_leaves(door: Door) -> None:
    door.connect(POST).close()
    door.connect().close()
    assert door.ask(head("GET", "/health"))[0] == 200
    assert door.knocks == []


@pytest.mark.timeout(
    25
)  # a second `close` has nobody to wait for; the first waits for 30 s at most
def test_the_address_is_closed_in_the_end(door: Door) -> None:
    held = door.connect(POST + BEARER + b"\r\n{}")
    door.wait_for_held(1)
    door.keeper.close()
    with contextlib.suppress(ConnectionResetError):
        assert held.recv(1) == b""
    held.close()
    with pytest.raises(OSError, match="refused"):
        door.connect()
    door.keeper.close()
