"""What a person reads of a bench: lines while it runs, figures, bars; and the files."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click

from ...console import table
from ...i18n import _
from ...json_types import JsonObject
from ...sanitize import one_line
from .client import RequestRecord
from .figures import LATENCIES, PERCENTILES, RATES
from .load import Load, LoadSettings
from .run import Watcher

STATS = ("mean", *(f"p{percent}" for percent in PERCENTILES))

_WIDTH = 40  # of the longest bar
_BLOCKS = " ▏▎▍▌▋▊▉█"


class Live(Watcher):
    """Notes, and a line for each measurement; on a terminal it lives."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._name = ""
        self._shown = self._began = 0.0
        self._answered = self._failed = 0

    def note(self, text: str) -> None:
        click.echo(text, file=self._stream)

    def begin(self, load: Load, terms: LoadSettings) -> None:
        self._name, self._began = load.name, time.monotonic()
        self._answered = self._failed = 0
        if terms.requests is None:
            text = _("{load}: {warm:g} s to warm up, {n:g} s …")
        else:
            text = _("{load}: {warm:g} s to warm up, {requests} requests …")
        said = text.format(
            load=load.name, warm=terms.warm_up, n=terms.duration, requests=terms.requests
        )
        click.echo(said, file=self._stream, nl=not self._live)

    def ended(self, record: RequestRecord) -> None:
        self._answered += record.failure is None
        self._failed += record.failure is not None
        now = time.monotonic()
        if self._live and now - self._shown > 0.25:
            self._shown = now
            text = _("{load}: {s:.0f} s, {answered:,} answered, {failed:,} failed")
            said = text.format(
                load=self._name, s=now - self._began, answered=self._answered, failed=self._failed
            )
            click.echo(f"\r\x1b[2K{said}", file=self._stream, nl=False)

    def end(self, phase: JsonObject) -> None:
        if self._live:
            click.echo("\r\x1b[2K", file=self._stream, nl=False)


def text(phases: Sequence[JsonObject]) -> str:
    """All figures, and bars where there are several loads."""
    parts = [_phase(phase) for phase in phases]
    with_answers = [phase for phase in phases if phase["answered"]]
    if len(with_answers) > 1:
        parts += [_bars(with_answers), _best(with_answers)]
    return "\n\n".join(part for part in parts if part)


def _phase(phase: JsonObject) -> str:
    head = _(
        "{name}, {seconds:.1f} s: total requests {total:,}, QPS {qps}, mean latency {mean} ms, "
        "failed {failed:,}"
    ).format(
        name=phase["name"],
        seconds=phase["seconds"],
        total=phase["total_requests"],
        qps=_number(phase["qps"]),
        mean=_number(phase["mean_latency_ms"]),
        failed=phase["failed"],
    )
    lines = [head, *_figures(phase)] if phase["answered"] else [head]
    for code, error in phase["errors"].items():
        said = _("{count:,} failed: {code} ({example})").format(
            count=error["count"], code=code, example=one_line(error["example"])
        )
        lines.append(said)
    if phase["cut"]:
        lines.append(_("{n:,} in flight were broken off and don't count.").format(n=phase["cut"]))
    lines += [
        _("INVALID: {why}. The client was the limit.").format(why=w) for w in phase["why_invalid"]
    ]
    return "\n".join(line for line in lines if line)


def _figures(phase: JsonObject) -> list[str]:
    rows = [(_("ms"), *STATS)]
    for name, about in LATENCIES.items():
        values = phase[f"{name}_ms"]
        label = about if name in ("latency", "queue") else f"{name.upper()} ({about})"
        rows.append((label, *(_number(values.get(stat)) for stat in STATS)))
    return [table(rows, right=range(1, len(STATS) + 1)), _throughput(phase), _client(phase)]


def _throughput(phase: JsonObject) -> str:
    said = _("tokens/s: {out} out, {into} in; sent {sent} a second").format(
        out=_number(phase["output_tokens_per_second"]),
        into=_number(phase["prompt_tokens_per_second"]),
        sent=_number(phase["sent_per_second"]),
    )
    if phase["load"]["kind"] == "open":
        said += " " + _("of {rate:g} wanted").format(rate=phase["load"]["rate"])
    if phase["answered"]:
        said += "; " + _("a request has {into} tokens in, {out} out").format(
            into=_number(phase["prompt_tokens"] / phase["answered"]),
            out=_number(phase["output_tokens"] / phase["answered"]),
        )
    if phase["answered"] and phase["tokens_counted_by"] == "chunks":
        said += " " + _("(the server counts none: chunks are taken for tokens)")
    if phase["goodput"] is not None and phase["goodput"]["share"] is not None:
        good = _("goodput {qps} a second, {share:.1%} of the requests")
        said += "\n" + good.format(
            qps=_number(phase["goodput"]["qps"]), share=phase["goodput"]["share"]
        )
    return said


def _client(phase: JsonObject) -> str:
    client = phase["client"]
    if client["cpu"] is None:
        return ""
    lag = client["lag_ms"].get("p99")
    said = _("client: {cpu:.0%} of a core, event loop late by {lag} ms (p99)")
    return said.format(cpu=client["cpu"], lag=_number(lag))


def _bars(phases: Sequence[JsonObject]) -> str:
    charts: dict[str, list[float]] = {
        _("output tokens/s"): [phase["output_tokens_per_second"] for phase in phases],
        _("TTFT p99, ms"): [phase["ttft_ms"].get("p99", 0.0) for phase in phases],
        _("TPOT p99, ms"): [phase["tpot_ms"].get("p99", 0.0) for phase in phases],
    }
    names = [phase["name"] for phase in phases]
    return "\n\n".join(f"{title}\n{bars(names, values)}" for title, values in charts.items())


def bars(names: Sequence[str], values: Sequence[float]) -> str:
    """A bar for each value; the longest is the largest."""
    most = max(values, default=0.0) or 1.0
    rows = []
    for name, value in zip(names, values, strict=True):
        eighths = round(8 * _WIDTH * value / most)
        rows.append((name, _number(value), "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()))
    return table(rows, right=(1,))


def _best(phases: Sequence[JsonObject]) -> str:
    best = max(phases, key=lambda phase: float(phase["output_tokens_per_second"]))
    said = _("Most tokens: {name}, {n} a second.")
    lines = [said.format(name=best["name"], n=_number(best["output_tokens_per_second"]))]
    good = [phase for phase in phases if phase["goodput"] is not None]
    if good:
        best = max(good, key=lambda phase: float(phase["goodput"]["qps"]))
        said = _("Most goodput: {name}, {n} a second.")
        lines.append(said.format(name=best["name"], n=_number(best["goodput"]["qps"])))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def to_json(head: Mapping[str, Any], phases: Sequence[JsonObject]) -> str:
    """The whole result as a file that `--compare` reads."""
    return json.dumps({**head, "phases": phases}, ensure_ascii=False, indent=1) + "\n"


def to_csv(phases: Sequence[JsonObject]) -> str:
    """A line for each load."""
    out = io.StringIO()
    plain = ("name", "seconds", "total_requests", "answered", "failed", "cut", "mean_latency_ms")
    last = ("prompt_tokens", "output_tokens", "valid")
    columns = [*plain, *RATES, *last, "goodput_qps", "client_cpu", "client_lag_p99_ms"]
    columns += [f"{name}_{stat}_ms" for name in LATENCIES for stat in STATS]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for phase in phases:
        good = phase["goodput"]
        row = [phase[name] for name in (*plain, *RATES, *last)]
        row += [good and good["qps"], phase["client"]["cpu"], phase["client"]["lag_ms"].get("p99")]
        row += [phase[f"{name}_ms"].get(stat) for name in LATENCIES for stat in STATS]
        writer.writerow(row)
    return out.getvalue()
