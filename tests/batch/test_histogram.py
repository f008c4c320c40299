"""Histograms of a fixed size."""

import random
import statistics

import pytest
from qchat.batch.histogram import LogHistogram, histogram_of


def test_quantiles_are_right_to_three_percent() -> None:
    source = random.Random(1)
    values = [source.lognormvariate(1, 2) for _n in range(20_000)]
    histogram = LogHistogram()
    for value in values:
        histogram.add(value)
    percentiles = statistics.quantiles(values, n=100)
    for share in (0.05, 0.5, 0.95, 0.99):
        expected = percentiles[round(share * 100) - 1]
        assert histogram.quantile(share) == pytest.approx(expected, rel=0.03)
    assert histogram.mean == pytest.approx(statistics.fmean(values))
    assert histogram.quantile(1.0) == pytest.approx(max(values))


def test_odd_values_are_counted() -> None:
    histogram = LogHistogram()
    for value in (0, -3, float("nan"), 0.001, 0.0011, 1, 10_000_000, 1e300):
        histogram.add(value)
    assert (histogram.count, histogram.below) == (8, 4)
    bins = list(histogram.coarse())
    assert sum(n for _low, _high, n in bins) == 8 and len(bins) <= 33
    assert all(low < high for low, high, _n in bins)


def test_it_is_the_same_after_it_was_stored() -> None:
    histogram = LogHistogram()
    for n in range(1, 500):
        histogram.add(n / 7)
    again = histogram_of(histogram.as_json())
    assert again.quantiles() == histogram.quantiles()
    for damaged in (None, {}, {"count": "x"}, {**histogram.as_json(), "bins": {"-1": 3}}):
        assert histogram_of(damaged).count == 0
    assert LogHistogram().quantile(0.5) is None and LogHistogram().quantiles() == {}
