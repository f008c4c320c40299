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
from ..request import CHAT, COMPLETIONS, Request
from .engine_request import MIN_MEASURED_ROWS
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

_FIRST_LEVEL = 2
_FILL_TIMEOUT = 10.0  # seconds until so many rows run
_SETTLE_SECONDS = 0.3  # in which their prompts are read
_INTERRUPTIONS = 5  # by live requests, after which nothing is measured
_POLL_SECONDS = 0.05

Ask = Callable[[str, JsonObject], Awaitable[bool]]
"""Sends a body to an endpoint as the batch does; returns whether it was answered."""


class _GivenUpError(Exception):
    """The server can't be measured now."""


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

    def __post_init__(self) -> None:
        self.traffic.held = 0

    def offer(self, request: Request) -> None:
        """Take a row of the batch, whose model and endpoint the clients ask."""
        if not self._row.done():
            self._row.set_result(request)

    async def run(self) -> None:
        """Measure, once no live request runs, and let the rows go."""
        try:
            row = await self._row
            if row.endpoint in (CHAT, COMPLETIONS):
                await self._measure(row)
        finally:
            self._hold(None)

    async def _measure(self, row: Request) -> None:
        with contextlib.suppress(_GivenUpError):
            await self._wait_until_quiet()
            text = _("Measuring how many rows {url} takes beside live requests.")
            self.say(text.format(url=self.url))
            n = self.traffic.in_flight = await self._find(row)
            text = plural(
                "{url}: beside live requests {n} row is in flight at most.",
                "{url}: beside live requests {n} rows are in flight at most.",
                n,
            )
            self.say(text.format(url=self.url, n=n))

    async def _wait_until_quiet(self) -> None:
        """Wait until no request runs but the batch's own. Raises `_GivenUpError`."""
        traffic = self.traffic
        self._hold(0)
        while True:
            while not traffic.is_known or (traffic.is_live and not traffic.is_blind):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
            with contextlib.suppress(_InterruptedError):
                await self._until(lambda: self.turns.running == 0)
                break
        load = await self.read(QUEUE_FAMILIES)
        is_alone = load is not None and load.running + load.waiting == 0
        if traffic.is_blind or not is_alone or self.rows_left() < MIN_MEASURED_ROWS:
            raise _GivenUpError

    async def _find(self, row: Request) -> int:
        """How many rows can run. Raises `_GivenUpError`."""
        times: defaultdict[int, list[float]] = defaultdict(list)
        most = self.window()
        for _pass in range(PASSES):
            level = 0
            while level <= most:
                try:
                    times[level] += await self._time(row, level)
                except _GivenUpError:  # there are no more rows, or the server takes no more
                    if level <= _FIRST_LEVEL:
                        raise
                    most = level - 1
                    break
                if _p95(times[level]) > TOO_SLOW * _p95(times[0]):
                    break
                level = max(_FIRST_LEVEL, 2 * level)
        found = 1  # where `_FIRST_LEVEL` are too many
        for level in sorted(level for level in times if 0 < level <= most):
            if _p95(times[level]) > SLOWER * _p95(times[0]):
                break
            found = level
        return found

    async def _time(self, row: Request, level: int) -> list[float]:
        """The clients' seconds beside so many rows. Raises `_GivenUpError`."""
        while True:
            try:
                return await self._time_once(row, level)
            except _InterruptedError:
                self._interruptions += 1
                if self._interruptions >= _INTERRUPTIONS:
                    raise _GivenUpError from None
                await self._wait_until_quiet()

    async def _time_once(self, row: Request, level: int) -> list[float]:
        self._hold(level)
        await self._until(lambda: self.turns.running >= level)
        await asyncio.sleep(_SETTLE_SECONDS)
        times: list[float] = []
        end = self.clock() + SECONDS
        try:
            async with asyncio.timeout(TIMEOUT):
                answered = await asyncio.gather(
                    *(self._client(row, times, end) for _number in range(CLIENTS))
                )
        except TimeoutError:
            raise _GivenUpError from None
        if self.traffic.is_live:
            raise _InterruptedError
        if not all(answered):
            raise _GivenUpError
        return times

    async def _client(self, row: Request, times: list[float], end: float) -> bool:
        """Ask until there are enough times; return whether each was answered."""
        body: JsonObject = {"model": row.body.get("model"), "max_tokens": 1}
        if row.endpoint == CHAT:
            body["messages"] = [{"role": "user", "content": "Hello"}]
        else:
            body["prompt"] = "Hello"
        while len(times) < SAMPLES and (self.clock() < end or len(times) < MIN_SAMPLES):
            if self.traffic.is_live:
                return False
            started = self.clock()
            if not await self.ask(row.endpoint, body):
                return False
            times.append(self.clock() - started)
        return True

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Raises `_GivenUpError` where it does not come true in time, and `_InterruptedError`."""
        deadline = self.clock() + _FILL_TIMEOUT
        while not condition():
            if self.traffic.is_live and not self.traffic.is_blind:
                raise _InterruptedError
            if self.clock() > deadline:
                raise _GivenUpError
            await asyncio.sleep(_POLL_SECONDS)

    def _hold(self, number: int | None) -> None:
        self.traffic.held = number
        self.turns.update()


def _p95(times: list[float]) -> float:
    return sorted(times)[len(times) * 95 // 100]
