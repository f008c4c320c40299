"""A server's load from its `/metrics`, under vLLM's names (vllm/v1/metrics/loggers.py)."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass

from ...api.priority import LIVE_RUNNING, LIVE_TOTAL

_SAMPLE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc"
    r"|prompt_tokens_total|generation_tokens_total)(?:\{.*\})?\s+(\S+)",
    re.MULTILINE,
)
_LIVE_SAMPLE = re.compile(rf"^({LIVE_RUNNING}|{LIVE_TOTAL})\s+(\S+)", re.MULTILINE)

LIVE_FAMILIES = (LIVE_RUNNING, LIVE_TOTAL)
"""What `qchat serve` counts of live requests, where no batch's are among them."""

QUEUE_FAMILIES = ("vllm:num_requests_running", "vllm:num_requests_waiting")
"""What any vLLM tells of its requests."""


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """Totals over all engines behind one address: requests `running` and `waiting`, the used share
    of the KV cache (0 to 1, the engines' mean; None where not published), and all prompt and
    generated `tokens` since they started. A server of `qchat serve` also tells how many requests
    run that are no batch's, `live_running`, and how many have come so far, `live_total`."""

    running: float
    waiting: float
    kv_cache: float | None
    tokens: float
    live_running: float | None = None
    live_total: float | None = None


def parse_load(text: str) -> ServerLoad | None:
    """Parse Prometheus text; None where it has none of vLLM's metrics."""
    samples: defaultdict[str, list[float]] = defaultdict(list)
    for name, value in _SAMPLE.findall(text):
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number):
            samples[name].append(number)
    live = dict(_LIVE_SAMPLE.findall(text))
    if not samples and LIVE_RUNNING not in live:
        return None
    cache = samples["kv_cache_usage_perc"]
    return ServerLoad(
        sum(samples["num_requests_running"]),
        sum(samples["num_requests_waiting"]),
        sum(cache) / len(cache) if cache else None,
        sum(samples["prompt_tokens_total"]) + sum(samples["generation_tokens_total"]),
        _number(live.get(LIVE_RUNNING)),
        _number(live.get(LIVE_TOTAL)),
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
