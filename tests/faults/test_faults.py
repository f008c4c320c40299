"""The misbehaving server does what it says: each fault seen through a plain socket or aiohttp."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import faults
from tests.faults.behaviours import BEHAVIOURS
from tests.faults.orders import ABOUT, Fault, OrderError, Plan, Style, parse_order, parse_style

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared() -> Iterator[faults.Running]:
    with faults.running() as server:
        yield server


@pytest.fixture
def server(shared: faults.Running) -> faults.Running:
    end = time.monotonic() + 10
    while shared.log.in_flight:  # a client of the test before may have left a moment ago
        assert time.monotonic() < end
        time.sleep(0.01)
    shared.reset_log()
    return shared


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, max_line_size=1 << 20) as session:
        yield session


def ask(prompt: str, **more: object) -> dict[str, object]:
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more}


async def post(
    http: aiohttp.ClientSession, server: faults.Running, prompt: str, **more: object
) -> tuple[int, Any]:
    """Status and JSON of a whole answer."""
    async with http.post(f"{server.base_url}/chat/completions", json=ask(prompt, **more)) as reply:
        return reply.status, await reply.json(content_type=None)


def content(body: Any) -> Any:
    return body["choices"][0]["message"]["content"]


def sent(
    server: faults.Running, prompt: str, patience: float = 20, **more: object
) -> socket.socket:
    """A connection on which a question was asked."""
    body = json.dumps(ask(prompt, **more)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=patience)
    sock.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
    return sock


def raw(
    server: faults.Running, prompt: str, patience: float = 20, **more: object
) -> tuple[bytes, str]:
    """All bytes of a response, and how the connection ended: closed, reset or silent."""
    with sent(server, prompt, patience, **more) as sock:
        got = b""
        while True:
            try:
                part = sock.recv(1 << 16)
            except ConnectionResetError:
                return got, "reset"
            except TimeoutError:
                return got, "silent"
            if not part:
                return got, "closed"
            got += part


def unchunked(response: bytes) -> bytes:
    """The body of a response; the whole of a chunked one must be there."""
    head, _, body = response.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return body
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return out
        out += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


def events(body: bytes) -> list[Any]:
    """What the data lines hold; ``[DONE]`` as a string."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def said(stream: list[Any], field: str = "content") -> str:
    deltas = [one["choices"][0]["delta"] for one in stream[:-1] if one["choices"]]
    return "".join(delta.get(field) or "" for delta in deltas)


# Right answers


async def test_a_plain_answer(http: aiohttp.ClientSession, server: faults.Running) -> None:
    status, body = await post(http, server, "你好 [x]")
    assert (status, content(body)) == (200, "echo: 你好 [x]")
    choice, usage = body["choices"][0], body["usage"]
    assert choice["finish_reason"] == "stop"
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 2
    assert body["object"] == "chat.completion"
    assert server.log.answered == {"你好 [x]": 1}


async def test_a_plain_stream(http: aiohttp.ClientSession, server: faults.Running) -> None:
    prompt = "tell me\n\n  a story "
    response, end = raw(server, prompt, stream=True, stream_options={"include_usage": True})
    assert end == "closed"
    assert b"Content-Type: text/event-stream" in response
    stream = events(unchunked(response))
    assert stream[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert said(stream) == f"echo: {prompt}"
    assert stream[-3]["choices"][0]["finish_reason"] == "stop"
    assert stream[-2]["choices"] == []
    _, whole = await post(http, server, prompt)
    assert stream[-2]["usage"] == whole["usage"]
    assert stream[-1] == "[DONE]"


async def test_completions(http: aiohttp.ClientSession, server: faults.Running) -> None:
    url = f"{server.base_url}/completions"
    async with http.post(url, json={"prompt": ["one", "two"], "max_tokens": 9, "n": 2}) as reply:
        texts = [choice["text"] for choice in (await reply.json())["choices"]]
    assert texts == ["echo: one", "echo: one #2", "echo: two", "echo: two #2"]
    async with http.post(url, json={"prompt": "hi", "stream": True}) as reply:
        stream = events(await reply.read())
    assert "".join(one["choices"][0]["text"] for one in stream[:-1]) == "echo: hi"


async def test_answers_belong_to_their_questions(
    http: aiohttp.ClientSession, server: faults.Running
) -> None:
    server.set_answers("latency=0.2;jitter=0.05")
    try:
        prompts = [f"question {number}" for number in range(200)]
        replies = await asyncio.gather(*(post(http, server, prompt) for prompt in prompts))
    finally:
        server.set_answers("latency=0;jitter=0")
    assert [content(body) for _, body in replies] == [f"echo: {prompt}" for prompt in prompts]
    log = server.log
    assert log.answered == dict.fromkeys(prompts, 1)
    assert 50 < log.max_in_flight <= 100
    assert log.in_flight == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("style", "field", "reasoning", "text"),
    [
        ("reasoning", "reasoning", "\nThe user says: {}\n", "\n\necho: {}"),
        ("reasoning_content", "reasoning_content", "\nThe user says: {}\n", "\n\necho: {}"),
        ("inline", "reasoning", "", "<think>\nThe user says: {}\n</think>\n\necho: {}"),
        ("unopened", "reasoning", "", "\nThe user says: {}\n</think>\n\necho: {}"),
    ],
)
async def test_reasoning(
    http: aiohttp.ClientSession,
    server: faults.Running,
    style: str,
    field: str,
    reasoning: str,
    text: str,
    stream: bool,
) -> None:
    prompt = f"why? [[answer:reasoning={style}]]"
    if stream:
        deltas = events(unchunked(raw(server, prompt, stream=True)[0]))
        got = said(deltas, field), said(deltas)
    else:
        message = (await post(http, server, prompt))[1]["choices"][0]["message"]
        got = message[field] or "", message["content"]
    assert got == (reasoning.format(prompt), text.format(prompt, prompt))


async def test_lengths_and_limits(http: aiohttp.ClientSession, server: faults.Running) -> None:
    _, body = await post(http, server, "go on [[answer:length=900]]")
    assert body["usage"]["completion_tokens"] == 900
    assert body["choices"][0]["finish_reason"] == "stop"
    _, body = await post(http, server, "go on [[answer:length=900]]", max_tokens=10)
    assert body["usage"]["completion_tokens"] == 10
    assert body["choices"][0]["finish_reason"] == "length"


async def test_tool_calls(http: aiohttp.ClientSession, server: faults.Running) -> None:
    prompt = "weather? [[answer:tool=get_weather]]"
    _, body = await post(http, server, prompt)
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    call = choice["message"]["tool_calls"][0]["function"]
    assert call == {
        "name": "get_weather",
        "arguments": json.dumps({"prompt": prompt}, separators=(",", ":")),
    }
    stream = events(unchunked(raw(server, prompt, stream=True)[0]))
    calls = [one["choices"][0]["delta"].get("tool_calls") for one in stream[:-1]]
    arguments = "".join(one[0]["function"]["arguments"] for one in calls if one)
    assert arguments == call["arguments"]


async def test_hostile_text(http: aiohttp.ClientSession, server: faults.Running) -> None:
    _, body = await post(http, server, "x [[answer:dress=escapes]]")
    assert {"\x1b", "\x07", "\r", "\x00", "\x9b", "\u202e"} <= set(content(body))
    _, body = await post(http, server, "x [[answer:dress=markup]]")
    assert "[bold red]" in content(body)


async def test_pace(http: aiohttp.ClientSession, server: faults.Running) -> None:
    start = time.monotonic()
    more = {"X-Answer": "latency=0.1;rate=100;length=20"}
    url = f"{server.base_url}/chat/completions"
    async with http.post(url, json=ask("slowly", stream=True), headers=more) as reply:
        arrivals = [time.monotonic() - start async for line in reply.content if b"data" in line]
    # Lower bounds only: a busy machine is late, never early.
    assert arrivals[0] >= 0.1
    assert arrivals[-1] >= 0.1 + 20 / 100


# Errors in vLLM's shapes


async def test_what_the_api_refuses(http: aiohttp.ClientSession, server: faults.Running) -> None:
    status, body = await post(http, server, "x", model="nope")
    assert status == 404
    assert body["error"] == {
        "message": "The model `nope` does not exist. Valid aliases: demo.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }
    status, body = await post(http, server, "x " * 200_000)
    assert status == 400
    assert "maximum context length is 40960 tokens" in body["error"]["message"]
    status, body = await post(http, server, "x", max_tokens=50_000)
    assert (status, body["error"]["param"]) == (400, "max_tokens")
    status, body = await post(http, server, "x", messages=[])
    assert (status, body["error"]["type"]) == (400, "Bad Request")
    status, body = await post(http, server, "x [[fault:oops]]")
    assert (status, body["error"]["type"]) == (400, "BadOrder")
    assert server.log.outcomes == {"refused": 5}


async def test_a_key(http: aiohttp.ClientSession) -> None:
    async with faults.running(api_key="sesame") as server:
        assert await post(http, server, "x") == (401, {"error": "Unauthorized"})
        for url, expected in ((f"{server.base_url}/models", 401), (f"{server.url}/health", 200)):
            async with http.get(url) as reply:
                assert reply.status == expected
        http.headers["Authorization"] = "Bearer sesame"
        status, body = await post(http, server, "x")
        assert (status, content(body)) == (200, "echo: x")
        log = server.log
        assert log.authorizations == {faults.masked("Bearer sesame"): 1}
        assert "sesame" not in repr(log)


async def test_models_version_and_metrics(
    http: aiohttp.ClientSession, server: faults.Running
) -> None:
    async with http.get(f"{server.base_url}/models") as reply:
        models = (await reply.json())["data"]
    assert [(one["id"], one["max_model_len"]) for one in models] == [("demo", 40_960)]

    async def metrics() -> dict[str, float]:
        async with http.get(f"{server.url}/metrics") as reply:
            lines = (await reply.text()).splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    label = '{engine="0",model_name="demo"}'
    before = await metrics()
    _, body = await post(http, server, "count me")
    after = await metrics()
    made = f"vllm:generation_tokens_total{label}"
    assert after[made] - before[made] == body["usage"]["completion_tokens"]
    read = f"vllm:prompt_tokens_total{label}"
    assert after[read] - before[read] == body["usage"]["prompt_tokens"]

    slow = asyncio.create_task(post(http, server, "slow [[answer:rate=8;length=10]]"))
    stuck = asyncio.create_task(post(http, server, "stuck [[fault:hang;seconds=1.5]]"))
    await until(lambda: server.log.in_flight == 2)
    during = await metrics()
    assert during[f"vllm:num_requests_running{label}"] == 2
    assert during[f"vllm:num_requests_waiting{label}"] == 0
    assert 0 < during[f"vllm:kv_cache_usage_perc{label}"] < 1
    assert (await slow)[0] == 200
    with pytest.raises(aiohttp.ClientError):
        await stuck
    assert (await metrics())[made] - after[made] == 10


async def until(condition: Any, shown: Any = lambda: "") -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it never came to be {shown()}")


async def test_slots_and_queue(http: aiohttp.ClientSession) -> None:
    async with faults.running(answers="latency=1", slots=2, max_queued=1) as server:
        replies = await asyncio.gather(*(post(http, server, f"{n}") for n in range(5)))
        assert sorted(status for status, _ in replies) == [200, 200, 200, 503, 503]
        assert server.log.outcomes == {"answered": 3, "refused": 2}


# Faults


def test_every_fault_is_described_and_done() -> None:
    assert set(ABOUT) == set(Fault)
    assert set(BEHAVIOURS) == set(Fault) - {Fault.DIE}


@pytest.mark.parametrize("stream", [False, True])
def test_reset(server: faults.Running, stream: bool) -> None:
    assert raw(server, "x [[fault:reset]]", stream=stream) == (b"", "reset")


@pytest.mark.parametrize("stream", [False, True])
def test_reset_mid_body(server: faults.Running, stream: bool) -> None:
    got, end = raw(server, "x [[fault:reset_mid_body]]", stream=stream)
    assert end == "reset"
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert got.partition(b"\r\n\r\n")[2]
    assert b"[DONE]" not in got


@pytest.mark.parametrize("kind", ["eof", "reset"])
def test_half_line(server: faults.Running, kind: str) -> None:
    got, end = raw(server, f"x [[fault:half_line;kind={kind}]]", stream=True)
    assert end == ("closed" if kind == "eof" else "reset")
    last = (
        got.rpartition(b"data: ")[2] if kind == "reset" else unchunked(got).rpartition(b"data: ")[2]
    )
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(last)
    body = unchunked(raw(server, "x [[fault:half_line]]")[0])
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["x", "世界", "naïve"])
def test_half_utf8(server: faults.Running, prompt: str, stream: bool) -> None:
    got, end = raw(server, f"{prompt} [[fault:half_utf8]]", stream=stream)
    assert end == "closed"
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        unchunked(got).decode()


def test_cut_stream(server: faults.Running) -> None:
    got, end = raw(server, "a b c [[fault:cut_stream]]", stream=True)
    stream = events(unchunked(got))
    assert end == "closed"
    assert said([*stream, None]).startswith("echo: a b c")
    assert all(one["choices"][0]["finish_reason"] is None for one in stream)
    assert (
        len(events(unchunked(raw(server, "a [[fault:cut_stream;after=2]]", stream=True)[0]))) == 2
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
    assert raw(server, "x [[fault:hang]]", 0.5, stream=stream) == (b"", "silent")
    assert raw(server, "y [[fault:hang;seconds=0.1]]", stream=stream) == (b"", "reset")


@pytest.mark.parametrize("stream", [False, True])
def test_hang_mid_stream(server: faults.Running, stream: bool) -> None:
    got, end = raw(server, "one two three [[fault:hang_mid_stream]]", 0.5, stream=stream)
    assert end == "silent"
    assert b"echo:" in got or not stream
    assert b"[DONE]" not in got


async def test_a_client_that_leaves_is_seen(server: faults.Running) -> None:
    with sent(server, "x [[fault:hang]]"):
        await until(lambda: server.log.in_flight == 1)
    await until(lambda: server.log.outcomes == {"gone": 1}, lambda: server.log)
    assert server.log.in_flight == 0


@pytest.mark.parametrize("kind", ["text", "html", "binary"])
def test_200_garbage(server: faults.Running, kind: str) -> None:
    got, _ = raw(server, f"x [[fault:200_garbage;kind={kind}]]")
    assert got.startswith(b"HTTP/1.1 200")
    with pytest.raises(ValueError):
        json.loads(unchunked(got))


def test_200_empty(server: faults.Running) -> None:
    got, _ = raw(server, "x [[fault:200_empty]]")
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
        unchunked(raw(server, f"x [[fault:200_wrong_shape;kind={kind}]]", stream=True)[0])
    )
    assert stream == [body, "[DONE]"]


async def test_null_content(http: aiohttp.ClientSession, server: faults.Running) -> None:
    _, body = await post(http, server, "x [[fault:null_content]]")
    assert content(body) is None
    assert body["choices"][0]["finish_reason"] == "stop"
    stream = events(unchunked(raw(server, "x [[fault:null_content]]", stream=True)[0]))
    assert [one["choices"][0]["delta"]["content"] for one in stream[:-1]] == [None, None]
    assert stream[-2]["choices"][0]["finish_reason"] == "stop"


async def test_unknown_field(http: aiohttp.ClientSession, server: faults.Running) -> None:
    prompt = "x [[fault:unknown_field]]"
    _, body = await post(http, server, prompt)
    assert content(body) == f"echo: {prompt}"
    assert body["x_new"] == body["choices"][0]["message"]["x_new"] == {"deep": [1, None, "two"]}
    stream = events(unchunked(raw(server, prompt, stream=True)[0]))
    assert said(stream) == f"echo: {prompt}"
    assert stream[0]["choices"][0]["delta"]["$type"] == 7
    assert server.log.answered == {prompt: 2}


@pytest.mark.parametrize("stream", [False, True])
def test_ten_mb_chunk(server: faults.Running, stream: bool) -> None:
    body = unchunked(raw(server, "x [[fault:ten_mb_chunk]]", stream=stream)[0])
    assert len(body) > 10_000_000
    longest = max(body.split(b"\n"), key=len) if stream else body
    assert len(longest) > 10_000_000
    json.loads(longest.removeprefix(b"data: "))


def test_slow_loris(server: faults.Running) -> None:
    start = time.monotonic()
    got, end = raw(server, "x [[fault:slow_loris;seconds=0.001]]")
    assert end == "closed"
    body = unchunked(got)
    assert content(json.loads(body)).startswith("echo: x")
    assert time.monotonic() - start >= len(body) * 0.001


@pytest.mark.parametrize(("kind", "off"), [("more", 10), ("less", -10)])
def test_wrong_content_length(server: faults.Running, kind: str, off: int) -> None:
    got, end = raw(server, f"x [[fault:wrong_content_length;kind={kind}]]")
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
    asked = ask(f"secret [[fault:redirect;status={status}]]")
    async with http.post(url, json=asked, allow_redirects=False) as reply:
        assert reply.status == status
        target = reply.headers["Location"]
    assert target == f"http://localhost:{server.port}/_trap/v1/chat/completions"
    assert server.log.trapped == []
    async with http.post(target, json=asked, headers={"Authorization": "Bearer k"}) as reply:
        assert reply.status == 200
    [caught] = server.log.trapped
    assert caught["authorization"] is True
    assert "secret" in str(caught["body"])


def test_stream_error_event(server: faults.Running) -> None:
    got, end = raw(server, "one two three [[fault:stream_error_event]]", stream=True)
    stream = events(unchunked(got))
    assert end == "closed"
    assert stream[-1] == "[DONE]"
    assert stream[-2]["error"]["code"] == 500
    assert len(stream) > 3
    assert raw(server, "x [[fault:stream_error_event]]")[0].startswith(b"HTTP/1.1 500")


def test_keep_alive_comments_and_no_done(server: faults.Running) -> None:
    body = unchunked(raw(server, "x [[fault:keep_alive_comments]]", stream=True)[0])
    assert body.count(b": keep-alive\n\n") > 5
    assert said(events(body)).startswith("echo: x")
    stream = events(unchunked(raw(server, "x [[fault:no_done]]", stream=True)[0]))
    assert stream[-1]["choices"][0]["finish_reason"] == "stop"


async def test_die_and_come_back(http: aiohttp.ClientSession) -> None:
    async with faults.running("die:skip=1,burst=1,seconds=1.5") as server:
        port = server.port
        assert (await post(http, server, "before"))[0] == 200
        waiting = asyncio.create_task(post(http, server, "waits [[answer:latency=60]]"))
        with pytest.raises(aiohttp.ClientError):
            await waiting
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(http, server, "too early")
        await until(lambda: not refuses(port))
        assert (await post(http, server, "after"))[0] == 200
        assert server.port == port
        assert server.log.deaths == 1


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_down_takes_every_request_with_it(http: aiohttp.ClientSession) -> None:
    async with faults.running(answers="latency=30") as server:
        asked = [asyncio.create_task(post(http, server, f"{n}")) for n in range(20)]
        await until(lambda: server.log.in_flight == 20)
        await asyncio.to_thread(server.down)
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, aiohttp.ClientError) for one in results)
        assert refuses(server.port)
        await asyncio.to_thread(server.up)
        server.set_answers("latency=0")
        assert (await post(http, server, "again"))[0] == 200
        assert server.log.outcomes == {"gone": 20, "answered": 1}


# Orders


async def test_the_first_tries_of_a_prompt_fail(
    http: aiohttp.ClientSession, server: faults.Running
) -> None:
    prompt = "a [[fault:503;times=2]]"
    statuses = [(await post(http, server, prompt))[0] for _ in range(4)]
    assert statuses == [503, 503, 200, 200]
    assert (await post(http, server, "b [[fault:503;times=2]]"))[0] == 503
    log = server.log
    assert log.attempts[prompt] == 4
    assert log.answered == {prompt: 2}
    assert [record.outcome for record in log.records] == [
        *("fault", "fault", "answered", "answered", "fault")
    ]
    url = f"{server.base_url}/chat/completions"
    for expected in (500, 200):
        more = {"X-Fault": "500;times=1"}
        async with http.post(url, json=ask("by header"), headers=more) as reply:
            assert reply.status == expected


async def test_bursts_and_rates(http: aiohttp.ClientSession, server: faults.Running) -> None:
    server.set_plan("503:burst=3,skip=1")
    assert [(await post(http, server, f"{n}"))[0] for n in range(6)] == [
        *(200, 503, 503, 503, 200, 200)
    ]

    async def failed() -> set[int]:
        replies = await asyncio.gather(*(post(http, server, f"q{n}") for n in range(300)))
        return {number for number, (status, _) in enumerate(replies) if status == 503}

    server.set_plan("503", rate=0.2, seed=7)
    server.reset_log()
    first = await failed()
    assert 30 < len(first) < 90
    server.reset_log()
    assert await failed() == first
    server.set_plan("503", rate=0.2, seed=8)
    server.reset_log()
    assert await failed() != first
    server.clear()
    assert await failed() == set()


def test_orders_are_read() -> None:
    order = parse_order("503:burst=20,retry_after=date+1.5")
    assert (order.fault, order.burst, order.retry_after) == (Fault.UNAVAILABLE, 20, "date+1.5")
    assert parse_order("redirect;to=http://127.0.0.1:9/x;status=308").to == "http://127.0.0.1:9/x"
    assert parse_order("reset", rate=0.5).rate == 0.5
    assert parse_style("latency=1;dress=markup").latency == 1
    assert parse_style("rate=5", Style(latency=2)) == Style(latency=2, rate=5)
    assert Plan.parse([]).choose("key", 1) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no fault is called ''"),
        ("rest", "no fault is called 'rest'; there are: reset,"),
        ("503:after=1", "503 has no option 'after'"),
        ("503:burst", "is not name=value"),
        ("503:burst=x", "burst of 503 can't be 'x'"),
        ("hang:seconds=-1", "can't be negative"),
        ("hang:seconds=nan", "can't be negative or infinite"),
        ("reset:rate=2", "not between 0 and 1"),
        ("200_garbage:kind=odd", "has no kind 'odd'"),
        ("503:retry_after=a\nb", "can't stand in a header"),
        ("503:retry_after=date+x", "can't be 'x'"),
    ],
)
def test_orders_that_can_t_be_read(text: str, message: str) -> None:
    with pytest.raises(OrderError) as caught:
        parse_order(text)
    assert message in str(caught.value)


# Control


async def test_control(http: aiohttp.ClientSession, server: faults.Running) -> None:
    async def control(**wanted: object) -> int:
        async with http.post(f"{server.url}/_control", json=wanted) as reply:
            return reply.status

    assert await control(plan=["500:times=1"], answers="length=3") == 200
    assert (await post(http, server, "x y z"))[0] == 500
    assert (await post(http, server, "x y z"))[1]["usage"]["completion_tokens"] == 3
    assert await control(clear=True) == 200
    assert content((await post(http, server, "x y z"))[1]) == "echo: x y z"
    async with http.get(f"{server.url}/_control/log") as reply:
        log = await reply.json()
    assert log["attempts"] == {"x y z": 3}
    assert log["records"][0]["body"]["messages"][0]["content"] == "x y z"
    assert log["records"][0]["headers"]["content-type"] == "application/json"
    async with http.get(f"{server.url}/_control/log?records=0") as reply:
        assert "records" not in await reply.json()
    wrong: list[dict[str, object]] = [
        {"plans": []},
        {"plan": "500"},
        {"plan": ["nope"]},
        {"down": -1},
        {"answers": 1},
    ]
    for bad in wrong:
        assert await control(**bad) == 400
    assert await control(reset_log=True) == 200
    assert not server.log.attempts


async def test_control_down(http: aiohttp.ClientSession) -> None:
    async with faults.running() as server:
        async with http.post(f"{server.url}/_control", json={"down": 1}) as reply:
            assert reply.status == 200
        await until(lambda: refuses(server.port))
        await until(lambda: not refuses(server.port))
        assert (await post(http, server, "back"))[0] == 200


# In a test


async def test_running_refuses_what_can_t_work(server: faults.Running) -> None:
    with pytest.raises(OrderError, match="no fault is called"):
        faults.running("oops")
    with pytest.raises(OSError, match="in use"):
        async with faults.running(port=server.port):
            pass
    with pytest.raises(RuntimeError, match="not running"):
        _ = faults.running().base_url


async def test_stopping_does_not_wait_for_what_hangs(http: aiohttp.ClientSession) -> None:
    async with faults.running("hang") as server:
        asked = [asyncio.create_task(post(http, server, f"{n}")) for n in range(5)]
        await until(lambda: server.log.in_flight == 5)
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(one, aiohttp.ClientError) for one in results)


# By hand


def test_by_hand() -> None:
    command = [sys.executable, "-m", "tests.faults", "--port", "0", "--fault", "500"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/v1"))
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert sock.recv(100).startswith(b"HTTP/1.1 200")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "oops"], "no fault is called 'oops'"),
        (["--api-key-env", "QCHAT_TEST_NO_SUCH"], "not set or empty"),
        (["--answers", "speed=1"], "no option 'speed'"),
    ],
)
def test_by_hand_with_bad_options(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "tests.faults", "--port", "0", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, env=dict(os.environ)
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
