"""From what was measured to figures: pure functions, times in milliseconds."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...i18n import _
from ...json_types import JsonObject
from .client import RequestRecord
from .load import ClosedLoop, Measurement

PERCENTILES = (50, 90, 95, 99)
LATENCIES: Mapping[str, str] = {
    "ttft": _("time to first token"),
    "tpot": _("time per output token"),
    "itl": _("between two chunks"),
    "latency": _("latency, end to end"),
    "queue": _("client queue"),
}
"""Names of the latencies as they stand in files, and what they are."""

RATES = ("qps", "sent_per_second", "output_tokens_per_second", "prompt_tokens_per_second")

SLICES = 10
"""Parts of a window whose spread says how noisy a figure is."""

MOST_CPU = 0.9
"""The share of a core from which on the client itself is the limit: it has one thread."""

MOST_LATE = 0.1
"""The client was late if the 99th percentile of its lateness is more than this share of the
median latency, and more than `UNNOTICED`."""

UNNOTICED = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a request good: milliseconds that each latency may take."""

    most: Mapping[str, float]

    def hold(self, taken: Mapping[str, float | None]) -> bool:
        """Whether a request kept them. One token alone has no TPOT, and keeps its limit."""
        return all((taken[name] or 0.0) <= most for name, most in self.most.items())


def compute_figures(measured: Measurement, limits: Limits | None = None) -> JsonObject:
    """The figures of a measurement, as they stand in a JSON file.

    Latencies are those of the requests that were due in the window and answered; a rate is what
    happened within the window, whenever it was asked.
    """
    own = list(measured.own)
    seconds = max(0.0, measured.end - measured.begin)
    answered = [record for record in own if record.failure is None]
    taken = [_taken(record) for record in answered]
    client = _client(measured)
    rates = _rates(measured, measured.begin, measured.end)
    latencies = {
        f"{name}_ms": stats(values) for name, values in _latencies(answered, taken).items()
    }
    why = _why_invalid(client, latencies)
    load = measured.load
    return {
        "load": (
            {"kind": "closed", "concurrency": load.concurrency}
            if isinstance(load, ClosedLoop)
            else {"kind": "open", "rate": load.rate}
        ),
        "name": load.name,
        "seconds": seconds,
        "total_requests": len(own),
        "answered": len(answered),
        "failed": len(own) - len(answered),
        "cut": measured.cut,
        "errors": _errors(own),
        "mean_latency_ms": latencies["latency_ms"].get("mean"),
        **rates,
        "prompt_tokens": sum(record.prompt_tokens for record in answered),
        "output_tokens": sum(record.completion_tokens for record in answered),
        "tokens_counted_by": _counted_by(answered),
        **latencies,
        "goodput": None if limits is None else _goodput(measured, taken, len(own), limits),
        "client": client,
        "valid": not why,
        "why_invalid": why,
        "slices": _slices(measured, answered),
    }


def stats(values: Iterable[float]) -> JsonObject:
    """Mean and percentiles; nothing of nothing."""
    ordered = sorted(values)
    if not ordered:
        return {}
    named = {f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES}
    return {"mean": math.fsum(ordered) / len(ordered), **named}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of sorted values, between two of them where it falls there (as numpy's default)."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _taken(record: RequestRecord) -> dict[str, float | None]:
    """What a request took, from the moment it was due, not from when it was sent."""
    tpot = record.tpot
    return {
        "ttft": 1000 * (record.first - record.scheduled),
        "tpot": None if tpot is None else 1000 * tpot,
        "latency": 1000 * (record.last - record.scheduled),
        "queue": 1000 * (record.sent - record.scheduled),
    }


def _latencies(
    answered: Sequence[RequestRecord], taken: Sequence[Mapping[str, float | None]]
) -> dict[str, Iterable[float]]:
    def named(name: str) -> list[float]:
        return [value for one in taken if (value := one[name]) is not None]

    gaps = array("d")
    for record in answered:
        gaps.extend(record.gaps)
    itl = [1000 * gap for gap in gaps]
    return {name: itl if name == "itl" else named(name) for name in LATENCIES}


def _rates(measured: Measurement, begin: float, end: float) -> JsonObject:
    """What happened from `begin` to `end`, a second. A token is taken to come with its chunk."""
    sent = done = 0
    prompt = output = 0.0
    for record in measured.records:
        sent += begin <= record.sent < end
        if record.failure is None and record.last >= begin and record.first < end:
            inside = begin <= record.last < end
            done += inside
            prompt += record.prompt_tokens if inside else 0
            output += record.completion_tokens * _share(record, begin, end)
    seconds = end - begin
    return {
        "qps": _per_second(done, seconds),
        "sent_per_second": _per_second(sent, seconds),
        "output_tokens_per_second": _per_second(output, seconds),
        "prompt_tokens_per_second": _per_second(prompt, seconds),
    }


def _goodput(
    measured: Measurement, taken: Sequence[Mapping[str, float | None]], own: int, limits: Limits
) -> JsonObject:
    """`qps` is of what ended within the window, as that of all requests is, and so never more;
    `share` of the requests that were due in it."""
    good = sum(
        measured.begin <= record.last < measured.end and limits.hold(_taken(record))
        for record in measured.records
        if record.failure is None
    )
    return {
        "limits_ms": dict(limits.most),
        "qps": _per_second(good, measured.end - measured.begin),
        "share": sum(map(limits.hold, taken)) / own if own else None,
    }


def _share(record: RequestRecord, begin: float, end: float) -> float:
    """The share of a request's chunks that came from `begin` to `end`."""
    if begin <= record.first and record.last < end:
        return 1.0
    at, inside = record.first, int(begin <= record.first < end)
    for gap in record.gaps:
        at += gap
        inside += begin <= at < end
    return inside / (len(record.gaps) + 1)


def _per_second(number: float, seconds: float) -> float:
    return number / seconds if seconds > 0 else 0.0


def _errors(own: Sequence[RequestRecord]) -> JsonObject:
    """By cause: how many, and the first one's words."""
    failures = [record.failure for record in own if record.failure is not None]
    number = Counter(failure.code for failure in failures)
    said = {failure.code: failure.message for failure in reversed(failures)}
    return {
        str(code): {"count": count, "example": said[code]} for code, count in number.most_common()
    }


def _counted_by(answered: Sequence[RequestRecord]) -> str:
    return "server" if all(record.counted for record in answered) else "chunks"


def _client(measured: Measurement) -> JsonObject:
    """What the client itself took: `cpu` in cores, and how late its event loop was."""
    sent = sum(measured.begin <= record.sent < measured.end for record in measured.records)
    cpu = measured.cpu / measured.cpu_span if measured.cpu_span else None
    seconds = measured.end - measured.begin
    return {
        "cpu": cpu,
        "cpu_ms_per_request": 1000 * cpu * seconds / sent if sent and cpu is not None else None,
        "lag_ms": stats(1000 * lag for lag in measured.lags),
    }


def _why_invalid(client: JsonObject, latencies: Mapping[str, JsonObject]) -> list[str]:
    """Why the client, not the server, was measured; empty where it was not."""
    why = []
    if client["cpu"] is not None and client["cpu"] >= MOST_CPU:
        text = _("the client took {cpu:.0%} of a core")
        why.append(text.format(cpu=client["cpu"]))
    latency = latencies["latency_ms"].get("p50")
    late = {
        _("the client's event loop was late by {ms:.0f} ms (p99)"): client["lag_ms"].get("p99"),
        _("the client sent its requests late, by {ms:.0f} ms (p99)"): latencies["queue_ms"].get(
            "p99"
        ),
    }
    for text, ms in late.items():
        if ms is not None and latency is not None and ms > max(UNNOTICED, MOST_LATE * latency):
            why.append(text.format(ms=ms))
    return why


def _slices(measured: Measurement, answered: Sequence[RequestRecord]) -> list[JsonObject]:
    """The figures that can be compared, for each of `SLICES` equal parts of the window."""
    width = (measured.end - measured.begin) / SLICES
    if width <= 0:
        return []
    parts: list[list[RequestRecord]] = [[] for _n in range(SLICES)]
    for record in answered:
        parts[min(SLICES - 1, int((record.scheduled - measured.begin) / width))].append(record)
    slices = []
    for number, part in enumerate(parts):
        begin = measured.begin + number * width
        latencies = _latencies(part, [_taken(record) for record in part])
        flat = {
            f"{name}_ms.{stat}": value
            for name, values in latencies.items()
            for stat, value in stats(values).items()
        }
        slices.append({**_rates(measured, begin, begin + width), **flat})
    return slices


def comparable(phase: JsonObject) -> dict[str, float]:
    """Figures of a phase by the names that its slices have."""
    found = {name: phase[name] for name in RATES}
    for name in LATENCIES:
        found |= {f"{name}_ms.{stat}": value for stat, value in phase[f"{name}_ms"].items()}
    return found
