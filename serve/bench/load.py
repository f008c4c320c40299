"""How a bench asks: closed loop (so many at a time) and open loop (so many a second, at random
moments). What it gives back is a window of time and everything that was asked around it.
"""

import asyncio
import contextlib
import random
import time
from array import array
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import Code, Failure
from ...i18n import _
from .client import BenchRequest, RequestRecord, clock

TICK = 0.02
"""Seconds between two looks at how late the event loop is."""

LONGEST_REST = 1.0
"""Seconds that a place of a closed loop rests after failures in a row, at most; from 0.05 on."""

_GONE = {Code.UNREACHABLE, Code.DISCONNECTED}

Answer = Callable[[BenchRequest, float], Coroutine[Any, Any, RequestRecord]]


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """So many requests at a time: the next is sent when one has ended."""

    concurrency: int

    @property
    def name(self) -> str:
        """For a person."""
        return _("{n} at a time").format(n=self.concurrency)


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """So many requests a second at random moments (Poisson), however slow the answers are."""

    rate: float

    @property
    def name(self) -> str:
        """For a person."""
        return _("{rate:g} a second").format(rate=self.rate)


Load = ClosedLoop | OpenLoop


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How long. Seconds; `requests` ends the measurement by number in place of `duration`.

    `drain`: how long requests may take that are in flight at its end. `places`: how many
    requests can be in flight at once.
    """

    duration: float
    warm_up: float
    requests: int | None = None
    drain: float = 30.0
    places: int = 1000
    seed: int = 0


@dataclass(slots=True)
class Measurement:
    """A measurement from `begin` to `end` (of `clock`).

    `records` are all requests that ended, those of the warm-up among them; `cut` were broken off.
    `cpu` is this process' processor time in seconds, over `cpu_span` seconds of the window; `lags`
    say how late the event loop was, in seconds, each `TICK`. `lost`: the server went away; `end` is
    then when it was first not there.
    """

    load: Load
    begin: float
    end: float
    records: list[RequestRecord] = field(default_factory=list)
    cut: int = 0
    cpu: float = 0.0
    cpu_span: float = 0.0
    lags: "array[float]" = field(default_factory=lambda: array("d"))
    stopped: bool = False
    lost: bool = False

    @property
    def own(self) -> Iterator[RequestRecord]:
        """The requests that were due within the window: those that are measured."""
        return (r for r in self.records if self.begin <= r.scheduled < self.end)


async def measure(
    answer: Answer,
    asks: Iterator[BenchRequest],
    load: Load,
    terms: LoadSettings,
    stop: asyncio.Event,
) -> Measurement:
    """Warm up, measure, wait for what is in flight. `stop` ends it early, with what there is.

    With a duration the load goes on from the warm-up into the measurement; with a number of
    requests the warm-up ends before.
    """
    if terms.requests is None:
        return await _LoadRun(answer, asks, load, terms, stop).go()
    if terms.warm_up:
        first = replace(terms, requests=None, duration=terms.warm_up, warm_up=0.0)
        warm = await _LoadRun(answer, asks, load, first, stop).go()
        if warm.stopped or warm.lost:
            warm.begin = warm.end  # nothing of it counts
            return warm
    return await _LoadRun(answer, asks, load, replace(terms, warm_up=0.0), stop).go()


class _LoadRun:
    def __init__(
        self,
        answer: Answer,
        asks: Iterator[BenchRequest],
        load: Load,
        terms: LoadSettings,
        stop: asyncio.Event,
    ) -> None:
        self._answer = answer
        self._asks = asks
        self._terms = terms
        self._stop = stop
        self._left = terms.requests
        self._gate = asyncio.Semaphore(terms.places)
        self._gone = 0  # failures in a row where nobody was there
        self._gone_at = 0.0  # the first of them
        begin = clock() + terms.warm_up
        end = begin + terms.duration if self._left is None else float("inf")
        self.measured = Measurement(load, begin, end)

    async def go(self) -> Measurement:
        now = self.measured
        observer = asyncio.create_task(self._observe())
        stopped = asyncio.create_task(self._stop.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            now.stopped = self._stop.is_set()
            now.end = min(now.end, self._gone_at if now.lost else clock())
        finally:
            for task in (work, stopped, observer):
                task.cancel()
            await asyncio.gather(work, stopped, observer, return_exceptions=True)
        for task in (work, observer):
            if not task.cancelled():
                task.result()  # raises what it raised
        return now

    async def _work(self) -> None:
        load = self.measured.load
        limit = None
        if self._left is None:
            limit = self.measured.end - clock() + self._terms.drain
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
                if isinstance(load, ClosedLoop):
                    for _n in range(load.concurrency):
                        group.create_task(self._place())
                else:
                    await self._open(load.rate, group)

    async def _place(self) -> None:
        failures = 0
        while self._take(scheduled := clock()):
            record = await self._ask(scheduled)
            failures = failures + 1 if record.failure is not None else 0
            if failures:
                await asyncio.sleep(min(LONGEST_REST, 0.025 * 2 ** min(failures, 16)))

    async def _open(self, rate: float, group: asyncio.TaskGroup) -> None:
        chance = random.Random(self._terms.seed)  # noqa: S311 - no secret: the same run again
        scheduled = clock()
        while True:
            scheduled += chance.expovariate(rate)
            await asyncio.sleep(max(0.0, min(scheduled, self.measured.end) - clock()))
            if not self._take(scheduled):
                break
            group.create_task(self._ask(scheduled))

    def _take(self, scheduled: float) -> bool:
        """Whether one more request is to be sent."""
        if scheduled >= self.measured.end or self.measured.lost or self._left == 0:
            return False
        if self._left is not None:
            self._left -= 1
        return True

    async def _ask(self, scheduled: float) -> RequestRecord:
        try:
            async with self._gate:
                record = await self._answer(next(self._asks), scheduled)
        except asyncio.CancelledError:
            if self._stop.is_set():
                self.measured.cut += 1
            else:
                text = _("not answered {n:g} s after the measurement's end")
                failure = Failure(Code.NO_PROGRESS, text.format(n=self._terms.drain))
                self.measured.records.append(RequestRecord(scheduled, scheduled, failure=failure))
            raise
        self.measured.records.append(record)
        nobody = record.failure is not None and record.failure.code in _GONE
        if not self.measured.lost:
            self._gone_at = self._gone_at if self._gone else clock()
            self._gone = self._gone + 1 if nobody else 0
            self.measured.lost = self._gone >= self._too_many
        return record

    @property
    def _too_many(self) -> int:
        load = self.measured.load
        return 10 + 2 * (load.concurrency if isinstance(load, ClosedLoop) else int(load.rate))

    async def _observe(self) -> None:
        now = self.measured
        began: float | None = None
        while True:
            before = clock()
            await asyncio.sleep(TICK)
            after = clock()
            if not now.begin <= before <= after < now.end:
                continue
            if began is None:
                began, cpu = after, time.process_time()
            now.lags.append(max(0.0, after - before - TICK))
            now.cpu, now.cpu_span = time.process_time() - cpu, after - began
