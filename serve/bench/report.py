"""The report of a benchmark: progress lines, tables, bar charts, JSON and CSV."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click

from ...console import table
from ...i18n import _, sentence_gap
from ...json_types import JsonObject
from ...sanitize import one_line
from .client import RequestRecord
from .load import LoadSettings
from .load_shapes import Load, label, shown_name
from .metrics import LATENCIES, PERCENTILES, RATES
from .run import ProgressReporter
from .search import best_phase

STATS = ("mean", *(f"p{percent}" for percent in PERCENTILES))

_WIDTH = 40  # of the longest bar
_BLOCKS = " ▏▎▍▌▋▊▉█"


class ConsoleProgress(ProgressReporter):
    """Prints notes and a line for each load; on a terminal the line shows the progress."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._label = ""
        self._last_update = self._started_at = 0.0
        self._completed = self._failed = 0

    def note(self, text: str) -> None:
        click.echo(text, file=self._stream)

    def load_started(self, load: Load, settings: LoadSettings) -> None:
        self._label, self._started_at = label(load), time.monotonic()
        self._completed = self._failed = 0
        if settings.max_requests is None:
            text = _("{load}: {warm_up:g} s of warm-up, {seconds:g} s …")
        else:
            text = _("{load}: {warm_up:g} s of warm-up, {requests} requests …")
        line = text.format(
            load=label(load),
            warm_up=settings.warm_up,
            seconds=settings.duration,
            requests=settings.max_requests,
        )
        click.echo(line, file=self._stream, nl=not self._is_terminal)

    def request_finished(self, record: RequestRecord) -> None:
        self._completed += record.failure is None
        self._failed += record.failure is not None
        now = time.monotonic()
        if self._is_terminal and now - self._last_update > 0.25:
            self._last_update = now
            text = _("{load}: {seconds:.0f} s, {completed:,} completed, {failed:,} failed")
            line = text.format(
                load=self._label,
                seconds=now - self._started_at,
                completed=self._completed,
                failed=self._failed,
            )
            click.echo(f"\r\x1b[2K{line}", file=self._stream, nl=False)

    def load_finished(self, phase: JsonObject) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[2K", file=self._stream, nl=False)


def format_report(phases: Sequence[JsonObject], search: JsonObject | None = None) -> str:
    """Format the metrics of all loads, with bar charts for several loads; of a search only those
    of the load that it found."""
    if search is not None:
        best = best_phase(search, phases)
        parts = [
            "" if best is None else _phase(best),
            _trials(search, phases),
            search_outcome(search),
        ]
        return "\n\n".join(part for part in parts if part)
    parts = [_phase(phase) for phase in phases]
    completed = [phase for phase in phases if phase["answered"]]
    if len(completed) > 1:
        parts += [_bars(completed), _best(completed)]
    return "\n\n".join(part for part in parts if part)


def _trials(search: JsonObject, phases: Sequence[JsonObject]) -> str:
    """The loads of a search, the lowest first."""
    head = (_("load"), _("within limits"), _("goodput/s"), _("tokens/s"), "TTFT p99", "TPOT p99")
    rows: list[tuple[str, ...]] = [(*head, "")]
    tried = sorted(
        zip(search["trials"], phases, strict=False), key=lambda pair: float(pair[0]["value"])
    )
    for trial, phase in tried:
        rows.append(
            (
                shown_name(phase),
                f"{trial['share']:.1%}",
                format_number(phase["goodput"]["qps"]),
                format_number(phase["output_tokens_per_second"]),
                format_number(phase["ttft_ms"].get("p99")),
                format_number(phase["tpot_ms"].get("p99")),
                (_("kept") if trial["kept"] else _("not kept"))
                + ("" if phase["valid"] else _(", client late")),
            )
        )
    return table(rows, right=range(1, 6))


def search_outcome(search: JsonObject) -> str:
    """One sentence: what a search found."""
    unit = _("{n:g} a second") if search["kind"] == "rate" else _("{n:g} at a time")
    kept, failed = search["highest_kept"], search["lowest_failed"]
    if not search["trials"]:
        return _("The search was cut short.")
    if kept is None:
        text = _("No load keeps the limits for {share:.1%} of the requests; not even {lowest}.")
        return text.format(share=search["share"], lowest=unit.format(n=failed or 0))
    text = _("The highest load that keeps the limits for {share:.1%} of the requests: {load}.")
    outcome = text.format(share=search["share"], load=unit.format(n=kept))
    if failed is not None:
        text = _("{load} does not.")
        outcome += sentence_gap() + text.format(load=unit.format(n=failed))
    if not search["complete"]:
        outcome += sentence_gap() + _("The search was cut short.")
    elif failed is None:
        outcome += sentence_gap() + _("A higher one was not tried.")
    return outcome


def _phase(phase: JsonObject) -> str:
    head = _(
        "{name}, {seconds:.1f} s: total requests {total:,}, QPS {qps}, mean latency {mean} ms, "
        "failed {failed:,}"
    ).format(
        name=shown_name(phase),
        seconds=phase["seconds"],
        total=phase["total_requests"],
        qps=format_number(phase["qps"]),
        mean=format_number(phase["mean_latency_ms"]),
        failed=phase["failed"],
    )
    lines = [head, *_metrics(phase)] if phase["answered"] else [head]
    for code, error in phase["errors"].items():
        text = _("{count:,} failed: {code} ({example})")
        example = one_line(error["example"])
        lines.append(text.format(count=error["count"], code=code, example=example))
    if phase["cut"]:
        lines.append(_("{n:,} in flight were aborted and do not count.").format(n=phase["cut"]))
    lines += [
        _("INVALID: {why}. The client was the bottleneck.").format(why=reason)
        for reason in phase["why_invalid"]
    ]
    return "\n".join(line for line in lines if line)


def _metrics(phase: JsonObject) -> list[str]:
    rows = [(_("ms"), *STATS)]
    for name, description in LATENCIES.items():
        values = phase[f"{name}_ms"]
        short = name in ("ttft", "tpot", "itl")
        label = description
        if short:
            label = _("{name} ({text})").format(name=name.upper(), text=description)
        rows.append((label, *(format_number(values.get(stat)) for stat in STATS)))
    metrics = table(rows, right=range(1, len(STATS) + 1))
    return [metrics, _turns(phase), _throughput(phase), _client(phase)]


def _turns(phase: JsonObject) -> str:
    if not phase["turns"]:
        return ""
    head = (_("turn"), _("answered"), _("prompt tokens"), "TTFT p50", "TTFT p99")
    rows: list[tuple[str, ...]] = [(*head, _("latency p50"))]
    for turn in phase["turns"]:
        numbers = (turn["mean_prompt_tokens"], turn["ttft_ms"]["p50"], turn["ttft_ms"]["p99"])
        values = map(format_number, (*numbers, turn["latency_ms"]["p50"]))
        rows.append((str(turn["turn"]), f"{turn['answered']:,}", *values))
    return table(rows, right=range(len(rows[0])))


def _throughput(phase: JsonObject) -> str:
    text = _("tokens/s: {output} output, {prompt} prompt; requests sent per second: {sent}").format(
        output=format_number(phase["output_tokens_per_second"]),
        prompt=format_number(phase["prompt_tokens_per_second"]),
        sent=format_number(phase["sent_per_second"]),
    )
    if phase["load"]["kind"] == "open":
        text += sentence_gap() + _("of {rate:g} scheduled").format(rate=phase["load"]["rate"])
    if phase["answered"]:
        text += _("; ") + _("tokens per request: {prompt} prompt, {output} output").format(
            prompt=format_number(phase["prompt_tokens"] / phase["answered"]),
            output=format_number(phase["output_tokens"] / phase["answered"]),
        )
    if phase["cached_tokens"] is not None and phase["prompt_tokens"]:
        cached = _("{share:.0%} of the prompt tokens were cached")
        text += _("; ") + cached.format(share=phase["cached_tokens"] / phase["prompt_tokens"])
    if phase["answered"] and phase["tokens_counted_by"] == "chunks":
        text += sentence_gap() + _("(the server reports no usage: each chunk counts as a token)")
    if phase["goodput"] is not None and phase["goodput"]["share"] is not None:
        goodput = _("goodput: {qps} requests per second, {share:.1%} of the requests")
        text += "\n" + goodput.format(
            qps=format_number(phase["goodput"]["qps"]), share=phase["goodput"]["share"]
        )
    return text


def _client(phase: JsonObject) -> str:
    client = phase["client"]
    if client["cpu"] is None:
        return ""
    lag = client["lag_ms"].get("p99")
    text = _("client: {cpu:.0%} of a core, event loop late by {lag} ms (p99)")
    return text.format(cpu=client["cpu"], lag=format_number(lag))


def _bars(phases: Sequence[JsonObject]) -> str:
    charts: dict[str, list[float]] = {
        _("output tokens/s"): [phase["output_tokens_per_second"] for phase in phases],
        _("TTFT p99, ms"): [phase["ttft_ms"].get("p99", 0.0) for phase in phases],
        _("TPOT p99, ms"): [phase["tpot_ms"].get("p99", 0.0) for phase in phases],
    }
    names = [shown_name(phase) for phase in phases]
    return "\n\n".join(f"{title}\n{bars(names, values)}" for title, values in charts.items())


def bars(names: Sequence[str], values: Sequence[float]) -> str:
    """A horizontal bar for each value, scaled to the largest."""
    largest = max(values, default=0.0) or 1.0
    rows = []
    for name, value in zip(names, values, strict=True):
        eighths = round(8 * _WIDTH * value / largest)
        rows.append(
            (name, format_number(value), "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip())
        )
    return table(rows, right=(1,))


def _best(phases: Sequence[JsonObject]) -> str:
    best = max(phases, key=lambda phase: float(phase["output_tokens_per_second"]))
    text = _("Most tokens: {name}, {n} per second.")
    lines = [text.format(name=shown_name(best), n=format_number(best["output_tokens_per_second"]))]
    with_goodput = [phase for phase in phases if phase["goodput"] is not None]
    if with_goodput:
        best = max(with_goodput, key=lambda phase: float(phase["goodput"]["qps"]))
        text = _("Most goodput: {name}, {n} per second.")
        lines.append(text.format(name=shown_name(best), n=format_number(best["goodput"]["qps"])))
    return "\n".join(lines)


def format_number(value: float | None) -> str:
    """Format a figure in three digits or more; a missing one is a dash."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def to_json(metadata: Mapping[str, Any], phases: Sequence[JsonObject]) -> str:
    """Format the result as the JSON file that `--compare` reads; its size does not grow with the
    number of requests."""
    fixed = [{k: v for k, v in phase.items() if k != "request_times"} for phase in phases]
    return json.dumps({**metadata, "phases": fixed}, ensure_ascii=False, indent=1) + "\n"


def to_csv(phases: Sequence[JsonObject]) -> str:
    """Format the metrics as CSV, a line for each load."""
    file = io.StringIO()
    summary = ("name", "seconds", "total_requests", "answered", "failed", "cut", "mean_latency_ms")
    totals = ("prompt_tokens", "output_tokens", "valid")
    columns = [*summary, *RATES, *totals, "goodput_qps", "client_cpu", "client_lag_p99_ms"]
    columns += [f"{name}_{stat}_ms" for name in LATENCIES for stat in STATS]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for phase in phases:
        goodput = phase["goodput"]
        row = [phase[name] for name in (*summary, *RATES, *totals)]
        row += [
            goodput and goodput["qps"],
            phase["client"]["cpu"],
            phase["client"]["lag_ms"].get("p99"),
        ]
        row += [phase[f"{name}_ms"].get(stat) for name in LATENCIES for stat in STATS]
        writer.writerow(row)
    return file.getvalue()
