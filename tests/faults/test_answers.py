"""The misbehaving server answers as vLLM does, errors of the API included."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from tests import faults

from .client import ask, content, events, post, raw_response, streamed_text, unchunked, wait_until


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
    response, end = raw_response(
        server, prompt, stream=True, stream_options={"include_usage": True}
    )
    assert end == "closed"
    assert b"Content-Type: text/event-stream" in response
    stream = events(unchunked(response))
    assert stream[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert streamed_text(stream) == f"echo: {prompt}"
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
        deltas = events(unchunked(raw_response(server, prompt, stream=True)[0]))
        got = streamed_text(deltas, field), streamed_text(deltas)
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
    stream = events(unchunked(raw_response(server, prompt, stream=True)[0]))
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
    await wait_until(lambda: server.log.in_flight == 2)
    during = await metrics()
    assert during[f"vllm:num_requests_running{label}"] == 2
    assert during[f"vllm:num_requests_waiting{label}"] == 0
    assert 0 < during[f"vllm:kv_cache_usage_perc{label}"] < 1
    assert (await slow)[0] == 200
    with pytest.raises(aiohttp.ClientError):
        await stuck
    assert (await metrics())[made] - after[made] == 10


async def test_slots_and_queue(http: aiohttp.ClientSession) -> None:
    async with faults.running(answers="latency=1", slots=2, max_queued=1) as server:
        replies = await asyncio.gather(*(post(http, server, f"{n}") for n in range(5)))
        assert sorted(status for status, _ in replies) == [200, 200, 200, 503, 503]
        assert server.log.outcomes == {"answered": 3, "refused": 2}
