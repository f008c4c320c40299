"""The scheduler: bounded, without barriers, and one rule for what a failure costs."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from qchat.batch import scheduler as scheduler_module
from qchat.batch.refusals import RunFaultError
from qchat.batch.request import Outcome, Request
from qchat.batch.scheduler import RequestScheduler, RetryBudget, RetryRule

from qchat.errors import Code, EngineError
from tests.batch.scripted_engine import (
    OK,
    QUICK,
    Recorder,
    ScriptedEngine,
    failed,
    requests,
    run_scheduler,
)


async def test_each_row_ends_once_within_the_window() -> None:
    engine = ScriptedEngine(lambda _line, _n: OK, seconds=0.001)
    recorder = await run_scheduler(engine, 50)
    assert recorder.lines == list(range(1, 51))
    assert engine.max_in_flight == 4


async def test_a_slow_row_holds_nobody_up() -> None:
    gate = asyncio.Event()
    recorder = Recorder()

    class Slow(ScriptedEngine):
        async def answer(self, request: Request) -> Outcome:
            if request.line == 1:
                await gate.wait()
            return OK

    scheduler = RequestScheduler(
        Slow(lambda _l, _n: OK, window=2), iter(requests(40)), recorder, QUICK
    )
    task = asyncio.create_task(scheduler.run())
    async with asyncio.timeout(5):
        while len(recorder.entries) < 39:
            await asyncio.sleep(0.001)
    assert scheduler.in_flight == 1
    gate.set()
    await task
    assert recorder.lines == list(range(1, 41))


async def test_a_row_is_retried_and_its_attempts_are_counted() -> None:
    engine = ScriptedEngine(
        lambda line, n: OK if n == 3 or line != 2 else failed(Code.SERVER_ERROR)
    )
    recorder = await run_scheduler(engine, 3)
    assert {line: n for line, _outcome, n in recorder.entries} == {1: 1, 2: 3, 3: 1}


async def test_a_row_fails_after_its_attempts() -> None:
    engine = ScriptedEngine(lambda line, _n: failed(Code.SERVER_ERROR) if line == 2 else OK)
    recorder = await run_scheduler(engine, 3)
    assert engine.requests[2] == 3
    (row,) = [entry for entry in recorder.entries if entry[0] == 2]
    assert row[1].failure is not None
    assert row[2] == 3


async def test_what_is_the_rows_own_fault_is_not_tried_again() -> None:
    engine = ScriptedEngine(lambda line, _n: failed(Code.INVALID_REQUEST) if line == 2 else OK)
    recorder = await run_scheduler(engine, 3)
    assert engine.requests[2] == 1
    assert recorder.lines == [1, 2, 3]


async def test_a_busy_server_costs_no_tries() -> None:
    engine = ScriptedEngine(lambda _line, n: OK if n > 6 else failed(Code.OVERLOADED))
    recorder = await run_scheduler(
        engine, 3, rule=RetryRule(attempts=2, base=0.001, cap=0.002, wait=5)
    )
    assert [attempts for _line, _outcome, attempts in recorder.entries] == [1, 1, 1]


async def test_a_server_that_stays_busy_ends_the_run() -> None:
    engine = ScriptedEngine(lambda _line, _n: failed(Code.OVERLOADED, "full"))
    with pytest.raises(RunFaultError, match=r"full\. No answer for"):
        await run_scheduler(engine, 3)


async def test_a_server_that_comes_back_costs_no_row() -> None:
    engine = ScriptedEngine(lambda _line, _n: OK, up=False)

    def reply(line: int, _n: int) -> Outcome:
        if line == 3 and not engine.up:
            asyncio.get_running_loop().call_later(0.05, setattr, engine, "up", True)
        return OK if engine.up or line < 3 else failed(Code.UNREACHABLE)

    engine.reply = reply
    recorder = await run_scheduler(engine, 6, rule=RetryRule(attempts=1, base=0.001, wait=30))
    assert recorder.lines == [1, 2, 3, 4, 5, 6]
    assert all(outcome.answered for _line, outcome, _n in recorder.entries)


async def test_a_server_that_stays_away_ends_the_run() -> None:
    engine = ScriptedEngine(lambda _line, _n: failed(Code.UNREACHABLE, "gone"), up=False)
    with pytest.raises(RunFaultError, match=r"gone\. It did not come back within"):
        await run_scheduler(engine, 3)


@pytest.mark.parametrize("code", [Code.UNAUTHORIZED, Code.UNKNOWN_MODEL, Code.REDIRECTED])
async def test_a_fault_of_the_run_ends_it_and_no_row_has_failed(code: Code) -> None:
    engine = ScriptedEngine(lambda line, _n: failed(code, "not you") if line > 2 else OK)
    recorder = Recorder()
    engine.window = 1
    with pytest.raises(RunFaultError, match="not you"):
        await RequestScheduler(engine, iter(requests(9)), recorder, QUICK).run()
    assert recorder.lines == [1, 2]


async def test_an_unknown_model_of_a_row_is_the_rows_fault() -> None:
    engine = ScriptedEngine(lambda line, _n: failed(Code.UNKNOWN_MODEL) if line == 2 else OK)
    assert (await run_scheduler(engine, 3, uniform=False)).lines == [1, 2, 3]


async def test_stopping_ends_rows_in_flight_and_takes_no_more() -> None:
    engine = ScriptedEngine(lambda _line, _n: OK, seconds=0.02)
    recorder = Recorder()
    scheduler = RequestScheduler(engine, iter(requests(100)), recorder, QUICK)
    engine.window = 4
    task = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0.03)
    scheduler.stop()
    await task
    assert len(recorder.entries) == sum(engine.requests.values()) < 100


async def test_a_cancelled_row_stays_open_whatever_the_engine_makes_of_it() -> None:
    class Swallows(ScriptedEngine):
        async def answer(self, request: Request) -> Outcome:
            try:
                return await ScriptedEngine.answer(self, request)
            except asyncio.CancelledError:
                return failed(Code.INVALID_REQUEST, "Client disconnected")

    engine = Swallows(lambda _line, _n: OK, seconds=60)
    recorder = Recorder()
    scheduler = RequestScheduler(engine, iter(requests(20)), recorder, QUICK, proven=True)
    engine.window = 8
    task = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0.05)
    assert engine.in_flight == 8
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.entries == []


async def test_stopping_leaves_a_waiting_row_open() -> None:
    engine = ScriptedEngine(lambda _line, _n: failed(Code.OVERLOADED))
    recorder = Recorder()
    scheduler = RequestScheduler(
        engine, iter(requests(2)), recorder, RetryRule(base=60, cap=60, wait=600)
    )
    engine.window = 2
    task = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0.01)
    scheduler.stop()
    async with asyncio.timeout(2):
        await task
    assert recorder.entries == []


async def test_an_error_of_the_journal_reaches_the_caller() -> None:
    def full(_request: Request, _outcome: Outcome, _attempts: int) -> None:
        raise EngineError("disk full")

    engine = ScriptedEngine(lambda _line, _n: OK)
    engine.window = 4
    with pytest.raises(EngineError, match="disk full"):
        await RequestScheduler(engine, iter(requests(9)), full, QUICK).run()


def test_pauses_are_random_bounded_and_at_least_retry_after() -> None:
    rule = RetryRule(base=1, cap=8, wait=60)
    pauses = [rule.pause(n) for n in range(20) for _again in range(50)]
    assert min(pauses) >= 0 and 4 < max(pauses) <= 8
    assert all(rule.pause(1, 5.0) >= 5.0 for _again in range(50))
    assert rule.pause(1, 1e9) <= 62


def test_a_budget_of_tries_is_earned_by_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = RetryBudget(capacity=10, per_answer=0.5, per_second=2, _balance=10, _updated=100.0)
    assert [budget.take() for _try in range(12)] == [0.0] * 10 + [0.5, 1.0]
    for _answer in range(6):
        budget.earn()
    assert budget.take() == 0.0  # 2 owed, 3 earned
    now[0] += 60
    assert [budget.take() for _try in range(10)] == [0.0] * 10  # never more than was allowed
    assert budget.take() > 0


async def test_a_dying_server_is_not_hammered() -> None:
    engine = ScriptedEngine(lambda _line, _n: failed(Code.OVERLOADED))
    scheduler = RequestScheduler(
        engine, iter(requests(50)), Recorder(), RetryRule(base=0.0, cap=0.0, wait=600)
    )
    scheduler.budget = RetryBudget(capacity=100, per_second=20, _balance=100)
    engine.window = 50
    task = asyncio.create_task(scheduler.run())
    await asyncio.sleep(1.0)
    sent = sum(engine.requests.values())
    scheduler.stop()
    await task
    # 50 first tries, 100 of the budget, and 20 a second: without it, tens of thousands.
    assert 100 <= sent <= 50 + 100 + 20 * 10


async def test_a_busy_server_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no room for more while it works on what it took: that is not being away."""
    monkeypatch.setattr(scheduler_module, "_ACCEPTED_AFTER", 0.1)

    class Busy(ScriptedEngine):
        async def answer(self, request: Request) -> Outcome:
            if self.in_flight >= 2:
                return failed(Code.OVERLOADED, "busy")
            return await super().answer(request)

    recorder = Recorder()
    rule = RetryRule(base=0.01, cap=0.05, wait=0.5)
    engine = Busy(lambda _l, _n: OK, seconds=1.2, window=6)
    await RequestScheduler(engine, iter(requests(6)), recorder, rule).run()
    assert recorder.lines == [1, 2, 3, 4, 5, 6]


class Clock:
    """The scheduler's clock, set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(scheduler_module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def reply(self, outcomes: list[tuple[float, Outcome]]) -> Callable[[int, int], Outcome]:
        """One outcome a request, each at its time."""

        def reply(_line: int, _n: int) -> Outcome:
            self.now, outcome = outcomes.pop(0)
            return outcome

        return reply


async def run_at(clock: Clock, outcomes: list[tuple[float, Outcome]], count: int) -> Recorder:
    recorder = Recorder()
    engine = ScriptedEngine(clock.reply(outcomes), window=1)
    rule = RetryRule(base=0.0, cap=0.0, wait=200.0)
    budget = RetryBudget(_updated=0.0)
    await RequestScheduler(engine, iter(requests(count)), recorder, rule, budget=budget).run()
    return recorder


async def test_an_outage_counts_from_its_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    full = failed(Code.OVERLOADED, "full")
    outcomes = [(0.5, full), (100.0, full), (200.0, full), (201.0, full), (202.0, OK)]
    with pytest.raises(RunFaultError, match=r"full\. No answer for"):
        await run_at(clock, outcomes, 1)
    assert outcomes == [(202.0, OK)]


async def test_an_answer_ends_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    full = failed(Code.OVERLOADED, "full")
    outcomes = [(0.5, full), (150.0, full), (160.0, OK), (170.0, full), (300.0, full), (301.0, OK)]
    recorder = await run_at(clock, outcomes, 2)
    assert [attempts for _line, outcome, attempts in recorder.entries if outcome.answered] == [1, 1]


class Probes(ScriptedEngine):
    """Can't be reached; each probe gives the next of `results`, and the last one for ever."""

    def __init__(self, *results: bool | Exception) -> None:
        super().__init__(lambda _line, _n: OK if self.up else failed(Code.UNREACHABLE, "gone"))
        self.up = False
        self.results = list(results)

    async def alive(self) -> bool:
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        self.up = result
        return result


async def run_probed(engine: Probes, wait: float) -> tuple[Recorder, list[str]]:
    recorder, reports = Recorder(), list[str]()
    rule = RetryRule(base=0.001, cap=0.01, wait=wait)
    scheduler = RequestScheduler(engine, iter(requests(4)), recorder, rule, report=reports.append)
    try:
        await scheduler.run()
    except RunFaultError as error:
        reports.append(str(error))
    return recorder, reports


async def test_a_probe_that_raises_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "_PROBE_INTERVAL", 0.01)
    recorder, reports = await run_probed(Probes(RuntimeError("odd"), RuntimeError("odd"), True), 60)
    assert recorder.lines == [1, 2, 3, 4]
    assert reports == ["Waiting for the server: RuntimeError: odd"]


async def test_probes_that_always_raise_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "_PROBE_INTERVAL", 0.01)
    recorder, reports = await run_probed(Probes(RuntimeError("odd")), 0.2)
    assert recorder.lines == []
    assert len(reports) == 2 and reports[1].startswith("gone. It did not come back within")
