"""The feeder: bounded, without barriers, and one rule for what a failure costs."""

import asyncio
import time

import pytest
from qchat.batch.request import Outcome, Request
from qchat.batch.scheduler import RequestScheduler, RetryBudget, RetryRule, RunFaultError

from qchat.errors import Code, EngineError
from tests.batch.scripted import OK, Book, Script, failed, requests

QUICK = RetryRule(attempts=3, base=0.001, cap=0.01, wait=0.2)


async def feed(
    engine: Script, count: int, width: int = 4, *, rule: RetryRule = QUICK, uniform: bool = True
) -> Book:
    book = Book()
    engine.window = width
    await RequestScheduler(engine, iter(requests(count)), book, rule, uniform=uniform).run()
    return book


async def test_each_row_ends_once_and_the_window_is_kept() -> None:
    engine = Script(lambda _line, _n: OK, seconds=0.001)
    book = await feed(engine, 50)
    assert book.lines == list(range(1, 51))
    assert engine.most == 4


async def test_a_slow_row_holds_nobody_up() -> None:
    gate = asyncio.Event()
    book = Book()

    class Slow(Script):
        async def answer(self, request: Request) -> Outcome:
            if request.line == 1:
                await gate.wait()
            return OK

    feeder = RequestScheduler(Slow(lambda _l, _n: OK, window=2), iter(requests(40)), book, QUICK)
    task = asyncio.create_task(feeder.run())
    async with asyncio.timeout(5):
        while len(book.ended) < 39:
            await asyncio.sleep(0.001)
    assert feeder.in_flight == 1
    gate.set()
    await task
    assert book.lines == list(range(1, 41))


async def test_a_row_is_tried_again_and_its_tries_are_counted() -> None:
    engine = Script(lambda line, n: OK if n == 3 or line != 2 else failed(Code.SERVER_ERROR))
    book = await feed(engine, 3)
    assert {line: n for line, _outcome, n in book.ended} == {1: 1, 2: 3, 3: 1}


async def test_a_row_is_given_up_after_its_tries() -> None:
    engine = Script(lambda line, _n: failed(Code.SERVER_ERROR) if line == 2 else OK)
    book = await feed(engine, 3)
    assert engine.asked[2] == 3
    (row,) = [entry for entry in book.ended if entry[0] == 2]
    assert row[1].failure is not None
    assert row[2] == 3


async def test_what_is_the_rows_own_fault_is_not_tried_again() -> None:
    engine = Script(lambda line, _n: failed(Code.INVALID_REQUEST) if line == 2 else OK)
    book = await feed(engine, 3)
    assert engine.asked[2] == 1
    assert book.lines == [1, 2, 3]


async def test_a_busy_server_costs_no_tries() -> None:
    engine = Script(lambda _line, n: OK if n > 6 else failed(Code.OVERLOADED))
    book = await feed(engine, 3, rule=RetryRule(attempts=2, base=0.001, cap=0.002, wait=5))
    assert [attempts for _line, _outcome, attempts in book.ended] == [1, 1, 1]


async def test_a_server_that_stays_busy_ends_the_run() -> None:
    engine = Script(lambda _line, _n: failed(Code.OVERLOADED, "full"))
    with pytest.raises(RunFaultError, match=r"full\. No answer for"):
        await feed(engine, 3)


async def test_a_server_that_comes_back_costs_no_row() -> None:
    engine = Script(lambda _line, _n: OK, up=False)

    def reply(line: int, _n: int) -> Outcome:
        if line == 3 and not engine.up:
            asyncio.get_running_loop().call_later(0.05, setattr, engine, "up", True)
        return OK if engine.up or line < 3 else failed(Code.UNREACHABLE)

    engine.reply = reply
    book = await feed(engine, 6, rule=RetryRule(attempts=1, base=0.001, wait=30))
    assert book.lines == [1, 2, 3, 4, 5, 6]
    assert all(outcome.answered for _line, outcome, _n in book.ended)


async def test_a_server_that_stays_away_ends_the_run() -> None:
    engine = Script(lambda _line, _n: failed(Code.UNREACHABLE, "gone"), up=False)
    with pytest.raises(RunFaultError, match=r"gone\. It did not come back within"):
        await feed(engine, 3)


@pytest.mark.parametrize("code", [Code.UNAUTHORIZED, Code.UNKNOWN_MODEL, Code.REDIRECTED])
async def test_a_fault_of_the_run_ends_it_and_no_row_has_failed(code: Code) -> None:
    engine = Script(lambda line, _n: failed(code, "not you") if line > 2 else OK)
    book = Book()
    engine.window = 1
    with pytest.raises(RunFaultError, match="not you"):
        await RequestScheduler(engine, iter(requests(9)), book, QUICK).run()
    assert book.lines == [1, 2]


async def test_an_unknown_model_of_a_row_is_the_rows_fault() -> None:
    engine = Script(lambda line, _n: failed(Code.UNKNOWN_MODEL) if line == 2 else OK)
    assert (await feed(engine, 3, uniform=False)).lines == [1, 2, 3]


async def test_twenty_rows_refused_for_one_reason_are_the_runs_fault() -> None:
    engine = Script(lambda _line, _n: failed(Code.INVALID_REQUEST, "no such parameter"))
    book = Book()
    engine.window = 4
    with pytest.raises(RunFaultError, match=r"first 20 rows .* no such parameter"):
        await RequestScheduler(engine, iter(requests(100)), book, QUICK).run()
    assert book.ended == []


async def test_fewer_refusals_than_that_are_rows() -> None:
    engine = Script(lambda _line, _n: failed(Code.INVALID_REQUEST))
    assert (await feed(engine, 19)).lines == list(range(1, 20))


async def test_refusals_are_rows_once_one_was_answered() -> None:
    engine = Script(lambda line, _n: OK if line == 10 else failed(Code.INVALID_REQUEST))
    assert (await feed(engine, 60, width=1)).lines == list(range(1, 61))


async def test_refusals_for_several_reasons_are_rows() -> None:
    engine = Script(lambda line, _n: failed(Code.INVALID_REQUEST, f"reason {line % 2}"))
    assert (await feed(engine, 60)).lines == list(range(1, 61))


async def test_stopping_ends_rows_in_flight_and_takes_no_more() -> None:
    engine = Script(lambda _line, _n: OK, seconds=0.02)
    book = Book()
    feeder = RequestScheduler(engine, iter(requests(100)), book, QUICK)
    engine.window = 4
    task = asyncio.create_task(feeder.run())
    await asyncio.sleep(0.03)
    feeder.stop()
    await task
    assert len(book.ended) == sum(engine.asked.values()) < 100


async def test_a_row_given_up_stays_open_whatever_the_engine_makes_of_it() -> None:
    class Swallows(Script):
        async def answer(self, request: Request) -> Outcome:
            try:
                return await Script.answer(self, request)
            except asyncio.CancelledError:
                return failed(Code.INVALID_REQUEST, "Client disconnected")

    engine = Swallows(lambda _line, _n: OK, seconds=60)
    book = Book()
    feeder = RequestScheduler(engine, iter(requests(20)), book, QUICK)
    feeder.proven = True
    engine.window = 8
    task = asyncio.create_task(feeder.run())
    await asyncio.sleep(0.05)
    assert engine.flying == 8
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert book.ended == []


async def test_stopping_leaves_a_waiting_row_open() -> None:
    engine = Script(lambda _line, _n: failed(Code.OVERLOADED))
    book = Book()
    feeder = RequestScheduler(engine, iter(requests(2)), book, RetryRule(base=60, cap=60, wait=600))
    engine.window = 2
    task = asyncio.create_task(feeder.run())
    await asyncio.sleep(0.01)
    feeder.stop()
    async with asyncio.timeout(2):
        await task
    assert book.ended == []


async def test_trouble_with_the_journal_reaches_the_caller() -> None:
    def full(_request: Request, _outcome: Outcome, _attempts: int) -> None:
        raise EngineError("disk full")

    engine = Script(lambda _line, _n: OK)
    engine.window = 4
    with pytest.raises(EngineError, match="disk full"):
        await RequestScheduler(engine, iter(requests(9)), full, QUICK).run()


def test_pauses_are_random_bounded_and_never_sooner_than_asked() -> None:
    rule = RetryRule(base=1, cap=8, wait=60)
    pauses = [rule.pause(n) for n in range(20) for _again in range(50)]
    assert min(pauses) >= 0 and 4 < max(pauses) <= 8
    assert all(rule.pause(1, 5.0) >= 5.0 for _again in range(50))
    assert rule.pause(1, 1e9) <= 62


def test_a_budget_of_tries_is_earned_by_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = RetryBudget(most=10, per_answer=0.5, per_second=2, _left=10, _seen=100.0)
    assert [budget.take() for _try in range(12)] == [0.0] * 10 + [0.5, 1.0]
    for _answer in range(6):
        budget.earn()
    assert budget.take() == 0.0  # 2 owed, 3 earned
    now[0] += 60
    assert [budget.take() for _try in range(10)] == [0.0] * 10  # never more than was allowed
    assert budget.take() > 0


async def test_a_dying_server_is_not_hammered() -> None:
    engine = Script(lambda _line, _n: failed(Code.OVERLOADED))
    feeder = RequestScheduler(
        engine, iter(requests(50)), Book(), RetryRule(base=0.0, cap=0.0, wait=600)
    )
    feeder.budget = RetryBudget(most=100, per_second=20, _left=100)
    engine.window = 50
    task = asyncio.create_task(feeder.run())
    await asyncio.sleep(1.0)
    asked = sum(engine.asked.values())
    feeder.stop()
    await task
    # 50 first tries, 100 of the budget, and 20 a second: without it, tens of thousands.
    assert 100 <= asked <= 50 + 100 + 20 * 10
