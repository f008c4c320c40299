"""Each fault of the misbehaving server, as a plain socket or aiohttp sees it."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from tests import faults

from .behaviours import BEHAVIOURS
from .client import (
    ask,
    content,
    events,
    open_request,
    post,
    raw_response,
    streamed_text,
    unchunked,
    wait_until,
)
from .orders import ABOUT, Fault


def test_every_fault_is_described_and_done() -> None:
    assert set(ABOUT) == set(Fault)
    assert set(BEHAVIOURS) == set(Fault) - {Fault.DIE}


@pytest.mark.parametrize("stream", [False, True])
def test_reset(server: faults.Running, stream: bool) -> None:
    assert raw_response(server, "x [[fault:reset]]", stream=stream) == (b"", "reset")


@pytest.mark.parametrize("stream", [False, True])
def test_reset_mid_body(server: faults.Running, stream: bool) -> None:
    got, end = raw_response(server, "x [[fault:reset_mid_body]]", stream=stream)
    assert end == "reset"
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert got.partition(b"\r\n\r\n")[2]
    assert b"[DONE]" not in got


@pytest.mark.parametrize("kind", ["eof", "reset"])
def test_half_line(server: faults.Running, kind: str) -> None:
    got, end = raw_response(server, f"x [[fault:half_line;kind={kind}]]", stream=True)
    assert end == ("closed" if kind == "eof" else "reset")
    last = (
        got.rpartition(b"data: ")[2] if kind == "reset" else unchunked(got).rpartition(b"data: ")[2]
    )
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(last)
    body = unchunked(raw_response(server, "x [[fault:half_line]]")[0])
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["x", "世界", "naïve"])
def test_half_utf8(server: faults.Running, prompt: str, stream: bool) -> None:
    got, end = raw_response(server, f"{prompt} [[fault:half_utf8]]", stream=stream)
    assert end == "closed"
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        unchunked(got).decode()


def test_cut_stream(server: faults.Running) -> None:
    got, end = raw_response(server, "a b c [[fault:cut_stream]]", stream=True)
    stream = events(unchunked(got))
    assert end == "closed"
    assert streamed_text([*stream, None]).startswith("echo: a b c")
    assert all(one["choices"][0]["finish_reason"] is None for one in stream)
    assert (
        len(
            events(
                unchunked(raw_response(server, "a [[fault:cut_stream;after=2]]", stream=True)[0])
            )
        )
        == 2
    )


@pytest.mark.parametrize(
    ("order", "status", "message"),
    [
        ("503", 503, "currently busy"),
        ("429", 429, "Rate limit"),
        ("500", 500, "EngineCore"),
        ("404_model", 404, "does not exist"),
        ("400_context", 400, "maximum context length"),
        ("400", 400, "validation error"),
    ],
)
async def test_error_answers(
    http: aiohttp.ClientSession, server: faults.Running, order: str, status: int, message: str
) -> None:
    for stream in (False, True):
        got, body = await post(http, server, f"x [[fault:{order}]]", stream=stream)
        assert (got, body["error"]["code"]) == (status, status)
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert message in body["error"]["message"]
    assert server.log.faults == {order: 2}
    assert not server.log.answered


async def test_other_error_answers(http: aiohttp.ClientSession, server: faults.Running) -> None:
    assert await post(http, server, "x [[fault:401]]") == (401, {"error": "Unauthorized"})
    url = f"{server.base_url}/chat/completions"
    async with http.post(url, json=ask("x [[fault:502]]")) as reply:
        assert (reply.status, reply.content_type) == (502, "text/html")
        assert "nginx" in await reply.text()


async def test_retry_after(http: aiohttp.ClientSession, server: faults.Running) -> None:
    url = f"{server.base_url}/chat/completions"

    async def header(order: str) -> str | None:
        async with http.post(url, json=ask(f"x [[fault:{order}]]")) as reply:
            return reply.headers.get("Retry-After")

    assert await header("503") is None
    assert await header("503;retry_after=7") == "7"
    assert await header("429;retry_after=soon") == "soon"
    date = await header("503;retry_after=date+100")
    assert date is not None
    assert date.endswith("GMT")
    assert 90 < parsedate_to_datetime(date).timestamp() - time.time() <= 101


@pytest.mark.parametrize("stream", [False, True])
def test_hang(server: faults.Running, stream: bool) -> None:
    assert raw_response(server, "x [[fault:hang]]", 0.5, stream=stream) == (b"", "silent")
    assert raw_response(server, "y [[fault:hang;seconds=0.1]]", stream=stream) == (b"", "reset")


@pytest.mark.parametrize("stream", [False, True])
def test_hang_mid_stream(server: faults.Running, stream: bool) -> None:
    got, end = raw_response(server, "one two three [[fault:hang_mid_stream]]", 0.5, stream=stream)
    assert end == "silent"
    assert b"echo:" in got or not stream
    assert b"[DONE]" not in got


async def test_a_client_that_leaves_is_noticed(server: faults.Running) -> None:
    with open_request(server, "x [[fault:hang]]"):
        await wait_until(lambda: server.log.in_flight == 1)
    await wait_until(lambda: server.log.outcomes == {"gone": 1}, lambda: server.log)
    assert server.log.in_flight == 0


@pytest.mark.parametrize("kind", ["text", "html", "binary"])
def test_200_garbage(server: faults.Running, kind: str) -> None:
    got, _ = raw_response(server, f"x [[fault:200_garbage;kind={kind}]]")
    assert got.startswith(b"HTTP/1.1 200")
    with pytest.raises(ValueError):
        json.loads(unchunked(got))


def test_200_empty(server: faults.Running) -> None:
    got, _ = raw_response(server, "x [[fault:200_empty]]")
    assert got.startswith(b"HTTP/1.1 200")
    assert unchunked(got) == b""


@pytest.mark.parametrize(
    "kind", ["no_choices", "empty_choices", "null_message", "list", "null", "number"]
)
async def test_200_wrong_shape(
    http: aiohttp.ClientSession, server: faults.Running, kind: str
) -> None:
    status, body = await post(http, server, f"x [[fault:200_wrong_shape;kind={kind}]]")
    assert status == 200
    with pytest.raises((KeyError, TypeError, IndexError)):
        content(body)
    stream = events(
        unchunked(raw_response(server, f"x [[fault:200_wrong_shape;kind={kind}]]", stream=True)[0])
    )
    assert stream == [body, "[DONE]"]


async def test_null_content(http: aiohttp.ClientSession, server: faults.Running) -> None:
    _, body = await post(http, server, "x [[fault:null_content]]")
    assert content(body) is None
    assert body["choices"][0]["finish_reason"] == "stop"
    stream = events(unchunked(raw_response(server, "x [[fault:null_content]]", stream=True)[0]))
    assert [one["choices"][0]["delta"]["content"] for one in stream[:-1]] == [None, None]
    assert stream[-2]["choices"][0]["finish_reason"] == "stop"


async def test_unknown_field(http: aiohttp.ClientSession, server: faults.Running) -> None:
    prompt = "x [[fault:unknown_field]]"
    _, body = await post(http, server, prompt)
    assert content(body) == f"echo: {prompt}"
    assert body["x_new"] == body["choices"][0]["message"]["x_new"] == {"deep": [1, None, "two"]}
    stream = events(unchunked(raw_response(server, prompt, stream=True)[0]))
    assert streamed_text(stream) == f"echo: {prompt}"
    assert stream[0]["choices"][0]["delta"]["$type"] == 7
    assert server.log.answered == {prompt: 2}


@pytest.mark.parametrize("stream", [False, True])
def test_ten_mb_chunk(server: faults.Running, stream: bool) -> None:
    body = unchunked(raw_response(server, "x [[fault:ten_mb_chunk]]", stream=stream)[0])
    assert len(body) > 10_000_000
    longest = max(body.split(b"\n"), key=len) if stream else body
    assert len(longest) > 10_000_000
    json.loads(longest.removeprefix(b"data: "))


def test_slow_loris(server: faults.Running) -> None:
    start = time.monotonic()
    got, end = raw_response(server, "x [[fault:slow_loris;seconds=0.001]]")
    assert end == "closed"
    body = unchunked(got)
    assert content(json.loads(body)).startswith("echo: x")
    assert time.monotonic() - start >= len(body) * 0.001


@pytest.mark.parametrize(("kind", "off"), [("more", 10), ("less", -10)])
def test_wrong_content_length(server: faults.Running, kind: str, off: int) -> None:
    got, end = raw_response(server, f"x [[fault:wrong_content_length;kind={kind}]]")
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.rpartition(b"Content-Length: ")[2])
    assert (end, length) == ("closed", len(body) + off)


async def test_close_keepalive(server: faults.Running) -> None:
    body = json.dumps(ask("x [[fault:close_keepalive;seconds=0.2]]")).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head.encode() + body)
    answer_head = await reader.readuntil(b"\r\n\r\n")
    assert b"Connection: close" not in answer_head
    length = int(answer_head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
    assert b"echo: x" in await reader.readexactly(length)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect(http: aiohttp.ClientSession, server: faults.Running, status: int) -> None:
    url = f"{server.base_url}/chat/completions"
    payload = ask(f"secret [[fault:redirect;status={status}]]")
    async with http.post(url, json=payload, allow_redirects=False) as reply:
        assert reply.status == status
        target = reply.headers["Location"]
    assert target == f"http://localhost:{server.port}/_trap/v1/chat/completions"
    assert server.log.trapped == []
    async with http.post(target, json=payload, headers={"Authorization": "Bearer k"}) as reply:
        assert reply.status == 200
    [caught] = server.log.trapped
    assert caught["authorization"] is True
    assert "secret" in str(caught["body"])


def test_stream_error_event(server: faults.Running) -> None:
    got, end = raw_response(server, "one two three [[fault:stream_error_event]]", stream=True)
    stream = events(unchunked(got))
    assert end == "closed"
    assert stream[-1] == "[DONE]"
    assert stream[-2]["error"]["code"] == 500
    assert len(stream) > 3
    assert raw_response(server, "x [[fault:stream_error_event]]")[0].startswith(b"HTTP/1.1 500")


def test_keep_alive_comments_and_no_done(server: faults.Running) -> None:
    body = unchunked(raw_response(server, "x [[fault:keep_alive_comments]]", stream=True)[0])
    assert body.count(b": keep-alive\n\n") > 5
    assert streamed_text(events(body)).startswith("echo: x")
    stream = events(unchunked(raw_response(server, "x [[fault:no_done]]", stream=True)[0]))
    assert stream[-1]["choices"][0]["finish_reason"] == "stop"
