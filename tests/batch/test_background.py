"""Work in a thread: results, errors, ticks, and the end of cancelled work."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
from qchat.batch import background
from qchat.batch.background import WorkCancelledError, WorkCounter, run_in_thread


async def test_the_result_comes_back_and_errors_do_too() -> None:
    counter = WorkCounter(total_bytes=40)

    def work(counter: WorkCounter) -> str:
        counter.step(10)
        return "result"

    assert await run_in_thread(work, counter, lambda: None) == "result"
    assert (counter.rows, counter.bytes, counter.share) == (1, 10, 0.25)

    def fail(_counter: WorkCounter) -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await run_in_thread(fail, WorkCounter(), lambda: None)


async def test_ticks_come_while_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TICK_SECONDS", 0.01)
    ticks: list[int] = []
    enough = threading.Event()

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 3:
            enough.set()

    assert await run_in_thread(lambda _counter: enough.wait(20), WorkCounter(), tick)
    assert len(ticks) >= 3


async def test_cancelled_work_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    started, release = asyncio.Event(), threading.Event()
    ended: list[str] = []

    def work(counter: WorkCounter) -> None:
        loop.call_soon_threadsafe(started.set)
        try:
            while True:  # until it is cancelled
                counter.step(1)
        except WorkCancelledError:
            loop.call_soon_threadsafe(release.set)  # needs a loop that is not blocked
            assert release.wait(20)
            ended.append("ended")
            raise

    task = asyncio.create_task(run_in_thread(work, WorkCounter(), lambda: None))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended"]


async def test_work_hears_of_a_signal_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler may raise in the main thread before that has the future of the thread."""

    class SignalError(BaseException):
        pass

    loop = asyncio.get_running_loop()
    start, ended = loop.run_in_executor, threading.Event()

    def start_and_raise(*arguments: Any) -> None:
        start(*arguments)
        raise SignalError

    def work(counter: WorkCounter) -> None:
        try:
            while not ended.wait(0.001):
                counter.check()
        except WorkCancelledError:
            ended.set()

    monkeypatch.setattr(loop, "run_in_executor", start_and_raise)
    try:
        with pytest.raises(SignalError):
            await run_in_thread(work, WorkCounter(), lambda: None)
        assert await start(None, ended.wait, 20)
    finally:
        ended.set()


async def test_the_end_of_work_is_seen_though_the_loop_was_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal that is raised in the callback with the result loses that."""
    loop = asyncio.get_running_loop()
    start, started, ended = loop.run_in_executor, threading.Event(), threading.Event()

    def start_and_lose(*arguments: Any) -> "asyncio.Future[None]":
        start(*arguments)
        return loop.create_future()

    def work(counter: WorkCounter) -> None:
        started.set()
        while not counter.cancelled:
            ended.wait(0.001)
        ended.set()

    monkeypatch.setattr(loop, "run_in_executor", start_and_lose)
    task = asyncio.create_task(run_in_thread(work, WorkCounter(), lambda: None))
    assert await start(None, started.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert ended.is_set()


def test_signals_as_work_ends_leave_no_run_waiting() -> None:
    """The handler raises wherever the loop is, also in the callback that has the result."""
    program = """
import asyncio, os, random, signal, time
import uvloop
from qchat.batch.background import WorkCounter, run_in_thread
from qchat.signals import raise_on_signal

def work(_counter):
    time.sleep(0.002)
    os.kill(os.getpid(), signal.SIGINT)
    end = time.perf_counter() + random.random() / 2000
    while time.perf_counter() < end:
        pass

async def main():
    await run_in_thread(work, WorkCounter(), lambda: None)
    await asyncio.sleep(0.01)

for _run in range(150):
    try:
        with raise_on_signal(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        pass
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
