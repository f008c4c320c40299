"""The order of batches, their trouble and their end in time; runs are pretended."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access.delegation import Delegation
from qchat.serve.batches.child import Counts, RunEnd
from qchat.serve.batches.objects import (
    BATCH,
    CANCELLED,
    COMPLETED,
    EXPIRED,
    FAILED,
    IN_PROGRESS,
    VALIDATING,
    StoredBatch,
    StoredFile,
)
from qchat.serve.batches.queue import BatchQueue
from qchat.serve.batches.service_settings import ServiceSettings
from qchat.serve.batches.store import BatchStore
from qchat.serve.planning.batch_options import BatchOptions

from .serving import lines


@dataclass
class Server:
    """The server, as the queue asks it."""

    ready: bool = True
    revoked: bool = False
    asked: int = 0
    listings: int = 0
    holds_second: asyncio.Event | None = None  # the second listing ends once this is set

    async def is_ready(self) -> bool:
        self.asked += 1
        return self.ready

    async def models(self, _token: str) -> frozenset[str]:
        if self.revoked:
            raise PermissionError
        self.listings += 1
        if self.holds_second is not None and self.listings == 2:
            await self.holds_second.wait()
        return frozenset({"demo"})


@dataclass
class Run:
    """A run that ends when `ends` is set, as `ending` says."""

    batch: StoredBatch
    ending: RunEnd
    ends: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, counts: Counts) -> RunEnd:
        await self.ends.wait()
        counts(self.ending.done, 0)
        return self.ending

    async def stop(self) -> None:
        self.ending = RunEnd(143, "", self.ending.done)
        self.ends.set()

    async def wait_until_free(self) -> None:
        pass


class Bench:
    """A queue with pretended runs."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.now = 1000.0
        self.store = BatchStore(folder, lambda: self.now)
        self.server = Server()
        self.runs: list[Run] = []
        self.endings: dict[str, RunEnd] = {}
        settings = ServiceSettings(
            *("demo", "http://127.0.0.1:1", folder, Delegation("s"), BatchOptions(**options)),
            max_body_bytes=1 << 20,
            endpoints=("/v1/chat/completions",),
        )
        self.queue = BatchQueue(
            self.store,
            settings,
            self.server,  # type: ignore[arg-type]
            self.make,  # type: ignore[arg-type]
            lambda: self.now,
        )

    def make(self, batch: StoredBatch) -> Run:
        run = Run(batch, self.endings.get(batch.id, RunEnd(0, "", batch.total)))
        if batch.status == IN_PROGRESS:
            self.runs.append(run)
            if batch.id in self.endings:
                run.ends.set()
        return run

    def add(self, name: str, owner: str = "a", window: int = 3600) -> None:
        file = StoredFile(f"in-{name}", owner, "in", BATCH, 1, 1000)
        self.store.content(file.id).write_bytes(lines(2))
        self.store.add_file(file)
        created = int(self.now)
        self.store.add_batch(
            StoredBatch(
                *(name, owner, "/v1/chat/completions", file.id, "1h", created, created + window)
            )
        )
        self.queue.wake()

    def status(self, name: str, owner: str = "a") -> str:
        batch = self.store.batch(owner, name)
        assert batch is not None
        return batch.status

    def running(self) -> list[str]:
        return [run.batch.id for run in self.runs if not run.ends.is_set()]

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.store.open_batches()
            await asyncio.sleep(0.01)


def scenario(bench: Bench, steps: Callable[[], Any]) -> None:
    async def run() -> None:
        work = asyncio.create_task(bench.queue.run())
        try:
            await steps()
        finally:
            await bench.queue.close()
            await work

    asyncio.run(run())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "batches", max_running=2)


def test_who_has_nothing_running_comes_first(bench: Bench) -> None:
    async def steps() -> None:
        for name in ("a1", "a2", "a3"):
            bench.add(name, "a")
        bench.add("b1", "b")
        await bench.until(lambda: len(bench.runs) == 2)
        await bench.until(lambda: bench.status("b1", "b") == IN_PROGRESS)
        bench.runs[0].ends.set()
        await bench.until(lambda: len(bench.runs) == 3)
        owners = {run.batch.owner for run in bench.runs if not run.ends.is_set()}
        assert owners == {"a", "b"}

    scenario(bench, steps)


def test_not_more_than_may_run(bench: Bench) -> None:
    async def steps() -> None:
        for number in range(5):
            bench.add(f"a{number}")
        for done in range(5):
            await bench.until(lambda done=done: len(bench.runs) == min(5, done + 2))  # type: ignore[misc]
            assert len(bench.running()) <= 2
            bench.runs[done].ends.set()
        await bench.until(lambda: not bench.store.open_batches())
        assert all(bench.status(f"a{number}") == COMPLETED for number in range(5))

    scenario(bench, steps)


def test_a_batch_is_cancelled_between_two_runs(bench: Bench) -> None:
    async def steps() -> None:
        bench.endings["x"] = RunEnd(3, "The server is gone.", 0)
        bench.add("x")
        await bench.until(lambda: (b := bench.store.batch("a", "x")) is not None and b.tries == 1)
        before = time.monotonic()
        batch = bench.store.batch("a", "x")
        assert batch is not None and bench.queue.cancel(batch)
        await bench.until(lambda: bench.status("x") == CANCELLED)
        assert time.monotonic() - before < 1.5  # the pause would have taken two seconds more

    scenario(bench, steps)


def test_a_run_without_an_answer_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qchat.serve.batches.queue._LONGEST_PAUSE", 0.01)

    async def steps() -> None:
        bench.endings["x"] = RunEnd(3, "The first 20 rows were all refused.", 0)
        bench.add("x")
        await bench.until(lambda: bench.status("x") == FAILED)
        batch = bench.store.batch("a", "x")
        assert batch is not None and "refused" in batch.errors[0]["message"]
        assert len(bench.runs) == 5

    scenario(bench, steps)


@pytest.mark.parametrize("end", [RunEnd(3, "Gone.", 0, has_recorded=True), RunEnd(-9, "", 0)])
def test_runs_that_record_something_or_are_killed_are_not_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, end: RunEnd
) -> None:
    monkeypatch.setattr("qchat.serve.batches.queue._LONGEST_PAUSE", 0.01)

    async def steps() -> None:
        bench.endings["x"] = end
        bench.add("x")
        await bench.until(lambda: len(bench.runs) == 8)
        assert bench.status("x") == IN_PROGRESS
        bench.endings["x"] = RunEnd(3, "Gone.", 0)
        await bench.until(lambda: bench.status("x") == FAILED)

    scenario(bench, steps)


def test_the_time_is_over(bench: Bench) -> None:
    """A batch that runs, and one that waits: what was not answered is in the error file."""

    async def steps() -> None:
        bench.add("x", window=60)
        await bench.until(lambda: bench.running() == ["x"])
        bench.server.ready = False
        bench.add("y", window=60)
        bench.now += 61
        bench.queue.wake()
        await bench.until(lambda: bench.status("x") == bench.status("y") == EXPIRED)
        for name in ("x", "y"):
            batch = bench.store.batch("a", name)
            assert batch is not None and batch.error_file_id is not None
            text = bench.store.content(batch.error_file_id).read_text()
            assert text.count("batch_expired") == 2 and batch.failed == batch.total == 2
            assert batch.expired_at is not None and batch.finalizing_at is not None

    scenario(bench, steps)


def test_a_server_that_is_not_ready_is_waited_for(bench: Bench) -> None:
    async def steps() -> None:
        bench.server.ready = False
        bench.add("x")
        await bench.until(lambda: bench.server.asked > 0)
        assert bench.status("x") == VALIDATING
        bench.server.ready = True
        await bench.until(lambda: bench.running() == ["x"])

    scenario(bench, steps)


def test_a_revoked_key(bench: Bench) -> None:
    async def steps() -> None:
        bench.server.revoked = True
        bench.add("x")
        await bench.until(lambda: bench.status("x") == FAILED)

    scenario(bench, steps)


def test_cancelled_before_it_runs(bench: Bench) -> None:
    async def steps() -> None:
        bench.server.ready = False
        bench.add("x")
        batch = bench.store.batch("a", "x")
        assert batch is not None and bench.queue.cancel(batch)
        assert bench.status("x") == CANCELLED and not bench.queue.cancel(batch)

    scenario(bench, steps)


@pytest.mark.parametrize("end", [CANCELLED, EXPIRED])
def test_a_batch_that_ends_just_before_its_run_does_not_run(bench: Bench, end: str) -> None:
    """While the server is asked for its models, after the check and before the run."""

    async def steps() -> None:
        bench.server.holds_second = asyncio.Event()
        bench.add("x", window=60)
        await bench.until(lambda: bench.server.listings == 2)
        batch = bench.store.batch("a", "x")
        assert batch is not None and batch.status == IN_PROGRESS
        if end == CANCELLED:
            assert bench.queue.cancel(batch)
        else:
            bench.now += 61
            bench.queue.wake()
            await bench.until(lambda: bench.status("x") != IN_PROGRESS)
        bench.server.holds_second.set()
        await bench.until(lambda: bench.status("x") == end or bench.runs)
        assert bench.runs == []

    scenario(bench, steps)


def test_counts_that_can_not_be_stored_do_not_end_a_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = bench.store.change

    def change_unless_counting(batch_id: str, expected: Any, *files: Any, **new: Any) -> bool:
        if set(new) == {"completed", "failed"}:
            raise sqlite3.OperationalError("database or disk is full")
        return change(batch_id, expected, *files, **new)

    monkeypatch.setattr(bench.store, "change", change_unless_counting)

    async def steps() -> None:
        bench.add("x")
        await bench.until(lambda: bench.running() == ["x"])
        bench.runs[0].ends.set()
        await bench.until(lambda: bench.status("x") == COMPLETED or len(bench.runs) > 1)
        assert len(bench.runs) == 1

    scenario(bench, steps)


def test_closing_leaves_them_as_they_are(bench: Bench) -> None:
    async def steps() -> None:
        bench.add("x")
        await bench.until(lambda: bench.running() == ["x"])

    scenario(bench, steps)
    assert bench.status("x") == IN_PROGRESS
    batch = bench.store.batch("a", "x")
    assert batch is not None and batch.tries == 0 and batch.errors == []


def test_a_file_that_ends_the_service_is_not_checked_for_ever(bench: Bench) -> None:
    async def steps() -> None:
        bench.add("x")
        bench.store.change("x", (VALIDATING,), tries=5)  # what five kills in the check leave
        await bench.until(lambda: bench.status("x") == FAILED)

    scenario(bench, steps)
