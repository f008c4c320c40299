"""Curves of a measurement, and results in GuideLLM's form."""

import json
import math
import os
import statistics
import subprocess
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.bench.client import RequestRecord
from qchat.serve.bench.distributions import BINS, QUANTILES, distribution, quantile, timeline
from qchat.serve.bench.guidellm_format import to_guidellm_json
from qchat.serve.bench.load import Measurement
from qchat.serve.bench.load_shapes import CONSTANT, ClosedLoop, Load, OpenLoop, Ramp
from qchat.serve.bench.metrics import GoodputLimits, compute_metrics

from qchat.errors import Code, Failure


def record(at: float, ttft: float, last: float, tokens: int = 5) -> RequestRecord:
    gap = (last - ttft) / (tokens - 1)
    one = RequestRecord(at, at, at + ttft, at + last, array("d", [gap] * (tokens - 1)))
    one.prompt_tokens, one.completion_tokens, one.has_usage = 10, tokens, True
    one.first_visible_at = at + ttft
    return one


TIMES = st.floats(0, 10, allow_subnormal=False)


@given(st.lists(st.tuples(TIMES, TIMES, TIMES), max_size=20))
def test_a_timeline_has_all_that_happened_in_the_window(
    times: list[tuple[float, float, float]],
) -> None:
    records = [record(at, ttft, ttft + rest) for at, ttft, rest in times]
    line = timeline(records, 0.0, 30.001)
    width = line["seconds"]
    assert width * BINS == pytest.approx(30.001)
    total = {name: math.fsum(line[name]) * width for name in ("qps", "running")}
    tokens = math.fsum(line["output_tokens_per_second"]) * width
    assert total["qps"] == pytest.approx(len(records), rel=1e-4)
    assert tokens == pytest.approx(5 * len(records), rel=1e-4)
    in_flight = math.fsum(one.last_token_at - one.sent_at for one in records)
    assert total["running"] == pytest.approx(in_flight, rel=1e-4, abs=1e-6)


def test_a_timeline_counts_only_the_window() -> None:
    line = timeline([record(-1, 0.5, 31), record(40, 1, 2)], 0.0, 30.0)
    assert sum(line["qps"]) == 0 and line["running"] == [1.0] * BINS
    # Five tokens in 30.5 seconds.
    assert line["output_tokens_per_second"] == pytest.approx([5 / 30.5] * BINS, rel=1e-4)
    failed = RequestRecord(1, 1, failure=Failure(Code.OVERLOADED, "busy"))
    assert sum(timeline([failed], 0.0, 30.0)["running"]) == 0
    assert timeline([], 3.0, 3.0) == {"seconds": 0.0}


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50))
def test_a_distribution_is_ordered_and_has_the_mean(values: list[float]) -> None:
    curve = distribution(values)
    assert curve["count"] == len(values) and len(curve["quantiles"]) == len(QUANTILES)
    assert curve["quantiles"] == sorted(curve["quantiles"])
    assert curve["mean"] == pytest.approx(statistics.fmean(values), rel=1e-4)
    assert quantile(curve, 50.0) == pytest.approx(statistics.median(values), rel=1e-4)
    assert quantile(curve, 0.0) == pytest.approx(min(values), rel=1e-4)
    assert distribution([]) == {}


CLOSED = (ClosedLoop(2), ClosedLoop(4))
OPEN: tuple[Load, ...] = (
    OpenLoop(3.0),
    OpenLoop(3.0, CONSTANT),
    OpenLoop(3.0, 0.5),
    Ramp(1, 9),
    Ramp(1, 9, "exponential", CONSTANT),
)


def report(loads: tuple[Load, ...], dataset: str | None, requests: int | None) -> Any:
    records = [record(0, 0.1, 0.5), record(1, 0.3, 0.7), record(2, 0.2, 0.6)]
    records.append(RequestRecord(3, 3, failure=Failure(Code.OVERLOADED, "busy")))
    limits = GoodputLimits({"ttft": 250.0, "visible_ttft": 500.0})
    phases = [compute_metrics(Measurement(load, 0, 10, records, 1), limits) for load in loads]
    settings = {
        "model": "demo",
        "endpoint": "/v1/chat/completions",
        "dataset": dataset,
        "seed": 3,
        "input_len": None if dataset else 64,
        "output_len": None,
        "warm_up": 2.0,
        "requests": requests,
        "duration": None if requests else 10.0,
    }
    metadata = {
        "ended_at": "2026-11-26T12:00:00+00:00",
        "qchat": "0",
        "settings": settings,
        "server": "http://127.0.0.1:8000/v1",
        "client_machine": {"system": "x", "cpus": 2},
    }
    return json.loads(to_guidellm_json(metadata, phases))


def test_guidellms_form() -> None:
    parsed = report(CLOSED, None, None)
    assert parsed["metadata"]["version"] == 2
    closed, second = parsed["benchmarks"]
    others = report(OPEN, None, None)["benchmarks"]
    assert closed["config"]["strategy"]["streams"] == 2
    assert [one["config"]["strategy"]["type_"] for one in others] == [
        *("poisson", "constant", "poisson", "poisson", "poisson"),
    ]
    assert closed["duration"] == 10 and second["start_time"] == closed["end_time"]
    metrics = closed["metrics"]
    totals = {"successful": 3, "errored": 1, "incomplete": 1, "total": 5}
    assert metrics["request_totals"] == closed["scheduler_metrics"]["requests_made"] == totals
    ttft = metrics["time_to_first_token_ms"]["successful"]
    assert (ttft["count"], ttft["min"], ttft["max"]) == (3, 100, 300)
    assert ttft["mean"] == ttft["median"] == ttft["percentiles"]["p50"] == 200
    assert metrics["request_latency"]["total"]["median"] == pytest.approx(0.6)  # seconds
    assert metrics["inter_token_latency_ms"]["successful"]["mean"] == pytest.approx(100)
    assert metrics["time_per_output_token_ms"]["successful"]["mean"] == pytest.approx(120)
    assert metrics["requests_per_second"]["successful"]["mean"] == pytest.approx(0.3)
    assert metrics["output_tokens_per_second"]["total"]["mean"] == pytest.approx(1.5)
    assert metrics["prompt_token_count"]["total"]["total_sum"] == 30
    assert metrics["slo_attainment"] == 0.5 and closed["config"]["slo"] == {"ttft_ms": 250}
    assert metrics["time_to_first_token_ms"]["errored"]["count"] == 0


@pytest.mark.parametrize(
    ("loads", "dataset", "requests"), [(CLOSED, None, None), (OPEN, "a.jsonl", 7)]
)
def test_guidellm_reads_it(
    loads: tuple[Load, ...], dataset: str | None, requests: int | None, tmp_path: Path
) -> None:
    """With the clients' environment that QCHAT_TEST_CLIENTS names."""
    folder = os.environ.get("QCHAT_TEST_CLIENTS")
    python = Path(folder or "") / "bin/python"
    if folder is None or subprocess.run([python, "-c", "import guidellm"]).returncode:
        pytest.skip("QCHAT_TEST_CLIENTS names no environment with guidellm")
    (file := tmp_path / "a.json").write_text(json.dumps(report(loads, dataset, requests)))
    program = f"""
from guidellm.benchmark.schemas import GenerativeBenchmarksReport
for one in GenerativeBenchmarksReport.load_file({str(file)!r}).benchmarks:
    print(one.metrics.time_to_first_token_ms.successful.median, one.duration)
"""
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["200.0", "10.0"] * len(loads)
