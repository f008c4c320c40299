"""Being told to stop: SIGINT, SIGTERM and SIGHUP, before and while rows are asked."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import Exit

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal told us to stop. A KeyboardInterrupt, so that asyncio lets it through."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = exit_code(signum)


def exit_code(signum: int) -> Exit:
    """SIGHUP counts as SIGTERM."""
    return Exit.INTERRUPTED if signum == signal.SIGINT else Exit.TERMINATED


@contextmanager
def raising() -> Iterator[None]:
    """Raise `Interrupted` where the program stands, also within a call that blocks the loop."""

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    old = {signum: signal.signal(signum, interrupt) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)


@contextmanager
def terminated_after(seconds: float | None) -> Iterator[None]:
    """Send this process a SIGTERM then, whatever it is doing; None for never."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def calling(
    callback: Callable[[int], None], patience: float, stalled: Callable[[], bool]
) -> Iterator[None]:
    """Call `callback` with the signal's number from the running loop; `raising` is restored.

    A loop that stands in a write to a pipe that nobody reads can't call it. While `stalled` says
    so, the next signal raises `Interrupted` in that write; it comes by itself after `patience`
    seconds.
    """
    loop = asyncio.get_running_loop()
    timers: list[threading.Timer] = []
    waiting = 0

    def call(signum: int) -> None:
        nonlocal waiting
        waiting -= 1
        callback(signum)

    def handle(signum: int, _frame: FrameType | None) -> None:
        nonlocal waiting
        if waiting and stalled():
            raise Interrupted(signum)
        waiting += 1
        loop.call_soon_threadsafe(call, signum)
        timer = threading.Timer(patience, os.kill, (os.getpid(), signum))
        timer.daemon = True
        timer.start()
        timers.append(timer)

    old = {signum: signal.signal(signum, handle) for signum in SIGNALS}
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for signum, handler in old.items():
            signal.signal(signum, handler)
