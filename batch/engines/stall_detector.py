"""Detect requests that will never be answered, without a limit on how long an answer may take.

A request without a stream sends no byte until it ends, so silence says nothing. What says
something: the server's own token counters stand still, or its other requests end while this
one is overdue by far for its `max_tokens`. A total timeout would throw long answers away.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

TokenCounter = Callable[[], Awaitable[float | None]]
"""Return the server's token count so far, or None where it publishes none."""

OVERDUE_FACTOR = 5.0
"""How many times its expected duration a request may take."""


_OpenRequests = dict[asyncio.Timeout, tuple[float, int | None]]


class _TrackedRequest:
    """Written by hand: `asynccontextmanager` took a twentieth of the client's CPU."""

    __slots__ = ("_max_tokens", "_open", "_timeout")

    def __init__(self, open_requests: _OpenRequests, max_tokens: int | None) -> None:
        self._open = open_requests
        self._max_tokens = max_tokens
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._open[self._timeout] = (asyncio.get_running_loop().time(), self._max_tokens)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._open[self._timeout]
        await self._timeout.__aexit__(kind, error, trace)


@dataclass(slots=True)
class StallDetector:
    """Times out the stalled requests of one server.

    `stall_timeout`: seconds without a token (by the server's counter) or a completed request after
    which all open requests are timed out. `blind_timeout`: the same where the server never
    published a counter; longer, as one long answer may be all that goes on. A counter that is no
    longer available counts as standing still.
    """

    read_tokens: TokenCounter
    stall_timeout: float = 120.0
    blind_timeout: float = 1800.0
    _open: _OpenRequests = field(default_factory=dict)
    _seconds_per_token: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    _durations: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    _completed: int = 0
    _progress: tuple[float, int] = (0.0, 0)  # tokens and completed requests at the last check
    _progress_time: float = float("-inf")
    _has_counter: bool = False

    def track(self, max_tokens: int | None) -> "_TrackedRequest":
        """Wrap one request; the context manager raises `TimeoutError` when it stalls."""
        return _TrackedRequest(self._open, max_tokens)

    def record_answer(self, seconds: float, completion_tokens: int) -> None:
        """Count an answer, for the pace of this server."""
        self._completed += 1
        self._durations.append(seconds)
        if completion_tokens:
            self._seconds_per_token.append(seconds / completion_tokens)

    async def run(self) -> None:
        """Check all open requests periodically, until cancelled.

        An exception of `read_tokens` is passed on after the check. Run again, it goes on from
        what was seen before.
        """
        while True:
            await asyncio.sleep(min(self.stall_timeout, self.blind_timeout) / 8)
            try:
                tokens = await self.read_tokens() if self._open else None
            except Exception:
                self._check(None)
                raise
            self._check(tokens)

    def _check(self, tokens: float | None) -> None:
        now = asyncio.get_running_loop().time()
        self._has_counter = self._has_counter or tokens is not None
        progress = self._progress[0] if tokens is None else tokens, self._completed
        if not self._open or progress != self._progress:
            self._progress, self._progress_time = progress, now
        patience = self.stall_timeout if self._has_counter else self.blind_timeout
        for timeout, (started, max_tokens) in list(self._open.items()):
            if timeout.expired():
                continue  # its task is still cleaning up
            idle = now - max(started, self._progress_time)
            if idle > patience or now - started > self._time_limit(max_tokens):
                timeout.reschedule(now)

    def _time_limit(self, max_tokens: int | None) -> float:
        """Seconds that a request may take while others end; infinite where unknown."""
        if max_tokens is None or len(self._seconds_per_token) < 8:
            return float("inf")
        # The longest of the last answers stands for the time in the server's queue.
        pace = max(self._seconds_per_token)
        return self.stall_timeout + max(self._durations) + OVERDUE_FACTOR * max_tokens * pace
