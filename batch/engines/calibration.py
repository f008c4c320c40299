"""Measure how many requests of a batch a server takes beside live ones: `--low-priority` without a
number.

Four clients stand for live ones: each asks for one token, as soon as it has its last one, so that
its time is the time to first token. They ask while no row runs, then beside 2 rows, 4, 8 and so on,
until they wait too long; and the same again and again, as a machine that is slower for some seconds
would decide otherwise. The last number beside which they wait little longer is what live requests
can bear. The rows are the batch's own, whose answers count.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ...i18n import _, plural
from ...json_types import JsonObject
from ..low_priority import MIN_MEASURED_ROWS
from ..request import CHAT, COMPLETIONS, Request
from .live_traffic import LiveTraffic, Turns
from .live_watch import ReadFigures
from .metrics import QUEUE_FAMILIES

CLIENTS = 4
"""Clients that stand for live ones."""

SLOWER = 1.25
"""How many times as long the clients may wait, at the 95th percentile. The promise is 1.3, for live
requests that also meet a batch which has yet to yield."""

TOO_SLOW = 1.3
"""How many times as long they wait where no more rows are tried."""

PASSES = 4
"""Times that it goes through the numbers of rows. Of 33 trials on two CPU cores, where 8 rows cost
live requests 1.3 times their time to first token, 22 gave 4 rows, eight 2 and three 8."""

SAMPLES, MIN_SAMPLES = 150, 30
"""Requests of each measurement. The 95th percentiles of two differed by a fifth, those of three
together and another three by a tenth."""

SECONDS, TIMEOUT = 2.0, 20.0
"""Seconds after which a measurement ends with fewer, and those after which they are too few."""

TOTAL_SECONDS = 45.0
"""Seconds after which what was measured until then decides."""

_FIRST_LEVEL = 2
_LOOK_TIMEOUT = 5.0  # seconds until the server was looked at
_IDLE_TIMEOUT = 3.0  # seconds until it counts no request any more
_FILL_TIMEOUT = 10.0  # seconds until so many rows run
_FILLED = 0.75  # share of them that run, on the average, where they come fast enough
_SETTLE_SECONDS = 0.3  # in which their prompts are read
_INTERRUPTIONS = 5  # by live requests, after which nothing is measured
_POLL_SECONDS = 0.05

Ask = Callable[[str, JsonObject], Awaitable[bool]]
"""Sends a body to an endpoint as the batch does; returns whether it was answered."""


class _NotNowError(Exception):
    """The server can't be measured now."""


class _TooManyError(Exception):
    """So many rows there are not, or the server refuses more."""


class _InterruptedError(Exception):
    """A live request has come."""


@dataclass(slots=True)
class Calibration:
    """Finds `traffic.in_flight` for one server.

    `window` is how many requests the batch would have in flight without live ones, `rows_left` how
    many rows this server may get. Until `run` has ended few rows run or none, as `traffic` says.
    While live requests run it waits. A server that can't be measured (it publishes no load, other
    batches run there, it refuses what is asked) keeps the number that `traffic` has.
    """

    traffic: LiveTraffic
    turns: Turns
    window: Callable[[], int]
    rows_left: Callable[[], int]
    ask: Ask
    read: ReadFigures
    say: Callable[[str], None]
    url: str
    clock: Callable[[], float] = time.monotonic
    _row: asyncio.Future[Request] = field(default_factory=asyncio.Future)
    _interruptions: int = 0
    _has_ended: bool = False

    def __post_init__(self) -> None:
        self.traffic.hold(0)

    def offer(self, request: Request) -> None:
        """Take a row of the batch, whose model and endpoint the clients ask."""
        if not self._row.done():
            self._row.set_result(request)

    async def run(self) -> None:
        """Measure, once no live request runs, and let the rows go. A second call does nothing."""
        if self._has_ended:
            return
        try:
            row = await self._row
            if row.endpoint in (CHAT, COMPLETIONS):
                await self._measure(row)
        finally:
            self._has_ended = True
            self._hold(None)

    async def _measure(self, row: Request) -> None:
        try:
            await self._wait_until_quiet()
        except _NotNowError:
            return
        if self.rows_left() < MIN_MEASURED_ROWS:
            return
        text = _("Measuring how many rows {url} takes beside live requests.")
        self.say(text.format(url=self.url))
        with contextlib.suppress(_NotNowError):
            self.traffic.in_flight = await self._find(row)
        n = self.traffic.in_flight
        text = plural(
            "{url}: beside live requests {n} row is in flight at most.",
            "{url}: beside live requests {n} rows are in flight at most.",
            n,
        )
        self.say(text.format(url=self.url, n=n))

    async def _wait_until_quiet(self) -> None:
        """Wait until no live request runs. Raises `_NotNowError`."""
        traffic, deadline = self.traffic, self.clock() + _LOOK_TIMEOUT
        self._hold(0)
        while not traffic.is_known or (traffic.is_live and not traffic.is_blind):
            if not traffic.is_known and self.clock() > deadline:
                raise _NotNowError
            await asyncio.sleep(_POLL_SECONDS)
        if traffic.is_blind:
            raise _NotNowError

    async def _wait_until_idle(self) -> None:
        """Wait until the server counts no request; raises `_NotNowError`, `_InterruptedError`."""

        async def is_idle() -> bool:
            return self.turns.running == 0 and await self._count() == 0

        await self._until(is_idle, _IDLE_TIMEOUT, _NotNowError)

    async def _until(
        self, is_so: Callable[[], Awaitable[bool]], seconds: float, error: type[Exception]
    ) -> None:
        """Wait so long at most, else raise `error`; `_InterruptedError` for a live request."""
        deadline = self.clock() + seconds
        while not await is_so():
            if self.traffic.is_live:
                raise _InterruptedError
            if self.clock() > deadline:
                raise error
            await asyncio.sleep(_POLL_SECONDS)

    async def _count(self) -> float:
        """The requests of anybody at the server. Raises `_NotNowError`."""
        load = await self.read(QUEUE_FAMILIES)
        if load is None:
            raise _NotNowError
        return load.running + load.waiting

    async def _find(self, row: Request) -> int:
        """How many rows can run. Raises `_NotNowError`."""
        times: defaultdict[int, list[float]] = defaultdict(list)
        most = self.window()
        with contextlib.suppress(_NotNowError):
            deadline = self.clock() + TOTAL_SECONDS
            for _pass in range(PASSES):
                level = 0
                while level <= most:
                    if self.clock() > deadline or self.rows_left() < MIN_MEASURED_ROWS // 2:
                        raise _NotNowError
                    try:
                        seconds = await self._time(row, level)
                    except _TooManyError:
                        if level <= _FIRST_LEVEL:
                            raise _NotNowError from None
                        most = level - 1
                        break
                    times[level] += seconds
                    if _p95(times[level]) > TOO_SLOW * _p95(times[0]):
                        break
                    level = max(_FIRST_LEVEL, 2 * level)
        if _FIRST_LEVEL not in times:
            raise _NotNowError
        found = 1  # where `_FIRST_LEVEL` are too many
        for level in sorted(level for level in times if 0 < level <= most):
            if _p95(times[level]) > SLOWER * _p95(times[0]):
                break
            found = level
        return found

    async def _time(self, row: Request, level: int) -> list[float]:
        """The clients' seconds beside so many rows. Raises `_NotNowError` and `_TooManyError`."""
        while True:
            try:
                return await self._time_once(row, level)
            except _InterruptedError:
                self._interruptions += 1
                if self._interruptions >= _INTERRUPTIONS:
                    raise _NotNowError from None
                await self._wait_until_quiet()

    async def _time_once(self, row: Request, level: int) -> list[float]:
        self._hold(level)
        if level == 0:
            await self._wait_until_idle()
        await self._wait_until_filled(level)
        await asyncio.sleep(_SETTLE_SECONDS)
        clients = _Clients(self, row)
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.gather(*(clients.ask() for _number in range(CLIENTS)))
        except TimeoutError:
            raise _TooManyError from None
        if clients.has_met_live:
            raise _InterruptedError
        if clients.was_refused or clients.mean_rows < _FILLED * level:
            raise _TooManyError
        await self._check_alone()
        return clients.times

    async def _wait_until_filled(self, level: int) -> None:
        async def is_filled() -> bool:
            return self.turns.running >= level

        await self._until(is_filled, _FILL_TIMEOUT, _TooManyError)

    async def _check_alone(self) -> None:
        """Raises `_NotNowError` where other batches have begun to ask the server: their requests
        are no live ones, and would hide what ours cost."""

        async def is_alone() -> bool:
            return await self._count() < self.turns.running + CLIENTS

        await self._until(is_alone, _IDLE_TIMEOUT, _NotNowError)

    def _hold(self, number: int | None) -> None:
        self.traffic.hold(number)
        self.turns.update()


class _Clients:
    """Clients that ask as live ones do, beside the rows of `run`, and what they have met."""

    def __init__(self, run: Calibration, row: Request) -> None:
        self._run = run
        self._endpoint = row.endpoint
        self._body: JsonObject = {"model": row.body.get("model"), "max_tokens": 1}
        if row.endpoint == CHAT:
            self._body["messages"] = [{"role": "user", "content": "Hello"}]
        else:
            self._body["prompt"] = "Hello"
        self._end = run.clock() + SECONDS
        self._rows = 0
        self.times: list[float] = []
        self.has_met_live = False
        self.was_refused = False

    @property
    def mean_rows(self) -> float:
        """How many rows ran when they asked."""
        return self._rows / max(1, len(self.times))

    @property
    def _may_go_on(self) -> bool:
        number = len(self.times)
        has_time = self._run.clock() < self._end or number < MIN_SAMPLES
        return number < SAMPLES and has_time and not (self.has_met_live or self.was_refused)

    async def ask(self) -> None:
        """Be one of them until there are enough times."""
        run = self._run
        while self._may_go_on:
            started = run.clock()
            rows = run.turns.running
            if not await run.ask(self._endpoint, self._body):
                self.was_refused = True
                return
            self.times.append(run.clock() - started)
            self._rows += rows
            self.has_met_live = self.has_met_live or run.traffic.is_live


def _p95(times: list[float]) -> float:
    return sorted(times)[len(times) * 95 // 100]
