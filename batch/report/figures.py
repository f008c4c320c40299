"""The figures of the page: throughput, times, lengths, and how answers ended."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

from ...i18n import _
from ..engines.compute_limit import ComputeLimit
from ..histogram import LogHistogram
from ..run_stats import duration
from .charts import Bar, Tick, bar_chart, share_bar, short_number
from .html import Html, join, tag
from .reading import RunReport
from .timeline import active_seconds

LEAST_SECONDS = 60.0
"""A shorter run says little of the hardware: its first and last rows have it for themselves."""


def figures(report: RunReport) -> Html:
    """Return the sections with charts."""
    parts = [_throughput(report), _share_of_limit(report), _histograms(report), _endings(report)]
    return join(parts)


def _throughput(report: RunReport) -> Html:
    spans = report.timeline.spans()
    heading = tag("h2", _("Throughput over time"))
    if len(spans) < 2:
        text = _("The results say too little of when they came for a chart.")
        return join([heading, tag("p", text, class_="soft")])
    bars: dict[str, list[Bar]] = {"rows": [], "tokens": []}
    for number, span in enumerate(spans):
        start, end = number / len(spans), (number + 1) / len(spans)
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(span.start))
        for name, n in (("rows", span.rows), ("tokens", span.tokens)):
            value = n / span.seconds
            title = f"{at} UTC: {short_number(value)}"
            bars[name].append(Bar(start, end, value, title, span.resumed))
    total = sum(span.seconds for span in spans)
    ticks = [Tick(share, duration(total * share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts = [heading]
    pauses = sum(span.resumed for span in spans)
    if pauses:
        text = _("Dashed lines: pauses of the run, left out here ({n}).")
        parts.append(tag("p", text.format(n=pauses), class_="soft"))
    charts = [
        join([tag("h3", _("Rows a second")), bar_chart(bars["rows"], ticks, _("Rows a second"))])
    ]
    if report.completion_tokens:
        label = _("Completion tokens a second")
        charts.append(join([tag("h3", label), bar_chart(bars["tokens"], ticks, label)]))
    parts.append(tag("div", [tag("div", chart) for chart in charts], class_="two"))
    return join(parts)


def _share_of_limit(report: RunReport) -> Html:
    """Return how much of what the GPUs can compute the run took; '' where that is not known.

    Which tokens of prompts were computed is known where the server counts those of its cache.
    """
    limit = None if report.manifest is None else ComputeLimit.of_record(report.manifest.compute)
    seconds = active_seconds(report.timeline.spans())
    if limit is None or seconds < LEAST_SECONDS:
        return Html("")
    possible = limit.tokens_per_second * seconds
    least = report.completion_tokens / possible
    most = (report.completion_tokens + report.prompt_tokens - report.cached_tokens) / possible
    if report.cached_tokens:
        share = f"{most:.1%}"
    else:
        text = _("{least:.1%} (the answers) to {most:.1%} (all prompts too, if none was cached)")
        share = text.format(least=least, most=most)
    text = _(
        "About {share} of {n} × {gpu} at its peak: {tflops:,.0f} TFLOPS in BF16 by its data sheet, "
        "for 2 FLOP a token and each of {active} billion active parameters."
    )
    line = text.format(
        share=share, n=limit.gpus, gpu=limit.gpu, tflops=limit.tflops, active=limit.active_b
    )
    return join([tag("h2", _("Share of the hardware's limit")), tag("p", line)])


def _histograms(report: RunReport) -> Html:
    charts = [
        _histogram(_("Seconds to an answer"), report.latency, _time),
        _histogram(_("Tokens of a prompt"), report.prompt_lengths, _whole),
        _histogram(_("Tokens of an answer"), report.answer_lengths, _whole),
    ]
    shown = [tag("div", chart) for chart in charts if chart is not None]
    if not shown:
        return Html("")
    return join([tag("h2", _("Times and lengths")), tag("div", shown, class_="two")])


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else duration(seconds)


def _whole(value: float) -> str:
    return short_number(round(value)) if value >= 1 else "0"


def _histogram(label: str, values: LogHistogram, text_of: Callable[[float], str]) -> Html | None:
    """Draw a histogram over a logarithmic axis; None without values."""
    if not values.count:
        return None
    bins = list(values.coarse())
    lowest = math.log10(max(bins[0][0], 0.001))
    highest = max(math.log10(bins[-1][1]), lowest + 0.1)

    def place(value: float) -> float:
        return (math.log10(max(value, 0.001)) - lowest) / (highest - lowest)

    bars = []
    for low, high, n in bins:
        text = _("{low} to {high}: {n:,} rows ({share:.1%})")
        share = n / values.count
        title = text.format(low=text_of(low), high=text_of(high), n=n, share=share)
        bars.append(Bar(place(low), place(high), n, title))
    ticks = [Tick(place(value), text_of(value)) for value in _tick_values(10**lowest, 10**highest)]
    known = values.quantiles()
    text = _("median {p50}, mean {mean}, 95% at most {p95}, 99% at most {p99}, longest {max}")
    line = text.format(**{name: text_of(value) for name, value in known.items()})
    note = tag("p", line, class_="soft")
    return join([tag("h3", label), bar_chart(bars, ticks, label), note])


def _tick_values(low: float, high: float) -> Iterator[float]:
    """Yield round numbers between two: powers of ten, and 2 and 5 times them where they are few."""
    decades = math.log10(high / low)
    steps = (1.0,) if decades > 4 else (1.0, 3.0) if decades > 2 else (1.0, 2.0, 5.0)
    if decades < 0.3:
        yield low
        yield high
        return
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in steps:
            value = step * 10.0**exponent
            if low * 0.999 <= value <= high * 1.001:
                yield value


def _endings(report: RunReport) -> Html:
    tables = [
        (_("Finish reasons"), report.finish_reasons),
        (_("Quality"), report.qualities),
        (_("Asked again"), report.again),
        (_("Models"), report.models if len(report.models) > 1 else Counter()),
    ]
    shown = [
        tag("div", tag("h3", label), count_table(counts)) for label, counts in tables if +counts
    ]
    return join([tag("h2", _("How answers ended")), tag("div", shown, class_="two")])


def count_table(counts: "Counter[str]") -> Html:
    """Return a table of names and counts, the largest first."""
    total = counts.total()
    rows = [
        tag(
            "tr",
            tag("td", name),
            tag("td", f"{n:,}", class_="n"),
            tag("td", f"{n / total:.1%}", class_="n"),
            tag("td", share_bar(n / total)),
        )
        for name, n in counts.most_common()
        if n
    ]
    return tag("table", rows)
