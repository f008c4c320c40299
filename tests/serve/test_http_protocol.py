"""The bounds of a connection: large and slow heads, slow bodies, clients that do not read."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from qchat.serve.access import http_head
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.layer import Access

from tests import tools

from .asgi import KEY

uvicorn = tools.require_module("uvicorn")
http_protocol = tools.require_module("qchat.serve.access.http_protocol")

HEAD = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
SLOW = 7  # the length of a body whose answer takes its time
MANY = 64 << 20  # bytes: more than the buffers of a connection hold


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body; a GET with many bytes."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if size == SLOW:
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await asyncio.sleep(1.0)  # more than three times a head's time
    body = b"%d" % size if scope["method"] == "POST" else bytes(MANY)
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A server with the access layer and short times."""
    monkeypatch.setattr(http_head, "TIMEOUT", 0.3)
    for name in ("BODY_TIMEOUT", "LINGER", "WRITE_TIMEOUT"):
        monkeypatch.setattr(http_protocol, name, 0.3)
    access = Access(application, AccessRules(loopback=True), {"QCHAT_API_KEY": KEY})
    config = uvicorn.Config(
        access,
        port=0,
        http=http_protocol.GuardedProtocol,
        log_level="error",
        lifespan="off",
        timeout_keep_alive=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await task


class Connection:
    """A client that sends what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: str | bytes) -> None:
        self.writer.write(data if isinstance(data, bytes) else data.encode())
        await self.writer.drain()

    async def reply(self) -> tuple[int, bytes]:
        """Status and body of an answer; 0 where the server has closed."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            fields = dict(
                line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
            )
            if b"content-length" in fields:
                body = await self.reader.readexactly(int(fields[b"content-length"]))
            else:
                body = (await self.reader.readuntil(b"0\r\n\r\n")).split(b"\r\n")[1]
        return int(head.split()[1]), body

    async def is_closed(self) -> bool:
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read() == b""
            return True


@pytest.fixture
async def client(server: Any) -> AsyncIterator[Connection]:
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    yield Connection(reader, writer)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_requests_in_turn_on_one_connection(client: Connection) -> None:
    for size in (0, 5, 500_000):
        await client.send(f"{HEAD}Content-Length: {size}\r\n\r\n")
        await client.send(bytes(size))
        assert await client.reply() == (200, b"%d" % size)
    await client.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert await client.reply() == (200, b"3")
    await client.send(f"{HEAD}Content-Length: 1\r\n\r\na" * 3)  # without waiting
    assert [await client.reply() for _n in range(3)] == [(200, b"1")] * 3


async def test_a_connection_without_a_request_is_closed(client: Connection) -> None:
    assert await client.is_closed()


@pytest.mark.parametrize("begin", ["P", HEAD])
async def test_a_head_that_does_not_end(client: Connection, begin: str) -> None:
    await client.send(begin)
    status, body = await client.reply()
    assert status == 408 and json.loads(body)["error"]["code"] == "request_timeout"
    assert await client.is_closed()


async def test_a_later_head_that_does_not_end(client: Connection) -> None:
    await client.send(f"{HEAD}Content-Length: 1\r\n\r\na")
    assert (await client.reply())[0] == 200
    await client.send("POST ")
    assert (await client.reply())[0] == 408


async def test_a_head_that_begins_during_an_answer_does_not_end_it(client: Connection) -> None:
    await client.send(f"{HEAD}Content-Length: {SLOW}\r\n\r\n" + "x" * SLOW)
    async with asyncio.timeout(20):
        await client.reader.readuntil(b"\r\n\r\n")
        await client.send("\r\n")  # some clients end a body so
        answer = await client.reader.readuntil(b"0\r\n\r\n")
    assert b"408" not in answer


async def test_a_head_byte_by_byte_gets_no_more_time(client: Connection) -> None:
    async def trickle() -> None:
        with contextlib.suppress(ConnectionError):
            for letter in HEAD * 100:
                await client.send(letter)
                await asyncio.sleep(0.02)

    task = asyncio.create_task(trickle())
    assert (await client.reply())[0] == 408
    task.cancel()


@pytest.mark.parametrize(
    "head",
    [
        f"{HEAD}X: " + "a" * 200_000,
        HEAD + "".join(f"X{n}: {'a' * 100}\r\n" for n in range(1000)) + "\r\n",
        "GET /" + "a" * 70_000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large(client: Connection, head: str) -> None:
    with contextlib.suppress(ConnectionError):
        await client.send(head)
    status, body = await client.reply()
    assert status == 431 and json.loads(body)["error"]["code"] == "headers_too_large"


@pytest.mark.parametrize("text", ["no HTTP\r\n\r\n", "\x16\x03\x01", "GET / HTTP/9.9\r\n\r\n"])
async def test_what_is_no_http(client: Connection, text: str) -> None:
    await client.send(text)
    status, body = await client.reply()
    assert status == 400 and json.loads(body)["error"]["code"] == "invalid_request"
    assert await client.is_closed()


@pytest.mark.parametrize("kind", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_end(client: Connection, kind: str) -> None:
    await client.send(f"{HEAD}{kind}\r\n\r\n1\r\n")
    status, body = await client.reply()
    assert status == 408 and "body" in json.loads(body)["error"]["message"]
    assert await client.is_closed()


async def test_a_body_that_comes_steadily_has_the_time_it_needs(
    client: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "BYTES_PER_SECOND", 1000)
    await client.send(f"{HEAD}Content-Length: 5000\r\n\r\n")
    for _n in range(10):
        await client.send(bytes(500))
        await asyncio.sleep(0.1)
    assert await client.reply() == (200, b"5000")


async def test_who_is_denied_can_not_hold_the_connection(client: Connection) -> None:
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    await client.send(head)
    assert (await client.reply())[0] == 401
    assert await client.is_closed()


async def test_after_a_denial_the_connection_goes_on(client: Connection) -> None:
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    await client.send(head)
    assert (await client.reply())[0] == 401
    await client.send(f"abcde{HEAD}Content-Length: 1\r\n\r\na")
    assert await client.reply() == (200, b"1")


async def test_after_a_denial_an_idle_connection_is_closed(client: Connection) -> None:
    """As after any other answer, also where the body came after the denial."""
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    await client.send(head)
    assert (await client.reply())[0] == 401
    await client.send("abcde")
    assert await client.is_closed()


async def test_who_does_not_read_is_let_go(server: Any, client: Connection) -> None:
    request = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    await client.send(request)
    async with asyncio.timeout(20):
        while not server.server_state.total_requests:
            await asyncio.sleep(0.01)
        while server.server_state.connections:
            await asyncio.sleep(0.01)
    received = 0
    with contextlib.suppress(ConnectionError):
        while data := await client.reader.read(1 << 20):
            received += len(data)
    assert received < MANY
