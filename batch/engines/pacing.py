"""How fast to send requests to one server: by `--rpm` and `--tpm`, or as fast as it takes them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..request import Outcome, Request
from .token_estimate import completion_tokens, prompt_tokens

PRESSURE = 1.3
"""Requests sent for each one that the server answers, while it limits their rate: a bucket that
fills at a rate is drained by any number above 1, and some refusals tell that it is."""

PROBE = 2.0
"""The same now and then, for a second, to find out whether the server takes more by now."""

FLOOR = 10.0
"""Requests a second that are sent in any case."""

_INTERVAL = 1.0  # seconds between two looks at the counts
_REFUSED = 0.1  # share of refused requests from which on the rate is limited
_AT_RANDOM = 0.4  # share of refusals from which on `PRESSURE` does not explain them
_STRIKES = 1  # times that the rate is lowered before refusals count as random
_CYCLE = 6  # intervals from one probe to the next
_GROWTH = 1.25  # times the rate, for an interval without many refusals
_IGNORED_SECONDS = 120.0  # for which a limiter that does not look at the rate is left alone
_PATIENCE = 2  # intervals with refusals before a rate is learned: the first answers come late
_DEFAULT_COMPLETION = 256  # tokens, before an answer tells


@dataclass(slots=True)
class RequestPacer:
    """Lets requests through at a rate.

    `rpm` and `tpm` are the most requests and tokens a minute, None for no limit of a person's.
    Besides, a rate is learned where the server refuses requests: `PRESSURE` times what it answers.
    Where that does not lower the share of refusals, they do not depend on the rate, which is left
    free then: a limiter that refuses half of all at random would get less and less.
    """

    rpm: float | None = None
    tpm: float | None = None
    clock: Callable[[], float] = time.monotonic
    learned: float | None = None  # requests a second
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _next: float = 0.0  # when the next request may be sent
    _next_by_tokens: float = 0.0
    _mean_completion: float = _DEFAULT_COMPLETION
    _interval_start: float | None = None
    _answered: int = 0
    _refused: int = 0
    _level: float = 0.0  # answers a second that the learned rate stands on
    _intervals: int = 0  # since the level was found
    _strikes: int = 0
    _limited: int = 0  # intervals in a row with refusals, while no rate is learned
    _ignored_until: float = 0.0

    @property
    def rate(self) -> float | None:
        """Requests a second; None for as many as there are."""
        rates = [rate for rate in (self.rpm and self.rpm / 60, self.learned) if rate]
        return min(rates, default=None)

    async def admit(self, request: Request) -> float:
        """Wait until the request may be sent; return the tokens that it is estimated to take."""
        if self.rate is None and self.tpm is None:
            return 0.0
        tokens = self._estimate(request)
        async with self._lock:  # in the order of their coming
            while (delay := max(self._next, self._next_by_tokens) - self.clock()) > 0:
                if self.rate is None and self.tpm is None:
                    break
                await asyncio.sleep(min(delay, _INTERVAL))
            self._charge(tokens)
        return tokens

    def _charge(self, tokens: float) -> None:
        now = self.clock()
        rate = self.rate
        if rate is not None:
            # Timers are late by a millisecond or two; what was missed is caught up.
            self._next = max(self._next, now - 0.05) + 1 / rate
        if self.tpm is not None:
            self._next_by_tokens = max(self._next_by_tokens, now) + tokens * 60 / self.tpm

    def _estimate(self, request: Request) -> float:
        if self.tpm is None:
            return 0.0
        return prompt_tokens(request) + completion_tokens(request, self._mean_completion)

    def record(self, outcome: Outcome, tokens: float) -> None:
        """Count an outcome of a request that was admitted with an estimate of `tokens`."""
        if self.tpm is not None:
            usage = outcome.usage
            actual = usage.prompt_tokens + usage.completion_tokens
            if usage.completion_tokens:
                self._mean_completion += 0.05 * (usage.completion_tokens - self._mean_completion)
            if actual or not outcome.answered:  # else the server does not tell
                self._next_by_tokens += (actual - tokens) * 60 / self.tpm
        self._tick()
        self._answered += outcome.answered
        self._refused += is_rate_limited(outcome)

    def _tick(self) -> None:
        """Once a second, adapt the rate to what the server has answered and refused."""
        now = self.clock()
        if self._interval_start is None:
            self._interval_start = now
        seconds = now - self._interval_start
        if seconds < _INTERVAL:
            return
        answered, refused = self._answered / seconds, self._refused / seconds
        self._interval_start, self._answered, self._refused = now, 0, 0
        if now < self._ignored_until:
            return
        share = refused / (answered + refused) if refused else 0.0
        if self.learned is None:
            self._limited = self._limited + 1 if share >= _REFUSED else 0
            if self._limited >= _PATIENCE:
                self._strikes = 0
                self._stand_on(answered)
        elif share < _REFUSED:
            self._relax(answered)
        else:
            self._adapt(answered, share, now)

    def _stand_on(self, level: float) -> None:
        self._level, self._intervals = level, 0
        self.learned = max(FLOOR, PRESSURE * level)

    def _relax(self, answered: float) -> None:
        assert self.learned is not None
        self._level = max(self._level, answered)
        self.learned *= _GROWTH
        if self.learned > 4 * max(answered, FLOOR):  # it binds nothing any more
            self.learned = None

    def _adapt(self, answered: float, share: float, now: float) -> None:
        self._intervals += 1
        if self._intervals == _CYCLE:  # the interval of a probe has ended
            self._stand_on(max(self._level, answered))
        elif self._intervals == _CYCLE - 1:
            self.learned = max(FLOOR, PROBE * self._level)
        elif self._intervals > 1 and share > _AT_RANDOM:  # the first one still has earlier requests
            self._strikes += 1
            if self._strikes > _STRIKES:
                self.learned, self._ignored_until = None, now + _IGNORED_SECONDS
            else:
                self._stand_on(answered)


def is_rate_limited(outcome: Outcome) -> bool:
    """Whether the server refused a request for its rate, or said when to come back."""
    return outcome.failure is not None and outcome.failure.is_rate_limit
