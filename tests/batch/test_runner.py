"""Engines in this process that die: restarts, rows that fail, and messages."""

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
from qchat.batch.journal.journal import Journal
from qchat.batch.progress import ProgressDisplay
from qchat.batch.request import Outcome, Request
from qchat.batch.run_stats import RunStats

from qchat.errors import Code, EngineError, Failure
from tests.batch.commands import batch, read, write
from tests.batch.echo import Echo, echoing

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
    """The number of engines that were made, and how often each line was sent to one."""

    count: int = 0
    requests: Counter[int] = field(default_factory=Counter)


@contextmanager
def mortal(dies: Dies, code: Code = Code.ENGINE_DEAD) -> Iterator[Starts]:
    starts = Starts()

    def counted(request: Request) -> bool:
        starts.requests[request.line] += 1
        return dies(request)

    def engine() -> Mortal:
        starts.count += 1
        return Mortal(counted, code)

    async def choose(*_args: object) -> EngineSelection:
        return EngineSelection(engine(), "offline", "m", "", make_engine=engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "select_engine", choose)
        yield starts


pytestmark = pytest.mark.usefixtures("home")


def rows(count: int) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(1, count + 1)))


def once(n: int) -> Dies:
    """Die at the n-th row that is asked in all."""
    lines: list[int] = []

    def dies(request: Request) -> bool:
        lines.append(request.line)
        return len(lines) == n

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
    stderr = capfd.readouterr().err
    assert "Line 30 was in flight, alone and once before" in stderr
    assert "50 rows: 49 answered, 1 failed. 50 in" in stderr
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
    lines: list[int] = []

    def dies(request: Request) -> bool:
        if request.line == 20:
            os.kill(os.getpid(), signal.SIGTERM)
        lines.append(request.line)
        return len(lines) > 22

    with mortal(dies):
        assert batch("in.jsonl") == 143
    assert json.loads(Path("in.results.manifest.json").read_text())["state"] == "interrupted"
    assert "to resume:" in capfd.readouterr().err


def test_progress_that_cannot_be_shown_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows(20)
    ticks: list[int] = []

    class Waiting(Echo):
        """Answers after progress was to be shown once."""

        async def answer(self, request: Request) -> Outcome:
            while not ticks:
                await asyncio.sleep(0.01)
            return await super().answer(request)

    def tick(_display: ProgressDisplay, stats: RunStats) -> None:
        ticks.append(stats.done)
        raise RuntimeError("no terminal")

    monkeypatch.setattr(ProgressDisplay, "tick", tick)
    with echoing(Waiting()):
        assert batch("in.jsonl") == 0
    assert len(read("in.results.jsonl")) == 20
    assert capfd.readouterr().err.count("Showing progress: RuntimeError: no terminal") == 1


@pytest.mark.parametrize("error", [EngineError("The disk is full."), RuntimeError("broken")])
def test_answers_that_cannot_be_synced_end_the_run(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows(20)

    class Endless(Echo):
        async def answer(self, request: Request) -> Outcome:
            if request.line > 10:
                await asyncio.Event().wait()
            return await super().answer(request)

    original, errors = Journal.sync, [error]

    def sync(journal: Journal) -> None:
        if errors:
            raise errors.pop()
        original(journal)

    monkeypatch.setattr(Journal, "sync", sync)
    with echoing(Endless()):
        assert batch("in.jsonl") == 3
    assert str(error).rstrip(".") in capfd.readouterr().err
    assert len(read("in.results.jsonl")) == 10


def test_rows_in_flight_are_given_up_when_the_time_to_drain_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows(3)

    class Endless(Echo):
        async def answer(self, request: Request) -> Outcome:
            if request.line == 3:
                signal.raise_signal(signal.SIGINT)
            if request.line > 1:
                await asyncio.Event().wait()
            return await super().answer(request)

    second_signals: list[int] = []
    kill = os.kill

    def send(pid: int, signum: int) -> None:
        second_signals.append(signum)
        kill(pid, signum)

    monkeypatch.setattr(os, "kill", send)
    monkeypatch.setattr("qchat.batch.runner.DRAIN_SECONDS", 1.0)
    with echoing(Endless()):
        assert batch("in.jsonl") == 130
    assert second_signals == []
    assert len(read("in.results.jsonl")) == 1
