"""The result of a benchmark in the form of GuideLLM, for tools that read its reports.

The form is version 2 of GuideLLM's report, as `GenerativeBenchmarksReport.load_file` of 0.8 reads
it. Single requests are left out. TTFT and latency count from when a request was due, here as
everywhere in `qchat bench`. What GuideLLM calls inter-token latency is the mean of a request, our
TPOT, and its time per output token counts the first token, too. Distributions of rates are those of
the equal parts of the window.
"""

import json
import math
import platform
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ...json_types import JsonObject
from .distributions import distribution, quantile

_PERCENTILES = {
    "p001": 0.1,
    **{f"p{percent:02}": float(percent) for percent in (1, 5, 10, 25, 50, 75, 90, 95, 99)},
    "p999": 99.9,
}

_MEDIA = {
    "image": ("tokens", "images", "pixels", "bytes"),
    "video": ("tokens", "frames", "seconds", "bytes"),
    "audio": ("tokens", "samples", "seconds", "bytes"),
    "tool_call": ("tokens", "mixed_tokens", "count"),
}


def to_guidellm_json(metadata: Mapping[str, Any], phases: Sequence[JsonObject]) -> str:
    """Format the loads as one report of GuideLLM."""
    run_id = str(uuid.uuid4())
    end = datetime.fromisoformat(metadata["ended_at"]).timestamp()
    benchmarks = list[JsonObject]()
    for number, phase in reversed(list(enumerate(phases))):
        benchmarks.insert(0, _benchmark(metadata, phase, run_id, number, end))
        end -= phase["seconds"]
    report = {
        "metadata": {
            "version": 2,
            "guidellm_version": f"qchat {metadata['qchat']}",
            "python_version": platform.python_version(),
            "platform": metadata["client_machine"]["system"],
        },
        "config": {"metadata": {"labels": {}}, "spec": _spec(metadata, phases)},
        "benchmarks": benchmarks,
    }
    return json.dumps(report, ensure_ascii=False) + "\n"


def _spec(metadata: Mapping[str, Any], phases: Sequence[JsonObject]) -> JsonObject:
    settings = metadata["settings"]
    data: JsonObject = {
        "kind": "synthetic_text",
        "prompt_tokens": settings["input_len"] or 1,
        "output_tokens": settings["output_len"] or 1,
    }
    if settings["dataset"] is not None:
        data = {"kind": "json_file", "path": settings["dataset"]}
    requests, seconds = settings["requests"], settings["duration"]
    constraint: JsonObject = {"kind": "max_requests", "count": requests}
    if requests is None:
        constraint = {"kind": "max_duration", "seconds": seconds}
    return {
        "backend": _backend(metadata),
        "profile": _profile(phases),
        "constraints": [constraint],
        "data": [data],
    }


def _backend(metadata: Mapping[str, Any]) -> JsonObject:
    settings = metadata["settings"]
    return {
        "kind": "openai_http",
        "target": metadata["server"].removesuffix("/v1"),
        "model": settings["model"],
        "request_format": settings["endpoint"],
    }


def _profile(phases: Sequence[JsonObject]) -> JsonObject:
    loads = [phase["load"] for phase in phases]
    if all(load["kind"] == "closed" for load in loads):
        return {"kind": "concurrent", "streams": [load["concurrency"] for load in loads]}
    kind = "constant" if loads[0].get("burstiness") == "inf" else "poisson"
    return {"kind": kind, "rate": [_rate(load) for load in loads]}


def _rate(load: JsonObject) -> float:
    """The rate of an open loop; of a ramp, for which GuideLLM has no word, the mean of its ends."""
    if load["kind"] == "ramp":
        return (float(load["start"]) + float(load["end"])) / 2
    return float(load["rate"])


def _strategy(load: JsonObject, seed: int) -> JsonObject:
    if load["kind"] == "closed":
        concurrency = load["concurrency"]
        return {
            "type_": "concurrent",
            "streams": concurrency,
            "max_concurrency": concurrency,
            "worker_count": 1,
            "rampup_duration": 0.0,
        }
    if load.get("burstiness") == "inf" and load["kind"] == "open":
        return {"type_": "constant", "rate": load["rate"], "worker_count": 1}
    return {"type_": "poisson", "rate": _rate(load), "random_seed": seed, "worker_count": 1}


def _benchmark(
    metadata: Mapping[str, Any], phase: JsonObject, run_id: str, number: int, end: float
) -> JsonObject:
    settings = metadata["settings"]
    start = end - phase["seconds"]
    strategy = _strategy(phase["load"], settings["seed"])
    made = _counts(phase)
    ended = {"start_time": start - settings["warm_up"], "end_time": end}
    return {
        "type_": "generative_benchmark",
        "config": {
            "id_": str(uuid.uuid4()),
            "run_id": run_id,
            "run_index": number,
            "strategy": strategy,
            "constraints": {},
            "sample_size": 0,
            "slo": _slo(phase),
            "profile": _profile([phase]),
            "requests": {"load": phase["load"], "name": phase["name"]},
            "backend": _backend(metadata),
            "environment": dict(metadata["client_machine"]),
        },
        "scheduler_state": {
            "node_id": 0,
            "num_processes": 1,
            **ended,
            "start_requests_time": start - settings["warm_up"],
            "end_requests_time": end,
            "created_requests": made["total"],
            "processed_requests": made["total"],
            "successful_requests": made["successful"],
            "errored_requests": made["errored"],
            "cancelled_requests": made["incomplete"],
        },
        "scheduler_metrics": _scheduler_metrics(phase, strategy, start, end, ended),
        "metrics": _metrics(phase),
        "requests": {"successful": [], "incomplete": [], "errored": [], "total": None},
        "start_time": start,
        "end_time": end,
        "duration": phase["seconds"],
        "warmup_duration": settings["warm_up"],
        "cooldown_duration": 0.0,
    }


def _counts(phase: JsonObject) -> JsonObject:
    counts = {"successful": phase["answered"], "errored": phase["failed"]}
    counts["incomplete"] = phase["cut"]
    return {**counts, "total": sum(counts.values())}


def _slo(phase: JsonObject) -> JsonObject | None:
    """The limits that GuideLLM knows."""
    names = {"ttft": "ttft_ms", "tpot": "tpot_ms", "latency": "e2el_ms"}
    limits = {} if phase["goodput"] is None else phase["goodput"]["limits_ms"]
    known = {names[name]: limit for name, limit in limits.items() if name in names and limit > 0}
    return known or None


def _scheduler_metrics(
    phase: JsonObject, strategy: JsonObject, start: float, end: float, ended: JsonObject
) -> JsonObject:
    seconds = _mean(phase["latency_ms"]) / 1000
    late = _mean(phase["queue_ms"]) / 1000
    return {
        **ended,
        "request_start_time": ended["start_time"],
        "measure_start_time": start,
        "measure_end_time": end,
        "request_end_time": end,
        "requests_made": _counts(phase),
        "generation_delay": _summary({}),
        "queued_time_avg": late,
        "resolve_start_delay_avg": 0.0,
        "resolve_targeted_start_delay_avg": late,
        "request_start_delay_avg": 0.0,
        "request_targeted_start_delay_avg": late,
        "request_time_avg": seconds,
        "resolve_end_delay_avg": 0.0,
        "resolve_time_avg": seconds,
        "finalized_delay_avg": 0.0,
        "processed_delay_avg": 0.0,
        "dataset_incomplete": True,
        "strategy_type": strategy["type_"],
    }


def _mean(values: JsonObject) -> float:
    return float(values.get("mean", 0.0))


def _metrics(phase: JsonObject) -> JsonObject:
    curves, line = phase["distributions"], phase["timeline"]
    goodput = phase["goodput"]
    tokens = _summary_of_tokens(phase)
    media = {
        name: {
            part: dict.fromkeys(f"{side}{of}" for side in _SIDES for of in _OF) for part in parts
        }
        for name, parts in _MEDIA.items()
    }
    return {
        "request_totals": _counts(phase),
        "requests_per_second": _rates(line.get("qps", ()), phase["qps"]),
        "request_concurrency": _rates(line.get("running", ())),
        "request_latency": _by_status(curves["latency_ms"], scale=0.001),
        "request_streaming_iterations_count": _by_status(curves["output_tokens"]),
        "prompt_token_count": _by_status(curves["prompt_tokens"]),
        "output_token_count": _by_status(curves["output_tokens"]),
        "total_token_count": _by_status(curves["total_tokens"]),
        "time_to_first_token_ms": _by_status(curves["ttft_ms"]),
        "time_to_first_output_token_ms": _by_status(curves["visible_ttft_ms"]),
        "time_per_output_token_ms": _by_status(curves["latency_per_token_ms"]),
        "inter_token_latency_ms": _by_status(curves["tpot_ms"]),
        "time_to_last_round_trip_ms": _by_status({}),
        "avg_round_trip_time_ms": _by_status({}),
        "prompt_tokens_per_second": tokens["input_per_second"],
        "output_tokens_per_second": tokens["output_per_second"],
        "tokens_per_second": tokens["total_per_second"],
        "output_tokens_per_iteration": _by_status({}),
        "iter_tokens_per_iteration": _by_status({}),
        "text": {"tokens": tokens, "words": None, "characters": None},
        **media,
        "slo_attainment": None if goodput is None else goodput["share"],
        "slo_determined_requests": 0 if goodput is None else phase["total_requests"],
        "request_goodput": None if goodput is None else _rates((), goodput["qps"]),
    }


_SIDES, _OF = ("input", "output", "total"), ("", "_per_second", "_concurrency")


def _summary_of_tokens(phase: JsonObject) -> JsonObject:
    curves, line = phase["distributions"], phase["timeline"]
    prompt, output = phase["prompt_tokens_per_second"], phase["output_tokens_per_second"]
    return {
        "input": _by_status(curves["prompt_tokens"]),
        "input_per_second": _rates((), prompt),
        "input_concurrency": None,
        "output": _by_status(curves["output_tokens"]),
        "output_per_second": _rates(line.get("output_tokens_per_second", ()), output),
        "output_concurrency": None,
        "total": _by_status(curves["total_tokens"]),
        "total_per_second": _rates((), prompt + output),
        "total_concurrency": None,
    }


def _rates(values: Iterable[float], mean: float | None = None) -> JsonObject:
    """A distribution over the parts of the window, with the mean of the whole window where it is
    known exactly; of the mean alone where there are no parts."""
    parts = list(values) or ([] if mean is None else [mean])
    curve = distribution(parts)
    return _by_status({**curve, "mean": mean} if curve and mean is not None else curve)


def _by_status(curve: JsonObject, scale: float = 1.0) -> JsonObject:
    """Only completed requests are in our distributions."""
    summary = _summary(curve, scale)
    empty = _summary({})
    return {"successful": summary, "errored": empty, "incomplete": empty, "total": summary}


def _summary(curve: JsonObject, scale: float = 1.0) -> JsonObject:
    """A `distribution` as GuideLLM's summary of one; without values all of it is 0."""
    if not curve:
        zeros = dict.fromkeys(("mean", "median", "mode", "variance", "std_dev", "min", "max"), 0.0)
        return {
            **zeros,
            "count": 0,
            "total_sum": 0.0,
            "percentiles": dict.fromkeys(_PERCENTILES, 0.0),
        }
    mean, std = curve["mean"] * scale, curve["std"] * scale
    return {
        "mean": mean,
        "median": quantile(curve, 50.0) * scale,
        "mode": curve["mode"] * scale,
        "variance": math.pow(std, 2),
        "std_dev": std,
        "min": quantile(curve, 0.0) * scale,
        "max": quantile(curve, 100.0) * scale,
        "count": curve["count"],
        "total_sum": mean * curve["count"],
        "percentiles": {
            name: quantile(curve, percent) * scale for name, percent in _PERCENTILES.items()
        },
    }
