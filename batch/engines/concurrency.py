"""How many requests to keep in flight at one server: a fixed limit, or an adaptive one."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .metrics import ServerLoad

INITIAL_LIMIT = 256
"""Requests in flight at first (`AdaptiveConcurrency`): vLLM's default step on most GPUs."""

MAX_LIMIT = 4096
"""And the most it goes to: four times vLLM's largest default for one step."""

MIN_LIMIT = 8
"""And the least that refusals lower it to."""

QUEUE_RATIO = 1.0
"""Requests that should wait at the server, as a share of those that run: one for each, so that all
can end at once. With more, other people's requests would stand behind thousands for nothing."""

REFUSAL_RATIO = 0.1
"""Share of tries that must be refused for lack of capacity before the limit goes down: a proxy's
stray 503 says nothing about capacity."""

_SLOW_GROWTH_SECONDS = 30.0  # after a refusal
_ROUNDS_BETWEEN_PROBES = 8  # between two tries of a higher limit


class Concurrency(Protocol):
    """Decides the number of requests in flight."""

    @property
    def limit(self) -> int:
        """Requests to keep in flight now."""

    def observe(self, load: ServerLoad | None, in_flight: int) -> bool:
        """Take the server's load (None: none is published); return whether the limit changed."""

    def record_answer(self, tokens: int) -> None:
        """Count an answer of `tokens` completion tokens."""

    def record_refusal(self) -> None:
        """Count a request that was refused for lack of capacity."""


@dataclass(frozen=True, slots=True)
class FixedConcurrency:
    """A fixed limit."""

    limit: int

    def observe(self, load: ServerLoad | None, in_flight: int) -> bool:
        """Change nothing."""
        return False

    def record_answer(self, tokens: int) -> None:
        """Change nothing."""

    def record_refusal(self) -> None:
        """Change nothing."""


@dataclass(slots=True)
class AdaptiveConcurrency:
    """Adapts the limit to the server.

    Where the server publishes its load, the limit is such that `QUEUE_RATIO` of the running
    requests wait there: fewer leave it idle between two steps, more only wait. Where it publishes
    nothing, the limit is doubled while that brings more tokens a second, and a quarter more is
    tried now and then. A server that refuses many requests for lack of capacity gets a fifth less,
    and more again step by step.
    """

    max_limit: int = MAX_LIMIT
    limit: int = INITIAL_LIMIT
    clock: Callable[[], float] = time.monotonic
    _loads: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=3))
    _blind: bool = True  # no load was published so far
    _slow_growth_until: float = 0.0
    _second_start: float = float("-inf")
    _tries: int = 0  # in this second
    _refusals: int = 0  # in this second
    _hill_climb: "_HillClimb" = field(default_factory=lambda: _HillClimb())

    def __post_init__(self) -> None:
        self.limit = min(self.limit, self.max_limit)

    def observe(self, load: ServerLoad | None, in_flight: int) -> bool:
        """Adapt the limit to the server's load; return whether it changed."""
        self._blind = load is None
        if load is None:
            return False
        if in_flight < 0.9 * self.limit:  # not full, so nothing can be learned
            self._loads.clear()
            return False
        # What is in neither list is on its way in or out, which is waiting too.
        self._loads.append((load.running, max(load.waiting, in_flight - load.running)))
        running = max(running for running, _queue in self._loads)
        target_queue = max(8.0, running * QUEUE_RATIO)
        min_queue = min(queue for _running, queue in self._loads)
        before = self.limit
        if min_queue > 1.5 * target_queue and len(self._loads) == self._loads.maxlen:
            # From what is in flight: earlier cuts may not have taken effect yet.
            self._set(min(before, in_flight - (min_queue - target_queue)))
        elif min_queue < 0.75 * target_queue:
            self._grow(2 * before if min_queue == 0 else before + target_queue - min_queue)
        if self.limit != before:
            self._loads.clear()
        return self.limit != before

    def record_answer(self, tokens: int) -> None:
        """Count an answer of `tokens` completion tokens."""
        self._count_try(refusals=0)
        if not self._blind:
            return
        limit = self._hill_climb.record_answer(max(tokens, 1), self.limit, self.clock())
        if limit > self.limit:
            self._grow(limit)
        else:
            self._set(limit)

    def record_refusal(self) -> None:
        """Count a request that was refused for lack of capacity."""
        self._count_try(refusals=1)

    def _count_try(self, refusals: int) -> None:
        """Count one try; once a second, lower the limit where many were refused."""
        now = self.clock()
        if now - self._second_start >= 1.0:
            overloaded = self._refusals > REFUSAL_RATIO * self._tries
            self._second_start, self._tries, self._refusals = now, 0, 0
            if overloaded:
                self._slow_growth_until = now + _SLOW_GROWTH_SECONDS
                self._set(max(self.limit * 0.8, min(self.limit, MIN_LIMIT)))
                self._hill_climb.reset(self.limit)
        self._tries += 1
        self._refusals += refusals

    def _grow(self, limit: float) -> None:
        if self.clock() < self._slow_growth_until:
            limit = min(limit, self.limit * 1.05 + 1)
        self._set(limit)

    def _set(self, limit: float) -> None:
        self.limit = max(1, min(self.max_limit, round(limit)))


@dataclass(slots=True)
class _HillClimb:
    """Maximizes tokens a second, for a server that publishes no load."""

    best_rate: float = 0.0
    best_limit: int = 0
    stable_rounds: int = 0  # since the last probe of a higher limit
    tokens: int = 0
    answers: int = 0
    round_start: float | None = None

    def record_answer(self, tokens: int, limit: int, now: float) -> int:
        """Count an answer; return the limit from now on."""
        if self.round_start is None:
            self.round_start = now
        self.tokens += tokens
        self.answers += 1
        # Two answers for each slot, so that a round holds what was asked in it.
        if self.answers < 2 * limit or now - self.round_start < 1.0:
            return limit
        rate = self.tokens / (now - self.round_start)
        self.tokens, self.answers, self.round_start = 0, 0, now
        if rate > 1.05 * self.best_rate and limit != self.best_limit:
            self.best_rate, self.best_limit, self.stable_rounds = rate, limit, 0
            return 2 * limit
        if limit != self.best_limit:  # more brought nothing
            return self.best_limit
        self.best_rate = (
            rate if self.best_rate == 0 else self.best_rate + 0.2 * (rate - self.best_rate)
        )
        self.stable_rounds += 1
        if self.stable_rounds < _ROUNDS_BETWEEN_PROBES:
            return limit
        self.stable_rounds = 0
        return limit + limit // 4 + 1

    def reset(self, limit: int) -> None:
        """Take `limit` for the best one and measure anew."""
        self.best_rate, self.best_limit, self.stable_rounds = 0.0, limit, 0
        self.tokens, self.answers, self.round_start = 0, 0, None
