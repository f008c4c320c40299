"""Finds requests that will never be answered, without a limit on how long an answer may take.

A request without a stream sends no byte until it ends, so silence says nothing. What says
something: the server's own token counters stand still, or its other requests end while this
one is overdue by far for its `max_tokens`. A total timeout would throw long answers away.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

Counters = Callable[[], Awaitable[float | None]]
"""The server's token count so far, or None where it tells none."""

SPARE = 5.0
"""How many times its expected duration a request may take."""


_Open = dict[asyncio.Timeout, tuple[float, int | None]]


class _InFlight:
    """By hand, not by `asynccontextmanager`: that took a twentieth of the client's CPU."""

    __slots__ = ("_limit", "_max_tokens", "_open")

    def __init__(self, open_: _Open, max_tokens: int | None) -> None:
        self._open = open_
        self._max_tokens = max_tokens
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._open[self._limit] = (asyncio.get_running_loop().time(), self._max_tokens)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._open[self._limit]
        await self._limit.__aexit__(kind, error, trace)


@dataclass(slots=True)
class StallDetector:
    """Watches the requests of one server.

    `still`: seconds without a token (by the server's counters) or an ended request after which
    all open requests are given up. `silent`: the same where the server never had counters;
    longer, as one long answer may be all that goes on. Counters that can't be had any more
    stand still.
    """

    counters: Counters
    still: float = 120.0
    silent: float = 1800.0
    _open: _Open = field(default_factory=dict)
    _pace: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    _took: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    _ended: int = 0

    def request(self, max_tokens: int | None) -> "_InFlight":
        """Around one request. Raises `TimeoutError` from it when it is given up."""
        return _InFlight(self._open, max_tokens)

    def ended(self, seconds: float, completion_tokens: int) -> None:
        """Tell of an answer, for the pace of this server."""
        self._ended += 1
        self._took.append(seconds)
        if completion_tokens:
            self._pace.append(seconds / completion_tokens)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        loop = asyncio.get_running_loop()
        progress, seen = loop.time(), (0.0, 0)
        counted = False
        while True:
            await asyncio.sleep(min(self.still, self.silent) / 8)
            tokens = await self.counters() if self._open else None
            now = loop.time()
            counted = counted or tokens is not None
            tokens = seen[0] if tokens is None else tokens
            if not self._open or (tokens, self._ended) != seen:
                progress, seen = now, (tokens, self._ended)
            patience = self.still if counted else self.silent
            for limit, (began, max_tokens) in list(self._open.items()):
                quiet = now - max(began, progress)
                if quiet > patience or now - began > self._allowed(max_tokens):
                    limit.reschedule(now)

    def _allowed(self, max_tokens: int | None) -> float:
        """Seconds that a request may take while others end; without end where unknown."""
        if max_tokens is None or len(self._pace) < 8:
            return float("inf")
        # The longest of the last answers stands for the time in the server's queue.
        return self.still + max(self._took) + SPARE * max_tokens * max(self._pace)
