"""From records to figures: the arithmetic of `qchat bench`, on times that are known."""

import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.bench import compare as bench_compare
from qchat.serve.bench import report as bench_report
from qchat.serve.bench.client import RequestRecord
from qchat.serve.bench.distributions import percentile
from qchat.serve.bench.load import Measurement
from qchat.serve.bench.load_shapes import ClosedLoop, Load, OpenLoop
from qchat.serve.bench.metrics import GoodputLimits, compute_metrics, stats

from qchat.errors import Code, Failure, UsageError


def answered(
    scheduled_at: float, *, wait: float = 0.0, first: float, itl: list[float]
) -> RequestRecord:
    """Sent `wait` after it was due, a token `first` after it was due and after each gap."""
    start = scheduled_at + first
    return RequestRecord(
        scheduled_at,
        scheduled_at + wait,
        start,
        start + sum(itl),
        array("d", itl),
        prompt_tokens=10,
        completion_tokens=1 + len(itl),
        has_usage=True,
    )


_TWO = ClosedLoop(2)


def measurement(*records: RequestRecord, load: Load = _TWO, end: float = 110.0) -> Measurement:
    return Measurement(load, 100.0, end, list(records))


def test_percentiles_are_those_of_numpy() -> None:
    assert stats([]) == {}
    one = dict.fromkeys(("mean", "p50", "p90", "p95", "p99"), 7.0)
    assert stats([7.0]) == one | {"std": 0.0}
    assert stats([2.0, 4.0, 6.0, 8.0])["std"] == pytest.approx(5**0.5)  # numpy's, without ddof
    hundred = [float(n) for n in range(1, 101)]
    assert percentile(hundred, 50) == 50.5
    assert percentile(hundred, 99) == pytest.approx(99.01)
    assert stats(reversed(hundred))["p90"] == pytest.approx(90.1)


def test_latencies_count_from_when_a_request_was_due() -> None:
    late = answered(101.0, wait=2.0, first=2.5, itl=[0.1, 0.3])
    phase = compute_metrics(measurement(late, load=OpenLoop(1)))
    assert phase["queue_ms"]["mean"] == pytest.approx(2000)
    assert phase["ttft_ms"]["mean"] == pytest.approx(2500)
    assert phase["itl_ms"]["mean"] == pytest.approx(200)
    assert phase["tpot_ms"]["mean"] == pytest.approx(200)
    assert phase["latency_ms"]["mean"] == phase["mean_latency_ms"] == pytest.approx(2900)


def test_tpot_goes_by_tokens_and_itl_by_chunks() -> None:
    """A chunk may bring several tokens; one token alone has neither."""
    one, several = answered(101, first=1, itl=[]), answered(101, first=1, itl=[0.5, 0.5])
    several.completion_tokens = 11
    phase = compute_metrics(measurement(one, several))
    assert phase["tpot_ms"]["mean"] == pytest.approx(100)
    assert phase["itl_ms"]["mean"] == pytest.approx(500)


def test_only_what_was_due_in_the_window_is_measured_and_a_rate_is_what_happened_in_it() -> None:
    warm = answered(98.0, first=1.0, itl=[2.0])  # its second token comes within the window
    whole = answered(104.0, first=1.0, itl=[1.0])
    after = answered(109.5, first=1.0, itl=[1.0])  # due within, answered later
    phase = compute_metrics(measurement(warm, whole, after))
    assert phase["total_requests"] == phase["answered"] == 2
    assert phase["mean_latency_ms"] == pytest.approx(2000)
    assert phase["qps"] == pytest.approx(0.2)  # warm and whole ended within it
    assert phase["sent_per_second"] == pytest.approx(0.2)  # whole and after
    assert phase["output_tokens_per_second"] == pytest.approx(0.3)  # 1 of warm, 2 of whole
    assert phase["prompt_tokens_per_second"] == pytest.approx(2.0)


def test_a_request_that_ends_after_the_window_counts_with_the_tokens_within_it() -> None:
    long = answered(108.0, first=1.0, itl=[2.0])
    phase = compute_metrics(measurement(long))
    assert phase["qps"] == phase["prompt_tokens_per_second"] == 0.0
    assert phase["output_tokens_per_second"] == pytest.approx(0.1)


def test_failures_are_counted_by_cause_and_have_no_latency() -> None:
    failures = [
        RequestRecord(101, 101, failure=Failure(Code.OVERLOADED, "busy", 503)),
        RequestRecord(102, 102, failure=Failure(Code.DISCONNECTED, "gone")),
        RequestRecord(103, 103, failure=Failure(Code.OVERLOADED, "busy still", 503)),
    ]
    phase = compute_metrics(measurement(*failures, answered(104, first=1, itl=[1])))
    assert (phase["total_requests"], phase["answered"], phase["failed"]) == (4, 1, 3)
    assert phase["errors"] == {
        "overloaded": {"count": 2, "example": "busy"},
        "disconnected": {"count": 1, "example": "gone"},
    }
    assert phase["mean_latency_ms"] == pytest.approx(2000)


def test_goodput_is_what_keeps_every_limit() -> None:
    records = [
        answered(101, first=0.1, itl=[0.01]),
        answered(102, first=0.3, itl=[0.01]),  # the first token is late
        answered(103, first=0.1, itl=[0.06]),  # the second is
        answered(104, first=0.1, itl=[]),  # one token alone keeps the limit of TPOT
        RequestRecord(105, 105, failure=Failure(Code.OVERLOADED, "busy")),
    ]
    phase = compute_metrics(measurement(*records), GoodputLimits({"ttft": 200, "tpot": 50}))
    assert phase["goodput"]["share"] == pytest.approx(2 / 5)
    assert phase["goodput"]["qps"] == pytest.approx(0.2)
    assert "goodput: 0.20 requests per second, 40.0%" in bench_report.format_report([phase])


def test_a_stream_that_broke_off_is_no_goodput() -> None:
    broken = answered(102, first=0.1, itl=[0.01])
    broken.failure = Failure(Code.DISCONNECTED, "gone")
    whole = answered(101, first=0.1, itl=[0.01])
    phase = compute_metrics(measurement(whole, broken), GoodputLimits({"ttft": 200}))
    assert phase["goodput"]["qps"] == phase["qps"] == pytest.approx(0.1)
    assert phase["goodput"]["share"] == pytest.approx(0.5)


def test_goodput_is_never_more_than_what_was_answered() -> None:
    """Both count what ended within the window: with a short one much of it was due before it, and
    much that was due in it ends later."""
    warm = answered(99.5, first=1.0, itl=[0.5])
    later = [answered(109.0 + n / 10, first=1.0, itl=[0.5]) for n in range(9)]
    phase = compute_metrics(measurement(warm, *later), GoodputLimits({"ttft": 1001}))
    assert phase["goodput"]["qps"] == phase["qps"] == pytest.approx(0.1)
    assert phase["goodput"]["share"] == 1.0
    late = answered(99.0, first=2.0, itl=[0.5])  # ended within it, but was not good
    phase = compute_metrics(measurement(warm, late, *later), GoodputLimits({"ttft": 1001}))
    assert phase["goodput"]["qps"] == pytest.approx(0.1)
    assert phase["qps"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("cpu", "lag", "wait", "why"),
    [
        (0.2, 0.004, 0.0, None),
        (0.2, 0.05, 0.05, None),  # little beside a latency of a second
        (0.95, 0.0, 0.0, "95% of a core"),
        (0.2, 0.3, 0.0, "event loop was late by 300 ms"),
        (0.2, 0.0, 0.3, "sent its requests late, by 300 ms"),
    ],
)
def test_a_run_is_invalid_where_the_client_is_the_limit(
    cpu: float, lag: float, wait: float, why: str | None
) -> None:
    run = measurement(*(answered(101 + n, wait=wait, first=0.4, itl=[0.6]) for n in range(5)))
    run.cpu, run.cpu_window, run.loop_lags = cpu * 9, 9.0, array("d", [lag] * 100)
    phase = compute_metrics(run)
    assert phase["client"]["cpu"] == pytest.approx(cpu)
    assert phase["valid"] is (why is None)
    report = bench_report.format_report([phase])
    assert ("INVALID" in report) is (why is not None)
    assert why is None or why in report


def test_nothing_measured_is_no_division_by_zero() -> None:
    phase = compute_metrics(measurement(end=100.0), GoodputLimits({"ttft": 1}))
    assert phase["total_requests"] == 0 and phase["qps"] == 0
    assert "total requests 0" in bench_report.format_report([phase])
    assert bench_report.to_csv([phase]).count("\n") == 2


def test_a_load_without_an_answer_has_no_table_and_no_bar() -> None:
    good = compute_metrics(measurement(answered(101, first=1, itl=[1])))
    gone = compute_metrics(
        measurement(
            RequestRecord(101, 101, failure=Failure(Code.DISCONNECTED, "gone")), load=OpenLoop(5)
        )
    )
    report = bench_report.format_report([gone])
    assert report.splitlines() == [
        "5 a second, 10.0 s: total requests 1, QPS 0.00, mean latency - ms, failed 1",
        "1 failed: disconnected (gone)",
    ]
    assert report in bench_report.format_report([good, gone])
    assert "█" in bench_report.format_report(
        [good, good]
    ) and "█" not in bench_report.format_report([good, gone])


def result(slower: float, requests: int = 100, **settings: Any) -> dict[str, Any]:
    """As a file holds it: a second token after 90 to 110 ms, times `slower`."""
    records = [
        answered(100 + n * 10 / requests, first=0.1, itl=[slower * (0.09 + 0.01 * (n % 3))])
        for n in range(requests)
    ]
    head = {"qchat_bench": bench_compare.FORMAT, "settings": settings}
    whole: dict[str, Any] = json.loads(
        bench_report.to_json(head, [compute_metrics(measurement(*records))])
    )
    return whole


def verdict(text: str, figure: str) -> str:
    """What a comparison says of a figure, ratio first."""
    (line,) = (line for line in text.splitlines() if line.startswith(figure))
    return " ".join(line.removeprefix(figure).split()[2:])


def test_comparing_says_what_is_more_than_noise() -> None:
    slow = bench_compare.compare(result(1.0), result(1.5))
    assert verdict(slow, "tpot_ms mean") == "1.500 the second is worse"
    assert verdict(slow, "ttft_ms mean") == "1.000 within noise (±0%)"
    fast = bench_compare.compare(result(1.0), result(0.5))
    assert verdict(fast, "tpot_ms mean") == "0.500 the second is better"
    near = bench_compare.compare(result(1.0), result(1.0001))
    assert verdict(near, "tpot_ms mean").startswith("1.000 within noise")
    few = bench_compare.compare(result(1.0, requests=2), result(1.5, requests=2))
    assert verdict(few, "tpot_ms mean") == "1.500 too few requests for a verdict"


def test_a_percentile_with_little_behind_it_is_not_judged() -> None:
    text = bench_compare.compare(result(1.0), result(1.5))
    assert verdict(text, "tpot_ms p99") == "1.500 too few requests (100 of 1,000)"
    assert verdict(text, "itl_ms p99") == "1.500 too few tokens (100 of 1,000)"
    assert verdict(text, "tpot_ms p50") == "1.500 the second is worse"
    text = bench_compare.compare(result(1.0, requests=1000), result(1.5, requests=1000))
    assert verdict(text, "tpot_ms p99") == "1.500 the second is worse"
    assert verdict(text, "itl_ms p99") == "1.500 the second is worse"
    text = bench_compare.compare(result(1.0, requests=19), result(1.5))
    assert verdict(text, "latency_ms p50").endswith("too few requests (19 of 20)")


def test_comparing_names_other_settings_and_loads() -> None:
    one, other = result(1.0, model="a", seed=1), result(1.0, model="b", seed=2)
    text = bench_compare.compare(one, other)
    assert "model is a in the first and b in the second" in text and "seed" not in text
    other["phases"][0]["load"] = {"kind": "open", "rate": 3.0}
    with pytest.raises(UsageError, match="no load in common"):
        bench_compare.compare(one, other)


def test_a_load_that_was_measured_twice_is_compared_twice() -> None:
    one, other = result(1.0), result(1.0)
    one["phases"] += result(1.0)["phases"]
    other["phases"] += [*result(1.5)["phases"], *result(1.0)["phases"]]
    first, second, left = bench_compare.compare(one, other).split("\n\n")
    assert verdict(first, "tpot_ms mean").startswith("1.000 ")
    assert verdict(second, "tpot_ms mean").startswith("1.500 ")
    assert left == "2 at a time: only in the second result."


@pytest.mark.parametrize("bad", ["x", -1.0, float("nan"), 10**400, {}])
@pytest.mark.parametrize("where", ["phase", "latency", "slice"])
def test_figures_that_are_no_numbers_are_refused(where: str, bad: Any, tmp_path: Path) -> None:
    whole = result(1.0)
    (phase,) = whole["phases"]
    if where == "phase":
        phase["qps"] = bad
    else:
        (phase["slices"][0] if where == "slice" else phase)["ttft_ms.mean"] = bad
        phase["ttft_ms"]["mean"] = bad if where == "latency" else 1.0
    (file := tmp_path / "a.json").write_text(json.dumps(whole))
    with pytest.raises(UsageError, match="is not a result"):
        bench_compare.read_result(file)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    broken = json.dumps({**result(1.0), "phases": [{"name": "x"}]})
    files = [
        ("{}", "is not a result"),
        ("[]", "is not a result"),
        (broken, "is not a result"),
        ("[" * 100_000, "is not JSON"),
    ]
    for content, message in [*files, ("[", "is not JSON")]:
        file.write_text(content)
        with pytest.raises(UsageError, match=message):
            bench_compare.read_result(file)
    with pytest.raises(UsageError, match="Can't read"):
        bench_compare.read_result(tmp_path / "b.json")


def test_bars_are_as_long_as_their_values() -> None:
    lines = bench_report.bars(["a", "b", "c"], [10.0, 5.0, 0.0]).splitlines()
    assert [line.count("█") for line in lines] == [40, 20, 0]
    assert bench_report.bars(["a"], [0.0]) == "a  0.00"
