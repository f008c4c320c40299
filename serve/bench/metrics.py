"""The metrics of a measurement: pure functions, latencies in milliseconds."""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...i18n import _
from ...json_types import JsonObject
from .client import RequestRecord
from .distributions import distribution, percentile, timeline
from .load import Measurement
from .peaks import peaks, request_times

PERCENTILES = (50, 90, 95, 99)
LATENCIES: Mapping[str, str] = {
    "ttft": _("time to first token"),
    "visible_ttft": _("time to first visible token"),
    "tpot": _("time per output token"),
    "itl": _("inter-token latency"),
    "latency": _("end-to-end latency"),
    "queue": _("client queue time"),
}
"""The latencies by their names in files, with their descriptions."""

RATES = ("qps", "sent_per_second", "output_tokens_per_second", "prompt_tokens_per_second")

SLICES = 10
"""Equal parts of a window whose variance gives the noise of a metric (batch means)."""

MAX_CLIENT_CPU = 0.9
"""Share of a core above which the client itself is the bottleneck: it has one thread."""

MAX_LATENESS = 0.1
"""The client is a bottleneck if the 99th percentile of its lag is more than this share of the
median latency, and more than `LATENESS_FLOOR_MS`."""

LATENESS_FLOOR_MS = 5.0


@dataclass(frozen=True, slots=True)
class GoodputLimits:
    """Service level objectives: the most milliseconds of each latency (``ttft``, ``tpot``,
    ``visible_ttft``, ``latency``) for a request to count as goodput."""

    max_ms: Mapping[str, float]

    def are_met(self, latencies: Mapping[str, float | None]) -> bool:
        """Whether a request meets all of them. A single token has no TPOT, and meets its limit; an
        answer without visible text does not meet one for it."""
        missing = {"tpot": 0.0, "visible_ttft": math.inf}
        return all(
            (missing[name] if (value := latencies[name]) is None else value) <= limit
            for name, limit in self.max_ms.items()
        )


def compute_metrics(measurement: Measurement, limits: GoodputLimits | None = None) -> JsonObject:
    """Compute the metrics of a measurement, as the JSON file has them.

    Latencies are those of the completed requests that were scheduled within the window; rates
    count what happened within the window, whenever it was requested.
    """
    in_window = list(measurement.in_window)
    seconds = max(0.0, measurement.end - measurement.start)
    completed = [record for record in in_window if record.failure is None]
    per_request = [_request_latencies(record) for record in completed]
    client = _client(measurement)
    by_latency = _values_by_latency(completed, per_request)
    latencies = {f"{name}_ms": stats(values) for name, values in by_latency.items()}
    invalid_reasons = _invalid_reasons(client, latencies)
    load = measurement.load
    return {
        "load": load.to_json(),
        "name": load.name,
        "seconds": seconds,
        "total_requests": len(in_window),
        "answered": len(completed),
        "failed": len(in_window) - len(completed),
        "cut": measurement.cancelled,
        "errors": _errors(in_window),
        "mean_latency_ms": latencies["latency_ms"].get("mean"),
        **_rates(measurement, measurement.start, measurement.end),
        "prompt_tokens": sum(record.prompt_tokens for record in completed),
        "output_tokens": sum(record.completion_tokens for record in completed),
        "cached_tokens": _cached_tokens(completed),
        "tokens_counted_by": _token_source(completed),
        **latencies,
        "goodput": (
            None if limits is None else _goodput(measurement, per_request, len(in_window), limits)
        ),
        "client": client,
        "valid": not invalid_reasons,
        "why_invalid": invalid_reasons,
        "turns": _turns(completed),
        "slices": _slices(measurement, completed),
        "peaks": peaks(completed),
        "request_times": request_times(in_window),
        "timeline": timeline(measurement.records, measurement.start, measurement.end),
        "distributions": _distributions(completed, by_latency),
    }


def stats(values: Iterable[float]) -> JsonObject:
    """The mean, the standard deviation and the percentiles of `values`; empty without any."""
    ordered = sorted(values)
    if not ordered:
        return {}
    percentiles = {f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES}
    mean = math.fsum(ordered) / len(ordered)
    variance = math.fsum((value - mean) ** 2 for value in ordered) / len(ordered)
    return {"mean": mean, "std": math.sqrt(variance), **percentiles}


def _request_latencies(record: RequestRecord) -> dict[str, float | None]:
    """Latencies of a request since it was scheduled, not since it was sent: a client that sends
    late does not hide a slow server (coordinated omission)."""
    tpot = record.tpot
    visible = record.first_visible_at
    return {
        "ttft": 1000 * (record.first_token_at - record.scheduled_at),
        "visible_ttft": 1000 * (visible - record.scheduled_at) if visible else None,
        "tpot": None if tpot is None else 1000 * tpot,
        "latency": 1000 * (record.last_token_at - record.scheduled_at),
        "queue": 1000 * (record.sent_at - record.scheduled_at),
    }


def _values_by_latency(
    completed: Sequence[RequestRecord], per_request: Sequence[Mapping[str, float | None]]
) -> dict[str, Iterable[float]]:
    def values(name: str) -> list[float]:
        return [value for latencies in per_request if (value := latencies[name]) is not None]

    itl = array("d")
    for record in completed:
        itl.extend(record.itl)
    itl_ms = [1000 * seconds for seconds in itl]
    return {name: itl_ms if name == "itl" else values(name) for name in LATENCIES}


def _distributions(
    completed: Sequence[RequestRecord], by_latency: Mapping[str, Iterable[float]]
) -> JsonObject:
    """The curves of the latencies, and of what requests had in tokens."""
    curves = {f"{name}_ms": distribution(values) for name, values in by_latency.items()}
    prompt = [float(record.prompt_tokens) for record in completed]
    output = [float(record.completion_tokens) for record in completed]
    per_token = [
        1000 * (record.last_token_at - record.scheduled_at) / record.completion_tokens
        for record in completed
        if record.completion_tokens
    ]
    return {
        **curves,
        "latency_per_token_ms": distribution(per_token),
        "prompt_tokens": distribution(prompt),
        "output_tokens": distribution(output),
        "total_tokens": distribution(map(sum, zip(prompt, output, strict=True))),
    }


def _rates(measurement: Measurement, start: float, end: float) -> JsonObject:
    """Rates per second from `start` to `end`; a request's tokens are spread over its chunks."""
    sent = completed = 0
    prompt = output = 0.0
    for record in measurement.records:
        sent += start <= record.sent_at < end
        if record.failure is None and record.last_token_at >= start and record.first_token_at < end:
            inside = start <= record.last_token_at < end
            completed += inside
            prompt += record.prompt_tokens if inside else 0
            output += record.completion_tokens * _share_within(record, start, end)
    seconds = end - start
    return {
        "qps": _per_second(completed, seconds),
        "sent_per_second": _per_second(sent, seconds),
        "output_tokens_per_second": _per_second(output, seconds),
        "prompt_tokens_per_second": _per_second(prompt, seconds),
    }


def _goodput(
    measurement: Measurement,
    per_request: Sequence[Mapping[str, float | None]],
    total_requests: int,
    limits: GoodputLimits,
) -> JsonObject:
    """`qps` counts requests that completed within the window, as the `qps` of all requests does,
    so it is never higher; `share` is of the requests that were scheduled within it."""
    good = sum(
        measurement.start <= record.last_token_at < measurement.end
        and limits.are_met(_request_latencies(record))
        for record in measurement.records
        if record.failure is None
    )
    return {
        "limits_ms": dict(limits.max_ms),
        "qps": _per_second(good, measurement.end - measurement.start),
        "share": sum(map(limits.are_met, per_request)) / total_requests if total_requests else None,
    }


def _share_within(record: RequestRecord, start: float, end: float) -> float:
    """The share of a request's chunks that arrived from `start` to `end`."""
    if start <= record.first_token_at and record.last_token_at < end:
        return 1.0
    arrival, inside = record.first_token_at, int(start <= record.first_token_at < end)
    for seconds in record.itl:
        arrival += seconds
        inside += start <= arrival < end
    return inside / (len(record.itl) + 1)


def _per_second(number: float, seconds: float) -> float:
    return number / seconds if seconds > 0 else 0.0


def _errors(in_window: Sequence[RequestRecord]) -> JsonObject:
    """The failures by error code: their count, and the message of the first."""
    failures = [record.failure for record in in_window if record.failure is not None]
    counts = Counter(failure.code for failure in failures)
    examples = {failure.code: failure.message for failure in reversed(failures)}
    return {
        str(code): {"count": count, "example": examples[code]}
        for code, count in counts.most_common()
    }


def _token_source(completed: Sequence[RequestRecord]) -> str:
    return "server" if all(record.has_usage for record in completed) else "chunks"


def _cached_tokens(completed: Sequence[RequestRecord]) -> int | None:
    """The prompts' tokens that the server had already; None where it does not say."""
    cached = [record.cached_tokens for record in completed if record.cached_tokens is not None]
    return sum(cached) if cached else None


def _turns(completed: Sequence[RequestRecord]) -> list[JsonObject]:
    """What the turns of conversations had, one after the other; nothing for single questions."""
    by_turn: dict[int, list[RequestRecord]] = defaultdict(list)
    for record in completed:
        by_turn[record.turn].append(record)
    if max(by_turn, default=1) == 1:
        return []
    turns = []
    for turn, records in sorted(by_turn.items()):
        latencies = [_request_latencies(record) for record in records]
        tokens = sum(record.prompt_tokens for record in records)
        turns.append(
            {
                "turn": turn,
                "answered": len(records),
                "mean_prompt_tokens": tokens / len(records),
                "ttft_ms": stats(one["ttft"] for one in latencies if one["ttft"] is not None),
                "latency_ms": stats(
                    one["latency"] for one in latencies if one["latency"] is not None
                ),
            }
        )
    return turns


def _client(measurement: Measurement) -> JsonObject:
    """The client's own load: `cpu` in cores, and the lag of its event loop."""
    sent = sum(
        measurement.start <= record.sent_at < measurement.end for record in measurement.records
    )
    cpu = measurement.cpu / measurement.cpu_window if measurement.cpu_window else None
    seconds = measurement.end - measurement.start
    return {
        "cpu": cpu,
        "cpu_ms_per_request": 1000 * cpu * seconds / sent if sent and cpu is not None else None,
        "lag_ms": stats(1000 * lag for lag in measurement.loop_lags),
    }


def _invalid_reasons(client: JsonObject, latencies: Mapping[str, JsonObject]) -> list[str]:
    """Why the client was the bottleneck, not the server; empty if it was not."""
    reasons = []
    if client["cpu"] is not None and client["cpu"] >= MAX_CLIENT_CPU:
        text = _("the client took {cpu:.0%} of a core")
        reasons.append(text.format(cpu=client["cpu"]))
    median = latencies["latency_ms"].get("p50")
    if median is None:
        return reasons
    p99 = {
        _("the client's event loop was late by {ms:.0f} ms (p99)"): client["lag_ms"].get("p99"),
        _("the client sent its requests late, by {ms:.0f} ms (p99)"): (
            latencies["queue_ms"].get("p99")
        ),
    }
    limit = max(LATENESS_FLOOR_MS, MAX_LATENESS * median)
    return reasons + [
        text.format(ms=ms) for text, ms in p99.items() if ms is not None and ms > limit
    ]


def _slices(measurement: Measurement, completed: Sequence[RequestRecord]) -> list[JsonObject]:
    """The comparable metrics of each of `SLICES` equal parts of the window."""
    width = (measurement.end - measurement.start) / SLICES
    if width <= 0:
        return []
    parts: list[list[RequestRecord]] = [[] for _n in range(SLICES)]
    for record in completed:
        number = int((record.scheduled_at - measurement.start) / width)
        parts[min(SLICES - 1, number)].append(record)
    slices = []
    for number, part in enumerate(parts):
        start = measurement.start + number * width
        latencies = _values_by_latency(part, [_request_latencies(record) for record in part])
        flat = {
            f"{name}_ms.{stat}": value
            for name, values in latencies.items()
            for stat, value in stats(values).items()
        }
        slices.append({**_rates(measurement, start, start + width), **flat})
    return slices


def comparable_metrics(phase: JsonObject) -> dict[str, float]:
    """The metrics of a phase by the flat names that its slices use, such as ``ttft_ms.p50``."""
    metrics = {name: phase[name] for name in RATES}
    for name in LATENCIES:
        values = phase.get(f"{name}_ms", {})  # older files lack some
        metrics |= {f"{name}_ms.{stat}": values[stat] for stat in values if stat != "std"}
    return metrics
