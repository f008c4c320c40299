"""Handlers for the signals that end a command: SIGINT, SIGTERM and SIGHUP.

A signal that is ignored stays ignored: `nohup` starts its command with SIGHUP ignored, and a shell
without job control starts its background jobs with SIGINT ignored. Every handler of the project
is installed here, so that none of them undoes that.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .errors import Exit

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

DEADLINE = signal.SIGVTALRM
"""What `terminate_after` sends. SIGTERM may be ignored; this one is used by nothing else."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop. A KeyboardInterrupt, so that asyncio lets it through."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = exit_code(signum)


def exit_code(signum: int) -> Exit:
    """The exit code after a signal; SIGHUP and `DEADLINE` count as SIGTERM."""
    return Exit.INTERRUPTED if signum == signal.SIGINT else Exit.TERMINATED


@contextmanager
def handle_signals(handler: Callable[[int], object], *others: signal.Signals) -> Iterator[None]:
    """Call `handler` with the number of each stop signal that is not ignored.

    `others` are handled even where they are ignored. The earlier handlers are restored at the end.
    """
    signums = [s for s in STOP_SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]
    previous = {s: signal.signal(s, lambda signum, _frame: handler(signum)) for s in signums}
    previous |= {s: signal.signal(s, lambda signum, _frame: handler(signum)) for s in others}
    try:
        yield
    finally:
        _restore(previous)


@contextmanager
def raise_on_signal() -> Iterator[None]:
    """Raise `Interrupted` in the main thread, also within a call that blocks the event loop."""

    def interrupt(signum: int) -> None:
        raise Interrupted(signum)

    with handle_signals(interrupt, DEADLINE):
        yield


@contextmanager
def terminate_after(seconds: float | None) -> Iterator[None]:
    """Treat the process as terminated after `seconds`, whatever it is doing; None for never.

    Use it within `raise_on_signal`. It works where SIGTERM is ignored, too.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, os.kill, (os.getpid(), DEADLINE))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def call_on_signal(
    callback: Callable[[int], None], patience: float, stalled: Callable[[], bool]
) -> Iterator[None]:
    """Call `callback` with the signal's number in the running event loop.

    The loop can't call it while it is blocked in a write to a pipe that nobody reads. As long as
    `stalled` returns True, the next signal raises `Interrupted` in that write; the signal is sent
    again after `patience` seconds.
    """
    from asyncio import get_running_loop  # the supervisor of a server has no need of it

    loop = get_running_loop()
    timers: list[threading.Timer] = []
    pending = 0

    def call(signum: int) -> None:
        nonlocal pending
        pending -= 1
        callback(signum)

    def handle(signum: int) -> None:
        nonlocal pending
        if pending and stalled():
            raise Interrupted(signum)
        pending += 1
        loop.call_soon_threadsafe(call, signum)
        timer = threading.Timer(patience, os.kill, (os.getpid(), signum))
        timer.daemon = True
        timer.start()
        timers.append(timer)

    with handle_signals(handle, DEADLINE):
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()


def ignore_signals() -> None:
    """Ignore the stop signals from now on; see `restored_signals`."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


@contextmanager
def restored_signals() -> Iterator[None]:
    """Restore the handlers of the stop signals at the end, whatever was installed meanwhile."""
    previous = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    try:
        yield
    finally:
        _restore(previous)


def _restore(previous: Mapping[signal.Signals, Any]) -> None:
    for signum, handler in previous.items():
        signal.signal(signum, handler)
