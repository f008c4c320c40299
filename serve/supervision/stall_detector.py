"""Whether a server that is not dead is stuck: a pure rule over what was observed of it.

A server is stuck while its API process does not run, or while requests wait for the engine and
nothing moves: no token generated or read, no part of an answer sent, no change of the KV cache,
nothing compiled. Only what moves ends the count: clients that give up, and others that come rarely,
do not.
"""

import enum
from dataclasses import dataclass

ANNOUNCE_AFTER = 60.0  # seconds without progress until it is said
RESTART_AFTER = 600.0  # seconds without progress until the server is restarted
_VISIBLE = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class StallLimits:
    """Seconds without progress after which a stall is announced, and ended by a restart."""

    announce: float = ANNOUNCE_AFTER
    restart: float = RESTART_AFTER

    @classmethod
    def of(cls, timeout: float | None) -> "StallLimits":
        """Return the limits for --stall-timeout: both at `timeout`, never for 0, the defaults for
        None. Between the two stand `_VISIBLE` seconds, for whoever looks at the state."""
        if timeout is None:
            return cls()
        seconds = timeout if timeout > 0 else float("inf")
        return cls(seconds, seconds + _VISIBLE)

    @classmethod
    def of_start(cls, timeout: float | None) -> "StallLimits":
        """Return the limits of a start, which may wait for the network without a sign: as `of`, but
        no less than `ANNOUNCE_AFTER`."""
        return cls.of(timeout if not timeout else max(timeout, ANNOUNCE_AFTER))


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a server at one moment.

    `heartbeat` changes as long as the API process runs; `pending` requests wait for the engine, and
    `progress` changes when anything moves for one of them.
    """

    heartbeat: object
    pending: int
    progress: object


class Verdict(enum.Enum):
    """The state of a server as far as its progress tells."""

    FINE = "fine"
    STALLED = "stalled"  # to be announced
    EXPIRED = "expired"  # to be restarted


class StallDetector:
    """Counts the seconds without progress over successive observations."""

    def __init__(self, limits: StallLimits, longest_gap: float) -> None:
        """A gap between two observations counts as at most `longest_gap` seconds: in a longer one
        this process itself was stopped, maybe with the whole machine."""
        self._limits = limits
        self._longest_gap = longest_gap
        self._last: tuple[float, Observation] | None = None
        self._without_heartbeat = 0.0
        self._without_progress = 0.0
        self.pending = 0

    @property
    def quiet(self) -> float:
        """The seconds without a heartbeat or without progress, whichever are more."""
        return max(self._without_heartbeat, self._without_progress)

    @property
    def is_api_silent(self) -> bool:
        """Whether the API process itself does not run; otherwise the engine is stuck."""
        return self._without_heartbeat > 0 and self._without_heartbeat >= self._without_progress

    def _count_progress(self, gap: float, seen: Observation, before: Observation) -> None:
        if seen.progress != before.progress:
            self._without_progress = 0.0
        elif min(seen.pending, before.pending) > 0:  # without requests it proves nothing
            self._without_progress += gap

    def observe(self, now: float, seen: Observation) -> Verdict:
        """Take in an observation at `now`, in seconds, and return the verdict."""
        if self._last is not None:
            then, before = self._last
            gap = min(now - then, self._longest_gap)
            is_silent = seen.heartbeat == before.heartbeat
            self._without_heartbeat = self._without_heartbeat + gap if is_silent else 0.0
            self._count_progress(gap, seen, before)
        self._last = (now, seen)
        self.pending = seen.pending
        if self.quiet >= self._limits.restart:
            return Verdict.EXPIRED
        return Verdict.STALLED if self.quiet >= self._limits.announce else Verdict.FINE
