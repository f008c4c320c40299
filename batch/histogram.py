"""Histograms of a fixed size, however many values are added."""

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PER_DECADE = 40
"""Bins for a factor of ten: a quantile is right to 3%."""

_LOWEST = -3  # decimal exponent of the first bin: a millisecond
_DECADES = 10
_SIZE = PER_DECADE * _DECADES
_LOG = PER_DECADE / math.log(10)
_SHIFT = -_LOWEST * PER_DECADE

_BINS: dict[float, int] = {}
"""The bins of values that occurred: numbers of tokens and milliseconds occur again and again, and
the logarithm took a third of the time of a report."""
_MAX_BINS = 1 << 16


def _bin_of(value: float) -> int:
    at = math.floor(math.log(value) * _LOG) + _SHIFT if value < 1e7 else _SIZE - 1
    at = max(0, min(at, _SIZE - 1))
    if len(_BINS) < _MAX_BINS:
        _BINS[value] = at
    return at


@dataclass(slots=True)
class LogHistogram:
    """Counts of values from 0.001 to 10,000,000 in bins of equal ratio, and of those below.

    3 KB. `total` is the sum of all values.
    """

    count: int = 0
    total: float = 0.0
    largest: float = 0.0
    below: int = 0
    bins: "array[int]" = field(default_factory=lambda: array("Q", bytes(8 * _SIZE)))

    def add(self, value: float) -> None:
        """Count a value; negative ones and those that are no number count as 0."""
        self.count += 1
        if not value > 0.001:
            self.below += 1
            return
        self.total += value
        if value > self.largest:
            self.largest = value
        at = _BINS.get(value)
        self.bins[_bin_of(value) if at is None else at] += 1

    @property
    def mean(self) -> float:
        """The mean of all values; 0 without any."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float | None:
        """Return the value that this share of all values does not exceed; None without values."""
        if not self.count:
            return None
        rank = share * self.count
        passed = self.below
        if rank <= passed:
            return 0.0
        for at, n in enumerate(self.bins):
            if n and passed + n >= rank:
                # The place in the bin is that of the rank among its values.
                exponent = at - _SHIFT + (rank - passed) / n
                return min(math.exp(exponent / _LOG), self.largest)
            passed += n
        return self.largest

    def coarse(self, bins: int = 32) -> Iterator[tuple[float, float, int]]:
        """Yield lower end, upper end and count of at most `bins` bins that hold all values.

        The first one begins at 0 where there are values below a thousandth.
        """
        used = [at for at, n in enumerate(self.bins) if n]
        if self.below:
            yield 0.0, 0.001, self.below
        if not used:
            return
        step = -(-(used[-1] + 1 - used[0]) // bins)
        for start in range(used[0], used[-1] + 1, step):
            low, high = (math.exp((at - _SHIFT) / _LOG) for at in (start, start + step))
            yield low, high, sum(self.bins[start : start + step])

    def as_json(self) -> dict[str, Any]:
        """Return the counts, of the bins that have any, by number."""
        return {
            "count": self.count,
            "total": round(self.total, 3),
            "largest": self.largest,
            "below": self.below,
            "bins": {str(at): n for at, n in enumerate(self.bins) if n},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LogHistogram":
        """Return the histogram of `as_json`. Raises `ValueError`, `TypeError` or `KeyError`."""
        histogram = cls(
            int(value["count"]), float(value["total"]), float(value["largest"]), int(value["below"])
        )
        for at, n in value["bins"].items():
            if not 0 <= int(at) < _SIZE:
                raise ValueError(at)
            histogram.bins[int(at)] = int(n)
        return histogram

    def quantiles(self) -> dict[str, float]:
        """Return mean, median, p95, p99 and the largest value, in three digits; {} for none."""
        if not self.count:
            return {}
        values = {"mean": self.mean, "max": self.largest}
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            values[name] = self.quantile(share) or 0.0
        return {name: float(f"{value:.3g}") for name, value in values.items()}


def histogram_of(value: Any) -> LogHistogram:
    """Return the histogram of `LogHistogram.as_json`; an empty one for anything else."""
    try:
        return LogHistogram.from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return LogHistogram()
