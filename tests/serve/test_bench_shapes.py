"""The shapes of a load as schedules: rates, variances and the ends of ramps."""

import itertools
import math
import statistics
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.bench import load_shapes
from qchat.serve.bench.load_shapes import (
    CONSTANT,
    ClosedLoop,
    OpenLoop,
    Ramp,
    arrival_times,
    shown_name,
)

RATES = st.floats(0.1, 500)
SEEDS = st.integers(0, 2**31)


def first(times: Iterator[float], n: int) -> list[float]:
    return list(itertools.islice(times, n))


@given(RATES, st.sampled_from([0.25, 0.5, 1.0, 4.0]), SEEDS)
def test_the_mean_interval_is_the_rates_and_its_variance_the_burstiness(
    rate: float, burstiness: float, seed: int
) -> None:
    times = first(arrival_times(OpenLoop(rate, burstiness), seed), 4000)
    gaps = [times[0], *(b - a for a, b in itertools.pairwise(times))]
    mean = statistics.fmean(gaps)
    # Six standard errors, in which no seed errs.
    assert mean * rate == pytest.approx(1, abs=6 / math.sqrt(4000 * burstiness))
    variation = statistics.pvariance(gaps) / mean**2
    assert 0.5 < variation * burstiness < 2
    assert min(gaps) >= 0


@given(RATES, st.floats(0, 10))
def test_constant_arrivals_have_equal_intervals(rate: float, warm_up: float) -> None:
    times = first(arrival_times(OpenLoop(rate, CONSTANT), 0, warm_up=warm_up), 50)
    assert times == pytest.approx([(n + 1) / rate - warm_up for n in range(50)])


@given(
    st.floats(0.5, 100),
    st.floats(0.5, 100),
    st.sampled_from(["linear", "exponential"]),
    st.floats(10, 100),
)
def test_a_ramp_has_its_rate_at_every_moment(
    start: float, end: float, strategy: str, duration: float
) -> None:
    """With constant arrivals the interval is the reciprocal of the rate, up to its own change."""
    ramp = Ramp(start, end, strategy, CONSTANT)  # type: ignore[arg-type]
    times = first(arrival_times(ramp, 0, warm_up=2, duration=duration), 20_000)
    assert times == sorted(times) and times[0] >= -2

    def rate_at(seconds: float) -> float:
        share = min(max(seconds / duration, 0.0), 1.0)
        linear = start + (end - start) * share
        return linear if strategy == "linear" else start * (end / start) ** share

    for before, after in itertools.islice(itertools.pairwise(times), 0, None, 97):
        slowest, fastest = sorted((rate_at(before), rate_at(after)))
        assert 1 / fastest - 1e-6 <= after - before <= 1 / slowest + 1e-6


@given(
    st.floats(1, 50),
    st.floats(1, 50),
    st.integers(2, 500),
    st.sampled_from(["linear", "exponential"]),
)
def test_a_ramp_of_so_many_requests_ends_with_the_last(
    start: float, end: float, requests: int, strategy: str
) -> None:
    times = first(
        arrival_times(Ramp(start, end, strategy, CONSTANT), 0, requests=requests),  # type: ignore[arg-type]
        requests + 1,
    )
    # After the last the rate is the end's.
    assert times[-1] - times[-2] == pytest.approx(1 / end, rel=1e-6)
    before = times[-2] - times[-3] if requests > 2 else 1 / end
    assert min(1 / end, 1 / start) - 1e-6 <= before <= max(1 / end, 1 / start) + 1e-6


def test_a_linear_ramp_may_start_at_nothing() -> None:
    times = first(arrival_times(Ramp(0, 10, burstiness=CONSTANT), 0, warm_up=3, duration=10), 50)
    assert times[0] == pytest.approx(math.sqrt(2)) and times[-1] == pytest.approx(10)


def test_the_names_of_loads_tell_them_apart() -> None:
    loads = [
        ClosedLoop(2),
        OpenLoop(2),
        OpenLoop(2, 0.5),
        OpenLoop(2, CONSTANT),
        Ramp(1, 2),
        Ramp(1, 2, "exponential"),
        Ramp(1, 2, burstiness=3),
    ]
    assert len({load.name for load in loads}) == len(loads)
    assert [load.to_json().get("burstiness") for load in loads] == [
        None,
        None,
        0.5,
        "inf",
        None,
        None,
        3,
    ]


def test_the_stored_name_has_one_language_and_the_shown_one_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chinese = {"{rate:g} a second": "每秒 {rate:g}", ", constant": "，恒定间隔"}
    monkeypatch.setattr(load_shapes, "_", lambda text: chinese.get(text, text))
    load = OpenLoop(2, CONSTANT)
    assert load.name == "2 a second, constant"
    for written in (load.name, "每秒 2"):  # as earlier files may have it
        assert shown_name({"load": load.to_json(), "name": written}) == "每秒 2，恒定间隔"
    assert shown_name({"load": {"kind": "other"}, "name": "theirs"}) == "theirs"
