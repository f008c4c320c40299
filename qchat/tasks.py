"""Background tasks that never die unnoticed.

A task that watches something (a server's health, its load, requests that hang) must not end with
its first exception: what it watches would then look as it last looked. `run_supervised` is the one
way to run such work: it logs an exception, reports it once, and starts the work again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from .errors import QchatError
from .sanitize import one_line

FIRST_PAUSE: Final = 1.0
"""Seconds before work that failed is started again; each further failure in a row doubles them."""

LONGEST_PAUSE: Final = 60.0
"""Seconds that a pause lasts at most."""

STABLE_SECONDS: Final = 60.0
"""Work that ran for so long before it failed begins again with the first pause."""

_log = logging.getLogger(__name__)


async def run_supervised(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    report: Callable[[str], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run `work` until it returns or this task is cancelled; start it again when it raises.

    `name` says in the log what the work is. `report` is called with one sentence for a person at
    the first failure of each kind; the same failure is not reported twice. `sleep` waits between
    two attempts. Raises nothing but `asyncio.CancelledError`.
    """
    loop = asyncio.get_running_loop()
    reported: set[str] = set()
    pause = FIRST_PAUSE
    while True:
        started = loop.time()
        try:
            await work()
        except Exception as error:
            _log.exception("%s failed and is started again", name)
            message = _describe(error)
            if report is not None and message not in reported:
                reported.add(message)
                report(f"{name}: {message}")
        else:
            return
        if loop.time() - started >= STABLE_SECONDS:
            pause = FIRST_PAUSE
        await sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def start_supervised(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    report: Callable[[str], None] | None = None,
) -> "asyncio.Task[None]":
    """Start `run_supervised` as a task of the running loop; the caller cancels it."""
    return asyncio.create_task(run_supervised(name, work, report=report), name=name)


def _describe(error: Exception) -> str:
    text = one_line(str(error)).rstrip(".")
    return text if isinstance(error, QchatError) else f"{type(error).__name__}: {text}"
