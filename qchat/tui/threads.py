"""Blocking calls from the event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")


async def run_in_daemon_thread(function: Callable[[], R]) -> R:
    """Run a blocking function in a daemon thread; return or raise what it does.

    Unlike with `asyncio.to_thread`, the interpreter exits without waiting for it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()

    def set_result(value: R | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        try:
            value, error = function(), None
        except BaseException as e:  # raised where it is awaited
            value, error = None, e
        with contextlib.suppress(RuntimeError):  # the window is closed
            loop.call_soon_threadsafe(set_result, value, error)

    threading.Thread(target=run, name="daemon-call", daemon=True).start()
    return await future
