"""Answers over time, in buckets that grow with the run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MAX_BUCKETS = 2048
_FIRST_WIDTH = 1 / 16
PAUSE = 120.0
"""Seconds without an answer that are left out, as the run did not go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Span:
    """Answers and their tokens within `seconds` from `start`, in seconds since 1970; `resumed` says
    that the run had paused before."""

    start: float
    seconds: float
    rows: int
    tokens: int
    resumed: bool = False


@dataclass(slots=True)
class Timeline:
    """Counts of answers and tokens in at most `MAX_BUCKETS` buckets of `width` seconds."""

    width: float = _FIRST_WIDTH
    buckets: dict[int, list[int]] = field(default_factory=dict)

    def add(self, at: float, tokens: int) -> None:
        """Count an answer that was there `at`, in seconds since 1970."""
        key = int(at / self.width)
        bucket = self.buckets.get(key)
        if bucket is None:
            if len(self.buckets) >= MAX_BUCKETS:
                self._widen()
                key = int(at / self.width)
            bucket = self.buckets.setdefault(key, [0, 0])
        bucket[0] += 1
        bucket[1] += tokens

    def _widen(self) -> None:
        while len(self.buckets) >= MAX_BUCKETS:
            self.width *= 2
            narrow, self.buckets = self.buckets, {}
            for key, (rows, tokens) in narrow.items():
                bucket = self.buckets.setdefault(key // 2, [0, 0])
                bucket[0] += rows
                bucket[1] += tokens

    def spans(self, most: int = 120) -> list[Span]:
        """Return at most about `most` spans of one length that have all answers, without pauses."""
        keys = sorted(self.buckets)
        if not keys:
            return []
        parts: list[list[int]] = [[keys[0]]]
        for before, key in pairwise(keys):
            if (key - before) * self.width > max(PAUSE, 4 * self.width):
                parts.append([])
            parts[-1].append(key)
        length = sum(part[-1] + 1 - part[0] for part in parts)
        step = -(-length // max(most - len(parts), 1))
        return [
            self._span(
                start, min(step, part[-1] + 1 - start), resumed=number > 0 and start == part[0]
            )
            for number, part in enumerate(parts)
            for start in range(part[0], part[-1] + 1, step)
        ]

    def _span(self, start: int, step: int, *, resumed: bool) -> Span:
        counts = [self.buckets[key] for key in range(start, start + step) if key in self.buckets]
        rows, tokens = (sum(bucket[n] for bucket in counts) for n in (0, 1))
        return Span(start * self.width, step * self.width, rows, tokens, resumed)


def active_seconds(spans: Sequence[Span]) -> float:
    """Return the length of all spans together."""
    return sum(span.seconds for span in spans)
