"""The curves on the page of a benchmark."""

from collections.abc import Sequence

from ...html.charts import short_number
from ...html.line_chart import Point, Series, line_chart, linear_axis, log_axis, named_axis
from ...html.markup import Html, join, tag
from ...i18n import _
from ...json_types import JsonObject
from .distributions import QUANTILES
from .load_shapes import shown_name

_MARKED = (50.0, 90.0, 95.0, 99.0)
"""The percentiles that have a mark on a curve."""

_CURVES = {
    "ttft_ms": "TTFT",
    "visible_ttft_ms": _("time to first visible token"),
    "itl_ms": "ITL",
    "latency_ms": _("end-to-end latency"),
}


def _titled(title: str, chart: Html) -> Html:
    return tag("div", tag("h3", title), chart)


def _pairs(charts: Sequence[Html]) -> Html:
    return tag("div", charts, class_="two")


def curves_by_load(phases: Sequence[JsonObject]) -> Html:
    """The throughput and the latencies over the loads, in the order of the load."""
    ordered = by_size(phases)
    axis = named_axis([shown_name(phase) for phase in ordered])

    def series(name: str, values: Sequence[float | None]) -> Series:
        points = []
        for number, (phase, value) in enumerate(zip(ordered, values, strict=True)):
            text = "-" if value is None else short_number(value)
            points.append(Point(number, value, f"{shown_name(phase)}: {text}"))
        return Series(name, points)

    tokens = _("output tokens/s")
    charts = [
        _titled(
            tokens,
            line_chart(
                [series(tokens, [phase["output_tokens_per_second"] for phase in ordered])],
                axis,
                tokens,
            ),
        )
    ]
    titles = {
        "ttft_ms": _("time to first token, ms"),
        "tpot_ms": _("time per output token, ms"),
        "latency_ms": _("end-to-end latency, ms"),
    }
    for name, title in titles.items():
        lines = [
            series(stat, [phase[name].get(stat) for phase in ordered])
            for stat in ("p50", "p90", "p99")
        ]
        charts.append(_titled(title, line_chart(lines, axis, title)))
    return _pairs(charts)


def by_size(phases: Sequence[JsonObject]) -> list[JsonObject]:
    """The lowest load first."""

    def size(phase: JsonObject) -> float:
        load = phase["load"]
        return float(load.get("rate", load.get("concurrency", load.get("end", 0.0))))

    return sorted(phases, key=size)


def search_chart(search: JsonObject, phases: Sequence[JsonObject]) -> Html:
    """The share within the limits and the goodput over the loads that were tried."""
    tried = sorted(
        zip(search["trials"], phases, strict=False), key=lambda pair: float(pair[0]["value"])
    )
    if not tried:
        return Html("")
    values = [trial["value"] for trial, _phase in tried]
    axis = log_axis(values[0], values[-1]) if len(tried) > 1 else linear_axis(0, 2 * values[0])
    names = [shown_name(phase) for _trial, phase in tried]
    shares = [
        Point(trial["value"], 100 * trial["share"], f"{name}: {trial['share']:.1%}")
        for name, (trial, _phase) in zip(names, tried, strict=True)
    ]
    least = 100 * search["share"]
    limit = [Point(value, least) for value in (values[0], values[-1])]
    goodput = [
        Point(trial["value"], phase["goodput"]["qps"], f"{name}: {phase['goodput']['qps']:.3g}/s")
        for name, (trial, phase) in zip(names, tried, strict=True)
    ]
    offered = [Point(trial["value"], phase["qps"]) for trial, phase in tried]
    within, requests = _("requests within the limits, %"), _("requests per second")
    series = [Series(within, shares), Series(_("needed"), limit)]
    rates = [Series(_("goodput"), goodput), Series(_("completed"), offered)]
    return _pairs(
        [
            _titled(within, line_chart(series, axis, within, highest=100.0)),
            _titled(requests, line_chart(rates, axis, requests)),
        ]
    )


def curves_of_load(phase: JsonObject) -> Html:
    """What happened over time, and how the latencies are distributed."""
    line = phase["timeline"]
    width = line["seconds"]
    if not width:
        return tag("p", _("Nothing was measured."), class_="soft")
    axis = linear_axis(0.0, width * len(line["qps"]), lambda seconds: f"{seconds:.3g} s")

    def over_time(name: str, title: str) -> Html:
        points = [
            Point((number + 0.5) * width, value)
            for number, value in enumerate(line[name])
            if value is not None
        ]
        return _titled(title, line_chart([Series(title, points)], axis, title))

    charts = [
        over_time("output_tokens_per_second", _("output tokens/s over time")),
        over_time("running", _("requests in flight over time")),
        over_time("ttft_ms", _("time to first token over time, ms")),
    ]
    if (distributions := _distributions(phase["distributions"])) is not None:
        charts.append(distributions)
    return join([_pairs(charts), _turns(phase["turns"])])


def _distributions(curves: JsonObject) -> Html | None:
    """The share of requests, or of chunks for ITL, that took at most so long."""
    present = {name: curves[name] for name in _CURVES if curves[name]}
    if present.get("visible_ttft_ms") == present.get("ttft_ms"):
        present.pop("visible_ttft_ms", None)  # no model that thinks
    if not present:
        return None
    positive = [value for curve in present.values() for value in curve["quantiles"] if value > 0]
    low, high = min(positive, default=0.1), max(positive, default=1.0)
    low = max(low, high / 1e5)
    series = []
    for name, curve in present.items():
        points = []
        for percent, value in zip(QUANTILES, curve["quantiles"], strict=True):
            title = f"{_CURVES[name]} p{percent:g}: {short_number(value)} ms"
            points.append(Point(value, percent, title if percent in _MARKED else None))
        series.append(Series(_CURVES[name], points))
    title = _("took at most so many ms, %")
    return _titled(title, line_chart(series, log_axis(low, high), title, highest=100.0))


def _turns(turns: Sequence[JsonObject]) -> Html | None:
    if not turns:
        return None
    heads = (_("turn"), _("answered"), _("prompt tokens"), "TTFT p50", "TTFT p99", _("latency p50"))
    rows = [tag("tr", [tag("th", name, class_="n") for name in heads])]
    for turn in turns:
        values = [turn["mean_prompt_tokens"], turn["ttft_ms"]["p50"], turn["ttft_ms"]["p99"]]
        values.append(turn["latency_ms"]["p50"])
        cells = [f"{turn['turn']}", f"{turn['answered']:,}", *(f"{value:,.1f}" for value in values)]
        rows.append(tag("tr", [tag("td", cell, class_="n") for cell in cells]))
    return tag("div", tag("table", rows), class_="scroll")
