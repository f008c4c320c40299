"""How many requests to keep in flight at one server: a given number, or one that is found."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .metrics import ServerLoad

FIRST = 256
"""Requests in flight at first (`AdaptiveConcurrency`): vLLM's default step on most GPUs."""

MOST = 4096
"""And the most it goes to: four times vLLM's largest default for one step."""

SPARE = 1.0
"""Requests that should wait at the server, as a share of those that run: one for each, so that all
can end at once. With more, other people's requests would stand behind thousands for nothing."""


REFUSED = 0.1
"""Share of tries that must be refused for want of room before fewer are made: a proxy's stray 503
says nothing about room."""


class Concurrency(Protocol):
    """What decides the number of requests in flight."""

    @property
    def width(self) -> int:
        """Requests to keep in flight now."""

    def told(self, load: ServerLoad | None, in_flight: int) -> bool:
        """The server told its load, or tells none; returns whether that changed the width."""

    def ended(self, tokens: int) -> None:
        """An answer of so many tokens came."""

    def refused(self) -> None:
        """The server had no room for a request."""


@dataclass(frozen=True, slots=True)
class FixedConcurrency:
    """A given number."""

    width: int

    def told(self, load: ServerLoad | None, in_flight: int) -> bool:
        """Changes nothing."""
        return False

    def ended(self, tokens: int) -> None:
        """Changes nothing."""

    def refused(self) -> None:
        """Changes nothing."""


@dataclass(slots=True)
class AdaptiveConcurrency:
    """Finds the number.

    Where the server tells its load, so many that a share `SPARE` of them waits there: fewer leave
    it idle between two steps, more do nothing but wait. Where it tells nothing, the number is
    doubled while that brings more tokens a second, and tried a quarter higher now and then. A
    server that refuses many for want of room gets a fifth less, and more again step by step.
    """

    most: int = MOST
    width: int = FIRST
    clock: Callable[[], float] = time.monotonic
    _loads: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=3))
    _blind: bool = True  # no load was told yet
    _cautious_until: float = 0.0
    _since: float = float("-inf")  # of the second that is counted
    _tried: int = 0
    _refused: int = 0
    _climb: "_Climb" = field(default_factory=lambda: _Climb())

    def __post_init__(self) -> None:
        self.width = min(self.width, self.most)

    def told(self, load: ServerLoad | None, in_flight: int) -> bool:
        """The server told its load, or tells none (any more)."""
        self._blind = load is None
        if load is None:
            return False
        if in_flight < 0.9 * self.width:  # not full, so nothing can be learned
            self._loads.clear()
            return False
        # What is in neither list is on its way in or out, which is waiting too.
        self._loads.append((load.running, max(load.waiting, in_flight - load.running)))
        running = max(running for running, _behind in self._loads)
        wanted = max(8.0, running * SPARE)
        least = min(behind for _running, behind in self._loads)
        before = self.width
        if least > 1.5 * wanted and len(self._loads) == self._loads.maxlen:
            # From what is in flight: earlier cuts may not have taken effect yet.
            self._set(min(before, in_flight - (least - wanted)))
        elif least < 0.75 * wanted:
            self._grow(2 * before if least == 0 else before + wanted - least)
        if self.width != before:
            self._loads.clear()
        return self.width != before

    def ended(self, tokens: int) -> None:
        """An answer came."""
        self._second(refused=0)
        if not self._blind:
            return
        wanted = self._climb.ended(max(tokens, 1), self.width, self.clock())
        if wanted > self.width:
            self._grow(wanted)
        else:
            self._set(wanted)

    def refused(self) -> None:
        """No room."""
        self._second(refused=1)

    def _second(self, refused: int) -> None:
        """Count one try; once a second, make it less where many were refused."""
        now = self.clock()
        if now - self._since >= 1.0:
            many = self._refused > REFUSED * self._tried
            self._since, self._tried, self._refused = now, 0, 0
            if many:
                self._cautious_until = now + _CAUTION
                self._set(self.width * 0.8)
                self._climb.settle(self.width)
        self._tried += 1
        self._refused += refused

    def _grow(self, wanted: float) -> None:
        if self.clock() < self._cautious_until:
            wanted = min(wanted, self.width * 1.05 + 1)
        self._set(wanted)

    def _set(self, wanted: float) -> None:
        self.width = max(1, min(self.most, round(wanted)))


_CAUTION = 30.0  # seconds after a refusal in which the width grows slowly


@dataclass(slots=True)
class _Climb:
    """Uphill by tokens a second, for a server that tells nothing of itself."""

    best: float = 0.0
    good: int = 0  # the width that gave `best`
    quiet: int = 0  # rounds since the last try upwards
    tokens: int = 0
    answers: int = 0
    began: float | None = None

    def ended(self, tokens: int, width: int, now: float) -> int:
        """Count an answer; returns the width from now on."""
        if self.began is None:
            self.began = now
        self.tokens += tokens
        self.answers += 1
        # Two answers for each place, so that a round holds what was asked in it.
        if self.answers < 2 * width or now - self.began < 1.0:
            return width
        rate = self.tokens / (now - self.began)
        self.tokens, self.answers, self.began = 0, 0, now
        if rate > 1.05 * self.best and width != self.good:
            self.best, self.good, self.quiet = rate, width, 0
            return 2 * width
        if width != self.good:  # more brought nothing
            return self.good
        self.best = rate if self.best == 0 else self.best + 0.2 * (rate - self.best)
        self.quiet += 1
        if self.quiet < _ROUNDS:
            return width
        self.quiet = 0
        return width + width // 4 + 1

    def settle(self, width: int) -> None:
        """Take `width` for the good one, whatever was measured."""
        self.best, self.good, self.quiet = 0.0, width, 0
        self.tokens, self.answers, self.began = 0, 0, None


_ROUNDS = 8  # rounds between two tries upwards
