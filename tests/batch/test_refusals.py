"""Rows that were refused: whether they are at fault, or the run."""

import asyncio
from dataclasses import replace

import pytest
from qchat.batch.inputs.endpoints import SHAPES, check_body
from qchat.batch.neutral_request import neutral_request
from qchat.batch.refusals import RunFaultError
from qchat.batch.request import Outcome, Request
from qchat.batch.scheduler import RequestScheduler

from qchat.errors import Code, Failure
from tests.batch.scripted_engine import (
    OK,
    QUICK,
    Recorder,
    ScriptedEngine,
    failed,
    requests,
    run_scheduler,
)


async def test_twenty_rows_refused_for_one_reason_are_the_runs_fault() -> None:
    engine = ScriptedEngine(lambda _line, _n: failed(Code.INVALID_REQUEST, "no such parameter"))
    recorder = Recorder()
    engine.window = 4
    with pytest.raises(RunFaultError, match=r"first 20 rows .* no such parameter"):
        await RequestScheduler(engine, iter(requests(100)), recorder, QUICK).run()
    assert recorder.entries == []


async def test_fewer_refusals_than_that_are_rows() -> None:
    engine = ScriptedEngine(lambda _line, _n: failed(Code.INVALID_REQUEST))
    assert (await run_scheduler(engine, 19)).lines == list(range(1, 20))


async def test_refusals_are_rows_once_one_was_answered() -> None:
    engine = ScriptedEngine(lambda line, _n: OK if line == 10 else failed(Code.INVALID_REQUEST))
    assert (await run_scheduler(engine, 60, window=1)).lines == list(range(1, 61))


async def test_refusals_for_several_reasons_are_rows() -> None:
    engine = ScriptedEngine(lambda line, _n: failed(Code.INVALID_REQUEST, f"reason {line % 2}"))
    assert (await run_scheduler(engine, 60)).lines == list(range(1, 61))


async def test_refusals_of_the_longest_rows_are_no_fault_of_the_run() -> None:
    """The first rows count, not the first refusals, which come sooner than answers."""

    class Slow(ScriptedEngine):
        async def answer(self, request: Request) -> Outcome:
            if request.line % 3 == 0:
                return failed(Code.INVALID_REQUEST, "max_tokens is too large")
            await asyncio.sleep(0.05)
            return OK

    recorder = Recorder()
    await RequestScheduler(Slow(lambda _l, _n: OK, window=100), iter(requests(300)), recorder).run()
    assert recorder.lines == list(range(1, 301))


def forbidden() -> Outcome:
    return Outcome(failure=Failure(Code.UNAUTHORIZED, "not this", 403))


def is_moderated(_line: int, n: int) -> Outcome:
    """Refuse a row, and answer the harmless request that is made of it."""
    return forbidden() if n == 1 else OK


@pytest.mark.parametrize("window", [1, 8])
async def test_a_403_is_the_rows_own_once_others_are_answered(window: int) -> None:
    engine = ScriptedEngine(lambda line, n: forbidden() if line in (1, 7, 40) and n == 1 else OK)
    recorder = await run_scheduler(engine, 40, window)
    failures = {line: outcome.failure for line, outcome, _n in recorder.entries if outcome.failure}
    assert recorder.lines == list(range(1, 41))
    assert failures.keys() == {1, 7, 40}
    assert {failure.code for failure in failures.values()} == {Code.FORBIDDEN}


async def test_a_403_is_the_runs_fault_where_nothing_is_answered() -> None:
    for count in (1, 5, 100):
        engine = ScriptedEngine(lambda _line, _n: forbidden())
        recorder = Recorder()
        with pytest.raises(RunFaultError, match="not this"):
            await RequestScheduler(engine, iter(requests(count)), recorder, QUICK).run()
        assert recorder.entries == []


async def test_a_key_that_is_revoked_on_the_way_fails_no_rows() -> None:
    engine = ScriptedEngine(lambda line, _n: OK if line <= 30 else forbidden())
    recorder = Recorder()
    with pytest.raises(RunFaultError, match="not this"):
        await RequestScheduler(engine, iter(requests(200)), recorder, QUICK).run()
    assert set(recorder.lines) <= set(range(1, 31))


@pytest.mark.parametrize("count", [1, 50])
async def test_a_restart_with_the_refused_rows_alone_ends(count: int) -> None:
    engine = ScriptedEngine(is_moderated)
    recorder = Recorder()
    scheduler = RequestScheduler(engine, iter(requests(count)), recorder, QUICK, proven=True)
    await scheduler.run()
    assert recorder.lines == list(range(1, count + 1))
    assert sum(engine.requests.values()) <= count + 1 + count // 12


async def test_a_gateway_that_refuses_the_tiny_request_for_its_body_has_taken_the_key() -> None:
    class Picky(ScriptedEngine):
        async def answer(self, request: Request) -> Outcome:
            if request.source == "Hi":
                return failed(Code.INVALID_REQUEST, "'user' is missing")
            return await super().answer(request)

    recorder = Recorder()
    engine = Picky(lambda _line, _n: forbidden())
    await RequestScheduler(engine, iter(requests(30)), recorder, QUICK, proven=True).run()
    failures = [outcome.failure for _line, outcome, _n in recorder.entries]
    assert recorder.lines == list(range(1, 31))
    assert {failure.code for failure in failures if failure} == {Code.FORBIDDEN}


async def test_a_restart_with_a_revoked_key_fails_no_rows() -> None:
    engine = ScriptedEngine(lambda _line, _n: forbidden())
    recorder = Recorder()
    with pytest.raises(RunFaultError, match="not this"):
        await RequestScheduler(engine, iter(requests(3)), recorder, QUICK, proven=True).run()
    assert recorder.entries == []


async def test_many_403s_before_the_first_slow_answer_are_the_rows_own() -> None:

    class Slow(ScriptedEngine):
        async def answer(self, request: Request) -> Outcome:
            if request.line % 2 and request.source != "Hi":
                await gate.wait()
                return OK
            return await super().answer(request)

    gate = asyncio.Event()
    engine = Slow(is_moderated, window=60)
    recorder = Recorder()
    run = asyncio.create_task(RequestScheduler(engine, iter(requests(120)), recorder, QUICK).run())
    async with asyncio.timeout(5):
        while len(recorder.entries) < 20:
            await asyncio.sleep(0.001)
    gate.set()
    await run
    assert recorder.lines == list(range(1, 121))
    assert sum(outcome.answered for _line, outcome, _n in recorder.entries) == 60


async def test_an_answer_to_what_was_sent_before_proves_nothing_of_a_revoked_key() -> None:

    class Revoked(ScriptedEngine):
        async def answer(self, request: Request) -> Outcome:
            if request.line == 1:
                await gate.wait()
                return OK
            gate.set()
            return forbidden()

    gate = asyncio.Event()
    recorder = Recorder()
    engine = Revoked(lambda _l, _n: OK, window=4)
    with pytest.raises(RunFaultError, match="not this"):
        await RequestScheduler(engine, iter(requests(9)), recorder, QUICK).run()
    assert recorder.lines == [1]


async def test_the_check_of_a_key_outlasts_a_busy_server() -> None:
    busy = [failed(Code.OVERLOADED), failed(Code.SERVER_ERROR)]
    engine = ScriptedEngine(lambda _l, n: forbidden() if n == 1 else busy.pop() if busy else OK)
    recorder = Recorder()
    await RequestScheduler(engine, iter(requests(2)), recorder, QUICK).run()
    assert recorder.lines == [1, 2] and not busy


def test_a_neutral_request_keeps_the_model_and_the_name_of_the_limit() -> None:
    body = {"model": "m", "max_completion_tokens": 900, "messages": [], "response_format": {}}
    request = replace(requests(1)[0], body=body)
    assert neutral_request(request).body == {
        "model": "m",
        "max_completion_tokens": 16,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    for endpoint in SHAPES:
        check_body(endpoint, neutral_request(replace(request, endpoint=endpoint)).body)
