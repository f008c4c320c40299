"""What a server tells of itself at `/metrics`, under vLLM's names (vllm/v1/metrics/loggers.py)."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass

_LINE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc"
    r"|prompt_tokens_total|generation_tokens_total)(?:\{.*\})?\s+(\S+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """All engines behind one address together: requests `running` in them and `waiting` for them,
    the share of the KV cache in use (0 to 1, their mean; None where not told), and all `tokens`
    read and written since they started."""

    running: float
    waiting: float
    kv_cache: float | None
    tokens: float


def parse_load(text: str) -> ServerLoad | None:
    """Read the Prometheus text; None where it has none of vLLM's values."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for name, value in _LINE.findall(text):
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number):
            found[name].append(number)
    if not found:
        return None
    cache = found["kv_cache_usage_perc"]
    return ServerLoad(
        sum(found["num_requests_running"]),
        sum(found["num_requests_waiting"]),
        sum(cache) / len(cache) if cache else None,
        sum(found["prompt_tokens_total"]) + sum(found["generation_tokens_total"]),
    )
