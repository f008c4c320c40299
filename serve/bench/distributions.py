"""The curves of a measurement: distributions as quantiles, and what happened over time.

Both have a fixed size, however many requests there were. Pure functions; latencies in milliseconds.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from ...json_types import JsonObject
from .client import RequestRecord

QUANTILES = (0.0, 0.1, *(float(percent) for percent in range(1, 100)), 99.9, 100.0)
"""The percentages of the quantiles of a distribution."""

BINS = 60
"""Equal parts of the window in a timeline."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """A percentile of sorted values, linearly interpolated as by numpy's default."""
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def distribution(values: Iterable[float]) -> JsonObject:
    """The count, mean, standard deviation, most frequent value and `QUANTILES` of values; empty
    without any."""
    ordered = sorted(values)
    if not ordered:
        return {}
    mean = math.fsum(ordered) / len(ordered)
    variance = math.fsum((value - mean) ** 2 for value in ordered) / len(ordered)
    return {
        "count": len(ordered),
        "mean": _rounded(mean),
        "std": _rounded(math.sqrt(variance)),
        "mode": _rounded(Counter(ordered).most_common(1)[0][0]),  # of equals the lowest
        "quantiles": [_rounded(percentile(ordered, percent)) for percent in QUANTILES],
    }


def quantile(values: JsonObject, percent: float) -> float:
    """One of the `QUANTILES` of a `distribution`."""
    return float(values["quantiles"][QUANTILES.index(percent)])


def timeline(records: Sequence[RequestRecord], start: float, end: float) -> JsonObject:
    """What happened in each of `BINS` equal parts of the window from `start` to `end`.

    Requests completed and output tokens per second, the mean number of requests in flight, and the
    mean TTFT in milliseconds of those whose first token came then (None without any). The tokens of
    a request are spread evenly from its first to its last.
    """
    width = (end - start) / BINS
    if width <= 0:
        return {"seconds": 0.0}
    completed, tokens, running = [0.0] * BINS, [0.0] * BINS, [0.0] * BINS
    ttft: list[list[float]] = [[] for _n in range(BINS)]
    for record in records:
        if record.failure is not None:
            continue
        _spread(running, (record.sent_at - start) / width, (record.last_token_at - start) / width)
        first, last = record.first_token_at, record.last_token_at
        share = record.completion_tokens / ((last - first) / width) if last > first else 0.0
        _spread(tokens, (first - start) / width, (last - start) / width, share)
        if start <= last < end:
            number = min(int((last - start) / width), BINS - 1)
            completed[number] += 1
            tokens[number] += 0 if share else record.completion_tokens
        if start <= first < end:
            number = min(int((first - start) / width), BINS - 1)
            ttft[number].append(1000 * (first - record.scheduled_at))
    return {
        "seconds": width,
        "qps": [_rounded(number / width) for number in completed],
        "output_tokens_per_second": [_rounded(number / width) for number in tokens],
        "running": [_rounded(number) for number in running],
        "ttft_ms": [_rounded(math.fsum(one) / len(one)) if one else None for one in ttft],
    }


def _spread(bins: list[float], begin: float, end: float, height: float = 1.0) -> None:
    """Add to each bin its part of what lasted from `begin` to `end`, in widths of a bin."""
    begin, end = max(begin, 0.0), min(end, float(len(bins)))
    if begin >= end:
        return
    first, last = int(begin), min(int(end), len(bins) - 1)
    if first == last:
        bins[first] += height * (end - begin)
        return
    bins[first] += height * (first + 1 - begin)
    for number in range(first + 1, last):
        bins[number] += height
    bins[last] += height * (end - last)


def _rounded(value: float) -> float:
    """Six digits: a file has hundreds of these."""
    return float(f"{value:.6g}")
