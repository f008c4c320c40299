"""The http engine against a server that misbehaves on order."""

import asyncio
import time
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.stall_detector import StallDetector
from qchat.batch.request import CHAT, COMPLETIONS, Outcome, Request, RowKind, Usage
from qchat.batch.scheduler import RequestScheduler

from qchat.api.endpoint import Endpoint, Secret, retry_after
from qchat.errors import Code, EngineError
from qchat.json_types import JsonObject
from tests import faults


def request(text: str, endpoint: str = CHAT, **more: object) -> Request:
    body: JsonObject = {"model": "demo", **more}
    if endpoint == CHAT:
        body["messages"] = [{"role": "user", "content": text}]
    else:
        body["prompt"] = text
    return Request(0, 1, "r", RowKind.STRING, endpoint, body, text, "")


async def ask(
    server: faults.Running, row: Request, *, key: str | None = None, stall_timeout: float = 120.0
) -> Outcome:
    engine = HttpEngine(
        Endpoint(server.base_url, Secret(key) if key else None), FixedConcurrency(4)
    )
    engine.stall_detector.stall_timeout = stall_timeout
    engine.stall_detector.blind_timeout = stall_timeout
    await engine.start()
    try:
        return await engine.answer(row)
    finally:
        await engine.close()


async def test_an_answer_with_its_usage() -> None:
    with faults.running() as server:
        outcome = await ask(server, request("你好"))
        assert outcome.body is not None
        assert outcome.body["choices"][0]["message"]["content"] == "echo: 你好"
        assert outcome.usage.completion_tokens > 0
        text = await ask(server, request("Once", COMPLETIONS))
        assert text.body is not None
        assert text.body["choices"][0]["text"] == "echo: Once"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("reset", Code.DISCONNECTED),
        ("reset_mid_body", Code.DISCONNECTED),
        ("half_utf8", Code.BAD_RESPONSE),
        ("wrong_content_length", Code.DISCONNECTED),
        ("503", Code.OVERLOADED),
        ("429", Code.RATE_LIMITED),
        ("500", Code.SERVER_ERROR),
        ("502", Code.OVERLOADED),
        ("401", Code.UNAUTHORIZED),
        ("404_model", Code.UNKNOWN_MODEL),
        ("400_context", Code.CONTEXT_LENGTH),
        ("400", Code.INVALID_REQUEST),
        ("200_garbage", Code.BAD_RESPONSE),
        ("200_garbage;kind=binary", Code.BAD_RESPONSE),
        ("200_empty", Code.BAD_RESPONSE),
        ("200_wrong_shape;kind=no_choices", Code.BAD_RESPONSE),
        ("200_wrong_shape;kind=empty_choices", Code.BAD_RESPONSE),
        ("200_wrong_shape;kind=null_message", Code.BAD_RESPONSE),
        ("200_wrong_shape;kind=list", Code.BAD_RESPONSE),
        ("200_wrong_shape;kind=null", Code.BAD_RESPONSE),
        ("redirect", Code.REDIRECTED),
    ],
)
async def test_each_fault_has_its_code(fault: str, code: Code) -> None:
    with faults.running() as server:
        outcome = await ask(server, request(f"x [[fault:{fault}]]"))
        assert outcome.failure is not None, outcome
        assert outcome.failure.code is code, outcome.failure
        assert outcome.failure.message.strip()
        assert server.log.trapped == []  # no prompt went where a redirect pointed


@pytest.mark.parametrize(
    "fault", ["unknown_field", "slow_loris;seconds=0", "ten_mb_chunk", "null_content"]
)
async def test_odd_but_whole_answers_are_answers(fault: str) -> None:
    with faults.running() as server:
        assert (await ask(server, request(f"x [[fault:{fault}]]"))).answered


async def test_closed_keep_alive_connections_cost_nothing() -> None:
    with faults.running("close_keepalive") as server:
        engine = HttpEngine(Endpoint(server.base_url), FixedConcurrency(2))
        await engine.start()
        for n in range(5):
            assert (await engine.answer(request(f"q{n}"))).answered
            await asyncio.sleep(0.02)
        await engine.close()


async def test_retry_after_is_passed_on() -> None:
    with faults.running() as server:
        outcome = await ask(server, request("x [[fault:503;retry_after=7]]"))
        assert outcome.failure is not None
        assert outcome.failure.retry_after == 7
        dated = await ask(server, request("x [[fault:429;retry_after=date+30]]"))
        assert dated.failure is not None and dated.failure.retry_after is not None
        assert 25 < dated.failure.retry_after <= 30


def test_an_invalid_retry_after_is_none() -> None:
    for value in (None, "soon", "", "inf", "nan", "-"):
        assert retry_after(value) is None
    assert retry_after("-5") == 0.0


async def test_nothing_there_is_unreachable() -> None:
    with faults.running() as server:
        url = server.base_url
    engine = HttpEngine(Endpoint(url), FixedConcurrency(1))
    await engine.start()
    outcome = await engine.answer(request("x"))
    assert outcome.failure is not None
    assert outcome.failure.code is Code.UNREACHABLE
    assert url in outcome.failure.message
    assert not await engine.alive()
    with pytest.raises(EngineError, match="can't be reached"):
        await engine.models()
    await engine.close()
    await engine.close()


async def test_the_key_is_sent_and_stays_out_of_messages() -> None:
    with faults.running(api_key="sesame") as server:
        assert (await ask(server, request("x"), key="sesame")).answered
        refused = await ask(server, request("x"), key="wrong-key")
        assert refused.failure is not None
        assert refused.failure.code is Code.UNAUTHORIZED
        assert "wrong-key" not in repr(refused)


async def test_the_key_stays_out_of_the_message_of_a_refused_row() -> None:
    async def refuse(request: web.Request) -> web.Response:
        message = f"Not with {request.headers['Authorization']}"
        return web.json_response({"error": {"message": message}}, status=400)

    app = web.Application()
    app.router.add_post(CHAT, refuse)
    async with TestServer(app) as server:
        endpoint = Endpoint(str(server.make_url("/v1")), Secret("a-long-key"))
        engine = HttpEngine(endpoint, FixedConcurrency(1))
        await engine.start()
        outcome = await engine.answer(request("x"))
        await engine.close()
    assert outcome.failure is not None
    assert outcome.failure.message == "Not with Bearer ****"


async def test_many_at_once_up_to_the_limit() -> None:
    with faults.running(answers="latency=1") as server:
        engine = HttpEngine(Endpoint(server.base_url), FixedConcurrency(150))
        await engine.start()
        ended: list[Outcome] = []
        rows = iter([replace(request(f"q{n}"), line=n) for n in range(1, 301)])
        await RequestScheduler(engine, rows, lambda _row, outcome, _n: ended.append(outcome)).run()
        await engine.close()
        assert len(ended) == 300
        assert all(outcome.answered for outcome in ended)
        assert 100 < server.log.max_in_flight <= 150


async def test_requests_time_out_when_the_token_counter_stands_still() -> None:
    with faults.running() as server:
        began = time.monotonic()
        outcome = await ask(server, request("x [[fault:hang;seconds=30]]"), stall_timeout=0.4)
        assert outcome.failure is not None
        assert outcome.failure.code is Code.NO_PROGRESS
        assert time.monotonic() - began < 5


async def test_a_long_answer_has_no_timeout_while_the_token_counter_moves() -> None:
    with faults.running(answers="rate=40;length=60") as server:
        outcome = await ask(server, request("x"), stall_timeout=0.4)
        assert outcome.answered, outcome
        assert outcome.seconds > 1.0


async def test_a_counter_that_disappears_stands_still() -> None:
    async def read_tokens() -> float | None:
        reads.append(1)
        return 5.0 if len(reads) < 3 else None

    reads: list[int] = []
    detector = StallDetector(read_tokens, stall_timeout=0.4, blind_timeout=60)
    running = asyncio.create_task(detector.run())
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with detector.track(max_tokens=None):
            await asyncio.sleep(20)
    assert time.monotonic() - began < 10
    running.cancel()


async def test_metrics_that_are_not_numbers_count_as_none() -> None:
    reads = 0

    async def metrics(_request: web.Request) -> web.Response:
        nonlocal reads
        reads += 1
        return web.Response(text='vllm:generation_tokens_total{a="b"} many\n')

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_post(CHAT, hang)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine = HttpEngine(
        Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/v1"), FixedConcurrency(1)
    )
    await engine.start()
    answer = asyncio.create_task(engine.answer(request("x")))
    while reads < 2:
        await asyncio.sleep(0.02)
    assert engine.states()[0].load is None
    assert await engine.alive()  # it has no list of models, but it answers
    answer.cancel()
    await engine.close()
    await runner.cleanup()


async def test_one_overdue_request_times_out_while_others_complete() -> None:
    async def none() -> float | None:
        return None

    detector = StallDetector(none, stall_timeout=0.2, blind_timeout=60)
    for _n in range(8):
        detector.record_answer(0.01, 10)
    running = asyncio.create_task(detector.run())
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with detector.track(max_tokens=10):
            await asyncio.sleep(10)
    assert 0.2 < time.monotonic() - began < 5
    async with detector.track(max_tokens=None):
        await asyncio.sleep(0.5)
    running.cancel()


async def test_the_slowest_of_the_last_answers_sets_the_time_limit() -> None:
    reads = 0

    async def read_tokens() -> None:
        nonlocal reads
        reads += 1

    detector = StallDetector(read_tokens, stall_timeout=0.05, blind_timeout=60)
    for seconds in (0.02, *[0.00001] * 7):
        detector.record_answer(seconds, 1)
    running = asyncio.create_task(detector.run())
    async with detector.track(max_tokens=100):  # 10 s by the slowest, 5 ms by the others
        while reads < 40:  # 0.25 s or more
            await asyncio.sleep(0.005)
    running.cancel()


def test_an_outcome_without_usage_counts_nothing() -> None:
    assert Outcome(body={}).usage == Usage()
