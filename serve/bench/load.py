"""The load generator: sends requests in the shape of a load, and returns a measurement window with
the records of the requests around it.
"""

import asyncio
import contextlib
import time
from array import array
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import Code, Failure
from ...i18n import _
from .client import BenchRequest, RequestRecord, clock
from .load_shapes import ClosedLoop, Load, OpenLoop, Ramp, arrival_times

LAG_INTERVAL = 0.02
"""Seconds between two samples of the event loop's lag."""

MAX_BACKOFF = 1.0
"""The most seconds that a closed-loop worker waits after consecutive failures, from 0.05 on."""

_CONNECTION_FAILURES = {Code.UNREACHABLE, Code.DISCONNECTED}

SendRequest = Callable[[BenchRequest, float], Coroutine[Any, Any, RequestRecord]]


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How long to measure, in seconds; `max_requests` is a limit in place of `duration`.

    `drain` is how long requests in flight may take after the window's end, `max_in_flight` the
    limit of concurrent requests, `seed` that of the arrival times.
    """

    duration: float
    warm_up: float
    max_requests: int | None = None
    drain: float = 30.0
    max_in_flight: int = 1000
    seed: int = 0


@dataclass(slots=True)
class Measurement:
    """A measurement window from `start` to `end` (times of `clock`).

    `records` are all finished requests, those of the warm-up included; `cancelled` counts those
    that an early stop aborted. `cpu` is this process' processor time in seconds over `cpu_window`
    seconds of the window; `loop_lags` is the event loop's lag in seconds, each `LAG_INTERVAL`.
    With `server_lost` the server stopped accepting requests, and `end` is its first failure.
    """

    load: Load
    start: float
    end: float
    records: list[RequestRecord] = field(default_factory=list)
    cancelled: int = 0
    cpu: float = 0.0
    cpu_window: float = 0.0
    loop_lags: "array[float]" = field(default_factory=lambda: array("d"))
    stopped: bool = False
    server_lost: bool = False

    @property
    def in_window(self) -> Iterator[RequestRecord]:
        """The records of the requests scheduled within the window: those that are measured."""
        return (r for r in self.records if self.start <= r.scheduled_at < self.end)


async def measure(
    send: SendRequest,
    requests: Iterator[BenchRequest],
    load: Load,
    settings: LoadSettings,
    stop: asyncio.Event,
) -> Measurement:
    """Warm up, measure, and drain the requests in flight. `stop` ends the window at once.

    With a duration, the warm-up runs into the measurement without a pause; with `max_requests`
    it is drained first.
    """
    if settings.max_requests is None:
        return await _LoadRun(send, requests, load, settings, stop).run()
    if settings.warm_up:
        warm_up = replace(settings, max_requests=None, duration=settings.warm_up, warm_up=0.0)
        warm = await _LoadRun(send, requests, load.warm_up, warm_up, stop).run()
        warm.load = load
        if warm.stopped or warm.server_lost:
            warm.start = warm.end  # an empty window
            return warm
    return await _LoadRun(send, requests, load, replace(settings, warm_up=0.0), stop).run()


class _LoadRun:
    def __init__(
        self,
        send: SendRequest,
        requests: Iterator[BenchRequest],
        load: Load,
        settings: LoadSettings,
        stop: asyncio.Event,
    ) -> None:
        self._send_request = send
        self._requests = requests
        self._settings = settings
        self._stop = stop
        self._remaining = settings.max_requests
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        self._connection_failures = 0  # consecutive ones
        self._first_failure_at = 0.0  # of the consecutive ones
        start = clock() + settings.warm_up
        end = start + settings.duration if self._remaining is None else float("inf")
        self.measurement = Measurement(load, start, end)

    async def run(self) -> Measurement:
        window = self.measurement
        sampler = asyncio.create_task(self._sample_client())
        stop = asyncio.create_task(self._stop.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            window.stopped = self._stop.is_set()
            window.end = min(window.end, self._first_failure_at if window.server_lost else clock())
        finally:
            for task in (work, stop, sampler):
                task.cancel()
            await asyncio.gather(work, stop, sampler, return_exceptions=True)
        for task in (work, sampler):
            if not task.cancelled():
                task.result()  # raises its exception
        return window

    async def _work(self) -> None:
        load = self.measurement.load
        limit = None
        if self._remaining is None:
            limit = self.measurement.end - clock() + self._settings.drain
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
                if isinstance(load, ClosedLoop):
                    for _n in range(load.concurrency):
                        group.create_task(self._worker())
                else:
                    await self._open_loop(load, group)

    async def _worker(self) -> None:
        failures = 0
        while self._admit(scheduled_at := clock()):
            record = await self._send(scheduled_at)
            failures = failures + 1 if record.failure is not None else 0
            if failures:
                await asyncio.sleep(min(MAX_BACKOFF, 0.025 * 2 ** min(failures, 16)))

    async def _open_loop(self, load: OpenLoop | Ramp, group: asyncio.TaskGroup) -> None:
        settings, window = self._settings, self.measurement
        arrivals = arrival_times(
            load,
            settings.seed,
            warm_up=settings.warm_up,
            duration=settings.duration,
            requests=settings.max_requests,
        )
        for seconds in arrivals:
            scheduled_at = window.start + seconds
            await asyncio.sleep(max(0.0, min(scheduled_at, window.end) - clock()))
            if not self._admit(scheduled_at):
                break
            group.create_task(self._send(scheduled_at))

    def _admit(self, scheduled_at: float) -> bool:
        """Whether to send another request, which is then counted."""
        window = self.measurement
        if scheduled_at >= window.end or window.server_lost or self._remaining == 0:
            return False
        if self._remaining is not None:
            self._remaining -= 1
        return True

    async def _send(self, scheduled_at: float) -> RequestRecord:
        try:
            async with self._slots:
                record = await self._send_request(next(self._requests), scheduled_at)
        except asyncio.CancelledError:
            if self._stop.is_set():
                self.measurement.cancelled += 1
            else:
                text = _("no complete response {n:g} s after the end of the measurement")
                failure = Failure(Code.NO_PROGRESS, text.format(n=self._settings.drain))
                self.measurement.records.append(
                    RequestRecord(scheduled_at, scheduled_at, failure=failure)
                )
            raise
        self.measurement.records.append(record)
        self._count_connection_failure(record)
        return record

    def _count_connection_failure(self, record: RequestRecord) -> None:
        """The server is lost after many consecutive failures to connect to it."""
        if self.measurement.server_lost:
            return
        if record.failure is None or record.failure.code not in _CONNECTION_FAILURES:
            self._connection_failures = 0
            return
        if not self._connection_failures:
            self._first_failure_at = clock()
        self._connection_failures += 1
        self.measurement.server_lost = self._connection_failures >= self._max_connection_failures

    @property
    def _max_connection_failures(self) -> int:
        load = self.measurement.load
        rate = load.concurrency if isinstance(load, ClosedLoop) else int(load.peak_rate)
        return 10 + 2 * rate

    async def _sample_client(self) -> None:
        window = self.measurement
        started: float | None = None
        while True:
            before = clock()
            await asyncio.sleep(LAG_INTERVAL)
            after = clock()
            if not window.start <= before <= after < window.end:
                continue
            if started is None:
                started, cpu = after, time.process_time()
            window.loop_lags.append(max(0.0, after - before - LAG_INTERVAL))
            window.cpu, window.cpu_window = time.process_time() - cpu, after - started
