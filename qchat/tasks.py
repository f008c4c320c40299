"""Background tasks that never die unnoticed.

A task that watches something (a server's health, its load, requests that hang) must not end with
its first exception: what it watches would then look as it last looked. `run_supervised` is the one
way to run such work: it logs an exception, reports it once, and starts the work again. Work with
a retry loop and a deadline of its own uses `FailureReporter` for the first two.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from .errors import QchatError
from .i18n import _
from .sanitize import one_line

FIRST_PAUSE: Final = 1.0
"""Seconds before work that failed is started again; each further failure in a row doubles them."""

LONGEST_PAUSE: Final = 60.0
"""Seconds that a pause lasts at most."""

STABLE_SECONDS: Final = 60.0
"""Work that ran for so long before it failed begins again with the first pause."""

_log = logging.getLogger(__name__)
# No traceback on a person's terminal, unless `--debug` adds a handler that writes it there.
_log.addHandler(logging.NullHandler())


class FailureReporter:
    """Logs each exception of one background job, and reports each kind of them once.

    `name` says in the log what the job is; `report` is called with one sentence for a person.
    """

    def __init__(self, name: str, report: Callable[[str], None] | None = None) -> None:
        self._name = name
        self._report = report
        self._reported: set[str] = set()

    def add(self, error: Exception) -> None:
        """Log `error` with its traceback; report it unless its like was reported before.

        A report that fails is logged too: there may be nobody left to read it.
        """
        _log.error("%s failed; it is tried again", self._name, exc_info=error)
        message = _describe(error)
        if self._report is None or message in self._reported:
            return
        self._reported.add(message)
        try:
            self._report(_("{task}: {message}").format(task=self._name, message=message))
        except Exception:
            _log.exception("%s could not report its failure", self._name)


async def run_supervised(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    report: Callable[[str], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run `work` until it returns or this task is cancelled; start it again when it raises.

    `name` and `report` are those of `FailureReporter`. `sleep` waits between two attempts. Raises
    nothing but `asyncio.CancelledError`.
    """
    loop = asyncio.get_running_loop()
    failures = FailureReporter(name, report)
    pause = FIRST_PAUSE
    while True:
        started = loop.time()
        try:
            await work()
        except Exception as error:
            failures.add(error)
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
    text = one_line(str(error)).rstrip(".。")
    return text if isinstance(error, QchatError) else f"{type(error).__name__}: {text}"
