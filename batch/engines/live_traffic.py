"""Yield to the live requests of a server: `--low-priority`.

A server that `qchat serve` runs counts live requests apart from those of batches, which mark their
own with a header (`qchat.api.priority`). Elsewhere what runs and waits by vLLM's metrics is
compared with what the batches on this machine have in flight there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from ..request import Outcome
from .engine import Yielding
from .metrics import ServerLoad

QUIET_SECONDS = 2.0
"""Seconds without a live request after which a batch takes all of its window again."""

POLL_SECONDS = 0.1
"""Seconds between two looks at a server: a live request waits for so long, at most, until a batch
makes room for it."""

PLAIN_POLL_SECONDS = 0.25
"""The same for a server without figures of live requests, whose log gets a line for each look."""

PRIORITY = 10
"""What a request carries as vLLM's `priority`, where its scheduler has priorities: requests without
one have 0, and smaller numbers go first."""

_NOISY_SECONDS = 1.0  # for which requests of ours that have ended may still be counted as running
_CLAIM_SECONDS = 1.2  # before a batch takes its window, in which it announces that

CountOthers = Callable[[], int]
"""Returns how many requests other polite batches on this machine have in flight at the server."""


@dataclass(slots=True)
class LiveTraffic:
    """Decides how many requests of one batch may be in flight at one server.

    `in_flight` is the number allowed beside live requests. `others` counts other batches' requests
    where the server does not tell them apart. Of a server that publishes no load nothing is known:
    it counts as live all the time. Times are in seconds of `clock`. While the server is measured
    (`batch.engines.calibration`), a number is `held` without live requests too.
    """

    in_flight: int
    others: CountOthers = lambda: 0
    clock: Callable[[], float] = time.monotonic
    held: int | None = None  # set by `hold`
    is_known: bool = False  # the server was looked at
    is_live: bool = False
    is_blind: bool = False  # no load is published
    withdrawn: int = 0  # requests that were given up for live ones, to be sent again
    answered_beside: int = 0  # answers that came while there were live requests
    _live_at: float = float("-inf")  # when a live request was last seen
    _changed_at: float = float("-inf")  # when the last one came, or had been gone for long enough
    _live_before: float = 0.0  # seconds with live requests, before the present ones
    _counted: float | None = None  # live requests that the server had counted at the last look
    _held_at: float = float("-inf")  # when that was last changed
    _ours: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def most(self) -> int | None:
        """How many requests may be in flight now; None for all."""
        return self.in_flight if self.is_live else self.held

    def hold(self, number: int | None) -> None:
        """Allow so many requests without live ones; None for all."""
        self.held, self._held_at = number, self.clock()

    def limit(self, window: int) -> int:
        """How many requests to keep in flight now, of `window` at most; one in any case, which
        waits where none may be."""
        return window if self.most is None else min(window, max(self.most, 1))

    def observe(self, load: ServerLoad | None, in_flight: int) -> bool:
        """Take the server's load (None: none is published) beside `in_flight` requests of ours;
        return whether live requests have come, or have been gone for long enough."""
        now = self.clock()
        self.is_known, self.is_blind = True, load is None
        if load is None or self._sees_live(load, in_flight, now):
            self._live_at = now
        was_live, self.is_live = self.is_live, now - self._live_at < QUIET_SECONDS
        if was_live and not self.is_live:
            self._live_before += now - self._changed_at
        if self.is_live != was_live:
            self._changed_at = now
        return self.is_live != was_live

    def _sees_live(self, load: ServerLoad, in_flight: int, now: float) -> bool:
        """Whether live requests run, or have run since the last look."""
        if load.live_running is not None:
            before, self._counted = self._counted, load.live_total
            return load.live_running > 0 or before not in (None, load.live_total)
        # Our own may be counted there a moment longer than here, or not yet.
        self._ours.append((now, in_flight + self.others()))
        while self._ours[0][0] < now - _NOISY_SECONDS:
            self._ours.popleft()
        return load.running + load.waiting > max(number for _time, number in self._ours)

    def record_answer(self) -> None:
        """Count an answer."""
        self.answered_beside += self.is_live

    def state(self, in_flight: int, window: int) -> Yielding:
        """What others and a person see of it."""
        now = self.clock()
        seconds = self._live_before + (now - self._changed_at if self.is_live else 0.0)
        return Yielding(
            self.in_flight,
            self.is_live,
            self.withdrawn,
            self.answered_beside,
            seconds,
            self._claim(in_flight, window, now),
        )

    def _claim(self, in_flight: int, window: int, now: float) -> int:
        """How many requests other batches should take for this one's: those that are about to be
        sent are announced, lest they look like live ones."""
        if self.is_live:
            takes_soon = now - self._live_at > QUIET_SECONDS - _CLAIM_SECONDS
            return window if takes_soon else min(in_flight, self.in_flight)
        changed_at = max(self._changed_at, self._held_at)
        is_changing = self.held is not None or now - changed_at < QUIET_SECONDS
        return max(window, in_flight) if is_changing else in_flight


class Turns:
    """Runs so many requests at a time as a `LiveTraffic` allows.

    Where live ones come and too many run, the last ones are withdrawn: cancelled, and run again
    when it is their turn.
    """

    def __init__(self, traffic: LiveTraffic) -> None:
        self._traffic = traffic
        self._running: dict[asyncio.Task[Outcome], None] = {}
        self._withdrawn: set[asyncio.Task[Outcome]] = set()
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Requests that have been sent."""
        return len(self._running)

    async def run(self, send: Callable[[], Coroutine[None, None, Outcome]]) -> Outcome:
        """Send a request when it is its turn; again, where it was withdrawn."""
        while True:
            await self._turn()
            attempt = asyncio.create_task(send())
            self._running[attempt] = None
            try:
                return await attempt
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if attempt not in self._withdrawn or (task is not None and task.cancelling()):
                    raise
            finally:
                del self._running[attempt]
                self._withdrawn.discard(attempt)
                self._wake_one()

    def update(self) -> None:
        """Withdraw requests, or let more run, after what may run has changed."""
        for turn in self._queue:  # those for whom there is no room come back to the end
            if not turn.done():
                turn.set_result(None)
        self._queue.clear()
        if self._traffic.most is None:
            return
        staying = [task for task in self._running if task not in self._withdrawn]
        for task in staying[self._traffic.most :]:
            if task.cancel():
                self._withdrawn.add(task)
                self._traffic.withdrawn += self._traffic.is_live

    async def _turn(self) -> None:
        while (most := self._traffic.most) is not None and len(self._running) >= most:
            turn = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake_one()
                raise

    def _wake_one(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
