"""A server's load from its `/metrics`, under vLLM's names (vllm/v1/metrics/loggers.py)."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass

_SAMPLE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc"
    r"|prompt_tokens_total|generation_tokens_total)(?:\{.*\})?\s+(\S+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """Totals over all engines behind one address: requests `running` and `waiting`, the used share
    of the KV cache (0 to 1, the engines' mean; None where not published), and all prompt and
    generated `tokens` since they started."""

    running: float
    waiting: float
    kv_cache: float | None
    tokens: float


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
    if not samples:
        return None
    cache = samples["kv_cache_usage_perc"]
    return ServerLoad(
        sum(samples["num_requests_running"]),
        sum(samples["num_requests_waiting"]),
        sum(cache) / len(cache) if cache else None,
        sum(samples["prompt_tokens_total"]) + sum(samples["generation_tokens_total"]),
    )
