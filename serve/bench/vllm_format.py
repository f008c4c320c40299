"""The result of a benchmark in the form of `vllm bench serve`, for tools that read its files."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ...json_types import JsonObject
from .client import CHAT

# vLLM's names of the latencies, and ours.
_LATENCIES = {"ttft": "ttft_ms", "tpot": "tpot_ms", "itl": "itl_ms", "e2el": "latency_ms"}
_PERCENTILES = ("p90", "p95", "p99")


def to_vllm_json(metadata: Mapping[str, Any], phases: Sequence[JsonObject]) -> str:
    """Format each load as the object that `vllm bench serve --save-result` writes, one per line as
    its ``--append-result`` does.

    The keys are vLLM's; what it adds with ``--save-detailed`` is left out. TTFT and end-to-end
    latency count from when a request was due, here as everywhere in `qchat bench`; vLLM counts from
    when its client sent it, and so do the `latencies` of single requests, beside which their
    `queue_times` stand.
    """
    return "".join(
        json.dumps(_result(metadata, phase), ensure_ascii=False) + "\n" for phase in phases
    )


def _result(metadata: Mapping[str, Any], phase: JsonObject) -> JsonObject:
    settings = metadata["settings"]
    load, seconds = phase["load"], phase["seconds"]
    backend = "openai-chat" if settings["endpoint"] == CHAT else "openai"
    total = phase["prompt_tokens_per_second"] + phase["output_tokens_per_second"]
    goodput = phase["goodput"]
    result: JsonObject = {
        "date": datetime.fromisoformat(metadata["ended_at"]).strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": backend,
        "backend": backend,
        "label": f"qchat {metadata['qchat']}",
        "model_id": settings["model"],
        "tokenizer_id": settings["model"],
        "num_prompts": phase["total_requests"],
        "request_rate": load.get("rate", "inf"),
        "burstiness": load.get("burstiness", 1.0),
        "max_concurrency": load.get("concurrency"),
        "duration": seconds,
        "completed": phase["answered"],
        "failed": phase["failed"],
        "total_input_tokens": phase["prompt_tokens"],
        "total_output_tokens": phase["output_tokens"],
        "request_throughput": phase["qps"],
        "request_goodput": None if goodput is None else goodput["qps"],
        "output_throughput": phase["output_tokens_per_second"],
        "total_token_throughput": total,
        "latencies": phase["request_times"]["latency_s"],
        "queue_times": phase["request_times"]["queue_s"],
        "max_output_tokens_per_s": phase["peaks"]["output_tokens_per_second"],
        "max_concurrent_requests": phase["peaks"]["requests"],
        "rtfx": 0.0,  # seconds of sound by seconds: there is no sound
    }
    if load["kind"] == "ramp":
        result |= {
            "ramp_up_strategy": load["strategy"],
            "ramp_up_start_rps": load["start"],
            "ramp_up_end_rps": load["end"],
        }
    for name, ours in _LATENCIES.items():
        values = phase[ours]
        result[f"mean_{name}_ms"] = values.get("mean")
        result[f"median_{name}_ms"] = values.get("p50")
        result[f"std_{name}_ms"] = values.get("std")
        result |= {f"{percent}_{name}_ms": values.get(percent) for percent in _PERCENTILES}
    return result
