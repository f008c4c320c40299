"""Work that waits for a network, a disk or a process, beside the loop of the screen."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")


async def run_in_daemon_thread(function: Callable[[], R]) -> R:
    """What `function` gives or raises, from a thread of its own.

    Unlike `asyncio.to_thread` the end of the program does not wait for it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()

    def tell(value: R | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        try:
            value, error = function(), None
        except BaseException as e:  # it is the waiting one's
            value, error = None, e
        with contextlib.suppress(RuntimeError):  # the screen is gone
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=run, name="apart", daemon=True).start()
    return await future
