"""Engines in this process that die: what is started again, whom it costs, and what is said."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from qchat.batch import run as running
from qchat.batch.engines.selection import EngineSelection
from qchat.batch.request import Outcome, Request
from qchat.batch.scheduler import RequestScheduler

from qchat.errors import Code, Failure
from tests.batch.commands import batch, read, write
from tests.batch.echo import Echo
from tests.batch.test_scheduler import OK, Book, Script, failed, requests

Dies = Callable[[Request], bool]


@dataclass
class Mortal(Echo):
    """Answers until it is asked a row that it dies of."""

    dies: Dies
    code: Code
    dead: bool = False

    async def answer(self, request: Request) -> Outcome:
        self.dead = self.dead or self.dies(request)
        if self.dead:
            return Outcome(failure=Failure(self.code, "dead"))
        return await super().answer(request)


@dataclass
class Starts:
    """The engines that were made, and the rows that they were asked."""

    count: int = 0
    asked: Counter[int] = field(default_factory=Counter)


@contextmanager
def mortal(dies: Dies, code: Code = Code.ENGINE_DEAD) -> Iterator[Starts]:
    starts = Starts()

    def counted(request: Request) -> bool:
        starts.asked[request.line] += 1
        return dies(request)

    def engine() -> Mortal:
        starts.count += 1
        return Mortal(counted, code)

    async def choose(*_args: object) -> EngineSelection:
        return EngineSelection(engine(), "offline", "m", "", again=engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "select_engine", choose)
        yield starts


pytestmark = pytest.mark.usefixtures("home")


def rows(count: int) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(1, count + 1)))


def once(n: int) -> Dies:
    """Die at the n-th row that is asked in all."""
    seen: list[int] = []

    def dies(request: Request) -> bool:
        seen.append(request.line)
        return len(seen) == n

    return dies


def test_a_death_costs_no_row_on_standard_output_either(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    rows(50)
    with mortal(once(30)) as starts:
        assert batch("in.jsonl", "-o", "-") == 0
    out = capfdbinary.readouterr().out.splitlines()
    lines = [json.loads(line)["_qchat"]["line"] for line in out]
    assert sorted(lines) == list(range(1, 51))
    assert starts.count == 2


@pytest.mark.parametrize("out", ["out.jsonl", "-"])
def test_one_row_is_set_aside_and_all_others_are_answered(
    out: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rows(50)
    with mortal(lambda request: request.line == 30) as starts:
        assert batch("in.jsonl", "-o", out) == 1
    assert starts.count == 3
    said = capfd.readouterr().err
    assert "Line 30 was asked, alone and once before" in said
    assert "50 rows: 49 answered, 1 failed. 50 in" in said
    if out != "-":
        (row,) = read("out.errors.jsonl")
        assert (row["line"], row["error"]["code"]) == (30, "poison")  # type: ignore[index]


def test_an_engine_that_dies_of_every_row_blames_none() -> None:
    rows(50)
    with mortal(lambda _request: True) as starts:
        assert batch("in.jsonl") == 3
    assert starts.count <= 3
    assert not Path("in.results.errors.jsonl").exists()
    assert json.loads(Path("in.results.manifest.json").read_text())["state"] == "lost"


def test_one_killed_twice_from_outside_blames_none() -> None:
    rows(50)
    with mortal(lambda request: request.line == 30, Code.ENGINE_KILLED) as starts:
        assert batch("in.jsonl") == 3
    assert starts.count == 2
    assert not Path("in.results.errors.jsonl").exists()


def test_a_death_while_stopping_is_a_stop(capfd: pytest.CaptureFixture[str]) -> None:
    rows(200)
    told: list[int] = []

    def dies(request: Request) -> bool:
        if request.line == 20:
            os.kill(os.getpid(), signal.SIGTERM)
        told.append(request.line)
        return len(told) > 22

    with mortal(dies):
        assert batch("in.jsonl") == 143
    assert json.loads(Path("in.results.manifest.json").read_text())["state"] == "interrupted"
    assert "to resume:" in capfd.readouterr().err


async def test_refusals_of_the_longest_rows_are_no_fault_of_the_run() -> None:
    """The first rows count, not the first refusals, which come sooner than answers."""

    class Slow(Script):
        async def answer(self, request: Request) -> Outcome:
            if request.line % 3 == 0:
                return failed(Code.INVALID_REQUEST, "max_tokens is too large")
            await asyncio.sleep(0.05)
            return OK

    book = Book()
    await RequestScheduler(Slow(lambda _l, _n: OK, window=100), iter(requests(300)), book).run()
    assert book.lines == list(range(1, 301))


async def test_a_busy_server_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no room for more while it works on what it took: that is not being away."""
    from qchat.batch import scheduler as feeding
    from qchat.batch.scheduler import RetryRule

    monkeypatch.setattr(feeding, "_AT_WORK", 0.1)

    class Busy(Script):
        async def answer(self, request: Request) -> Outcome:
            if self.flying >= 2:
                return failed(Code.OVERLOADED, "busy")
            return await super().answer(request)

    book = Book()
    rule = RetryRule(base=0.01, cap=0.05, wait=0.5)
    engine = Busy(lambda _l, _n: OK, seconds=1.2, window=6)
    await RequestScheduler(engine, iter(requests(6)), book, rule).run()
    assert book.lines == [1, 2, 3, 4, 5, 6]
