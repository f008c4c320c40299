"""Supervised background tasks."""

import asyncio
import logging

import pytest

from qchat import tasks
from qchat.errors import EngineError
from qchat.tasks import run_supervised, start_supervised


class Worker:
    """Raises the given errors, one a call, then returns."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


async def run(worker: Worker) -> tuple[list[str], list[float]]:
    reports: list[str] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    await run_supervised("The probe", worker, report=reports.append, sleep=sleep)
    return reports, pauses


async def test_a_failure_is_reported_once_and_the_work_goes_on() -> None:
    worker = Worker(ValueError("odd\nreply."), ValueError("odd\nreply."), EngineError("No disk."))
    reports, pauses = await run(worker)
    assert worker.calls == 4
    assert reports == ["The probe: ValueError: odd reply", "The probe: No disk"]
    assert pauses == [1.0, 2.0, 4.0]


async def test_a_failure_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "qchat.tasks"):
        await run(Worker(RuntimeError("why")))
    assert "RuntimeError: why" in caplog.text


async def test_pauses_are_bounded() -> None:
    _reports, pauses = await run(Worker(*[ValueError("x")] * 10))
    assert max(pauses) == tasks.LONGEST_PAUSE


async def test_after_a_long_run_the_pause_is_short_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "STABLE_SECONDS", 0.0)
    _reports, pauses = await run(Worker(*[ValueError("x")] * 3))
    assert pauses == [1.0, 1.0, 1.0]


async def test_a_cancelled_task_ends() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = start_supervised("The probe", work)
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_report_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def report(_text: str) -> None:
        raise BrokenPipeError("nobody reads this")

    worker = Worker(ValueError("first"), ValueError("second"))

    async def sleep(_seconds: float) -> None:
        pass

    with caplog.at_level(logging.ERROR, "qchat.tasks"):
        await run_supervised("The probe", worker, report=report, sleep=sleep)
    assert worker.calls == 3
    assert "nobody reads this" in caplog.text
