"""Run long file work in a thread: the event loop goes on, and a signal stops the work."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

TICK_SECONDS = 1.0
"""Seconds between two reports of what a thread has done."""

_LOST_SECONDS = 0.1  # between two looks at work whose end the loop may not be told of

T = TypeVar("T")


class WorkCancelledError(Exception):
    """The work is to end early; what it has written so far must be as if it had not begun."""


@dataclass(slots=True)
class WorkCounter:
    """How far the work in a thread has come: rows, and bytes of `total_bytes`."""

    total_bytes: int = 0
    rows: int = 0
    bytes: int = 0
    cancelled: bool = False

    def step(self, size: int) -> None:
        """Count one row of `size` bytes. Raises `WorkCancelledError` when the work shall end."""
        self.rows += 1
        self.bytes += size
        if self.cancelled:
            raise WorkCancelledError

    def check(self) -> None:
        """Raise `WorkCancelledError` when the work shall end."""
        if self.cancelled:
            raise WorkCancelledError

    @property
    def share(self) -> float:
        """The part of all bytes that is done, 0 to 1."""
        return min(1.0, self.bytes / self.total_bytes) if self.total_bytes else 0.0


class InThread(Protocol):
    """Runs a function in a thread, and shows how far it is under a label."""

    def __call__(self, label: str, function: Callable[[WorkCounter], T]) -> Awaitable[T]:
        """Return what the function returns."""


async def run_in_thread(
    function: Callable[[WorkCounter], T], counter: WorkCounter, on_tick: Callable[[], None]
) -> T:
    """Run ``function(counter)`` in a thread and return its result.

    `on_tick` is called once a second meanwhile. When this is cancelled, the function is told so by
    its counter, and is waited for: it may hold files that others get next.
    """
    future: asyncio.Future[T] | None = None
    ended = threading.Event()

    def work() -> T:
        try:
            return function(counter)
        finally:
            ended.set()

    try:
        # Not asyncio.to_thread: that is a task of its own, which the end of the loop would cancel.
        future = asyncio.get_running_loop().run_in_executor(None, work)
        while not (await asyncio.wait({future}, timeout=TICK_SECONDS))[0]:
            on_tick()
    except BaseException:
        counter.cancelled = True
        if future is not None:  # a signal may have come before it was: the loop's end waits for it
            # Not for the future alone: the signal may have been raised in the very callback that
            # was to tell it the result, and it would never hear of it.
            while not future.done() and not ended.is_set():
                await asyncio.wait({future}, timeout=_LOST_SECONDS)
            if future.done():
                future.exception()  # the cancellation is told, not what it led to
        raise
    return future.result()
