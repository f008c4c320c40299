"""The first visible token of a thinking model, and results in vLLM's form."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from qchat.serve.bench.client import RequestRecord, read_stream
from qchat.serve.bench.load import Measurement
from qchat.serve.bench.load_shapes import ClosedLoop, OpenLoop, Ramp
from qchat.serve.bench.metrics import GoodputLimits, compute_metrics
from qchat.serve.bench.peaks import peaks, request_times
from qchat.serve.bench.report import to_json
from qchat.serve.bench.vllm_format import to_vllm_json

from qchat.errors import Code, Failure


class Chunks:
    """A body whose chunks come one at a time."""

    def __init__(self, deltas: list[dict[str, Any]], key: str = "delta") -> None:
        events = [{"choices": [{key: delta} if key == "delta" else delta]} for delta in deltas]
        events.append({"choices": [{"delta": {}, "text": "", "finish_reason": "stop"}]})
        self._lines = [b"data: " + orjson.dumps(event) + b"\n\n" for event in events]
        self._lines.append(b"data: [DONE]\n\n")

    async def readany(self) -> bytes:
        return self._lines.pop(0) if self._lines else b""


def visible(deltas: list[dict[str, Any]], key: str = "delta") -> int | None:
    """The number of tokens before the first visible one; None where none is."""
    record = RequestRecord(0.0)
    assert asyncio.run(read_stream(Chunks(deltas, key), record)) is None  # type: ignore[arg-type]
    if not record.first_visible_at:
        return None
    times = [record.first_token_at]
    for seconds in record.itl:
        times.append(times[-1] + seconds)
    return min(range(len(times)), key=lambda n: abs(times[n] - record.first_visible_at))


@pytest.mark.parametrize(
    ("deltas", "place"),
    [
        ([{"content": "Hi"}], 0),
        ([{"role": "assistant", "content": ""}, {"content": "Hi"}], 0),
        ([{"reasoning": "so"}, {"reasoning": " be it"}, {"content": "Hi"}], 2),
        ([{"reasoning_content": "so"}, {"content": "Hi"}], 1),
        (
            [{"content": "<think>"}, {"content": "so"}, {"content": "</think>"}, {"content": "Hi"}],
            3,
        ),
        (
            [
                {"content": "<th"},
                {"content": "ink>so</th"},
                {"content": "ink>\n"},
                {"content": "Hi"},
            ],
            3,
        ),
        ([{"content": "<think>so</think>Hi"}], 0),
        ([{"content": "<three"}], 0),
        ([{"reasoning": "so"}, {"tool_calls": [{"index": 0}]}], 1),
        ([{"reasoning": "so"}], None),
        ([{"content": "<think>"}, {"content": "never ends"}], None),
    ],
)
def test_the_answer_begins(deltas: list[dict[str, Any]], place: int | None) -> None:
    assert visible(deltas) == place


def test_completions_have_it_too() -> None:
    assert visible([{"text": ""}, {"text": "Hi"}], key="text") == 1


def measurement(load: Any, *records: RequestRecord) -> Measurement:
    return Measurement(load, start=0.0, end=10.0, records=list(records))


def record(at: float, ttft: float, seen: float, last: float) -> RequestRecord:
    one = RequestRecord(at, at, at + ttft, at + last, prompt_tokens=10, completion_tokens=5)
    one.has_usage, one.first_visible_at = True, at + seen if seen else 0.0
    return one


def test_it_stands_beside_the_first_token() -> None:
    phase = compute_metrics(
        measurement(ClosedLoop(1), record(0, 0.1, 0.4, 0.5), record(1, 0.1, 0.0, 0.5)),
        GoodputLimits({"visible_ttft": 500.0}),
    )
    assert phase["ttft_ms"]["mean"] == pytest.approx(100)
    assert phase["visible_ttft_ms"]["mean"] == pytest.approx(400)  # of those that have one
    assert phase["goodput"]["share"] == 0.5  # what nobody sees is not good


def test_peaks_are_those_of_a_second() -> None:
    """Seconds count from the first request; a chunk may have several tokens."""
    records = [record(5.5, 0.1, 0.1, 1.2), record(6.0, 0.1, 0.1, 0.2), record(6.6, 0.1, 0.1, 2.5)]
    records[0].itl.append(1.1)
    found = peaks(records)
    assert found == {"output_tokens_per_second": 7.5, "requests": 2}
    assert peaks([]) == {"output_tokens_per_second": 0.0, "requests": 0}


def test_a_failed_request_has_no_latency_and_a_late_one_waited() -> None:
    late, failed = record(1, 0.1, 0.1, 0.5), record(2, 0.1, 0.1, 0.5)
    late.scheduled_at = 0.75
    failed.failure = Failure(Code.SERVER_ERROR, "")
    found = request_times([late, failed])
    assert found == {"latency_s": [0.5, 0.0], "queue_s": [0.25, 0.0]}


def test_qchats_own_file_has_a_fixed_size() -> None:
    phase = compute_metrics(measurement(ClosedLoop(2), record(0, 0.1, 0.1, 0.5)))
    (written,) = json.loads(to_json({}, [phase]))["phases"]
    assert "request_times" in phase and "request_times" not in written
    assert written["peaks"]["requests"] == 1


def test_vllms_form() -> None:
    loads = (ClosedLoop(2), OpenLoop(3.0))
    phases = [
        compute_metrics(measurement(load, record(0, 0.1, 0.1, 0.5), record(1, 0.3, 0.3, 0.7)))
        for load in loads
    ]
    settings = {"model": "demo", "endpoint": "/v1/chat/completions"}
    metadata = {"ended_at": "2026-11-26T12:00:00+00:00", "qchat": "0", "settings": settings}
    closed, opened = map(json.loads, to_vllm_json(metadata, phases).splitlines())
    assert (closed["request_rate"], closed["max_concurrency"]) == ("inf", 2)
    assert (opened["request_rate"], opened["max_concurrency"]) == (3.0, None)
    assert closed["date"] == "20261126-120000" and closed["model_id"] == "demo"
    assert (closed["completed"], closed["failed"], closed["num_prompts"]) == (2, 0, 2)
    assert closed["request_throughput"] == pytest.approx(0.2)
    assert closed["output_throughput"] == pytest.approx(1.0)
    assert closed["total_token_throughput"] == pytest.approx(3.0)
    assert closed["mean_ttft_ms"] == pytest.approx(200)
    assert closed["std_ttft_ms"] == pytest.approx(100)
    assert closed["median_e2el_ms"] == pytest.approx(600)
    assert closed["mean_tpot_ms"] == pytest.approx(100)
    assert closed["latencies"] == pytest.approx([0.5, 0.7])
    assert closed["queue_times"] == [0.0, 0.0]
    # Five tokens of the one request within the first second, five of the other in the next.
    assert (closed["max_output_tokens_per_s"], closed["max_concurrent_requests"]) == (5.0, 1)
    assert closed["rtfx"] == 0.0
    assert (closed["burstiness"], "ramp_up_strategy" in closed) == (1.0, False)
    ramp = json.loads(to_vllm_json(metadata, [{**phases[0], "load": Ramp(1, 9).to_json()}]))
    assert (ramp["ramp_up_strategy"], ramp["ramp_up_start_rps"]) == ("linear", 1)
    assert (ramp["ramp_up_end_rps"], ramp["max_concurrency"]) == (9, None)
    assert {"p99_ttft_ms", "p99_tpot_ms", "p99_itl_ms", "p99_e2el_ms"} <= closed.keys()
