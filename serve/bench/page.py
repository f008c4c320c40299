"""The result of a benchmark as one page to look at, with its curves: `--report FILE.html`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...html.document import document, heading, tile
from ...html.line_chart import STYLE
from ...html.markup import Child, Html, join, tag
from ...i18n import _
from ...json_types import JsonObject
from .load_shapes import shown_name
from .page_charts import by_size, curves_by_load, curves_of_load, search_chart
from .report import format_number, search_outcome
from .search import best_phase

MAX_OPEN = 3
"""With more loads than these, the curves of each are folded."""


def page(metadata: Mapping[str, Any], phases: Sequence[JsonObject]) -> bytes:
    """Return the page, in UTF-8."""
    settings, search = metadata["settings"], metadata.get("search")
    title = _("Benchmark: {model}").format(model=settings["model"])
    line = " · ".join([metadata["server"], settings["endpoint"], metadata["ended_at"]])
    if not metadata["complete"]:
        line += " · " + _("not complete")
    sections = [
        heading(title, line),
        tag("div", list(_tiles(_headline(search, phases))), class_="tiles"),
    ]
    if search is not None:
        sections += [tag("h2", _("Search")), tag("p", search_outcome(search))]
        sections.append(search_chart(search, phases))
        phases = by_size(phases)
    sections += [tag("h2", _("Loads")), _table(phases, search)]
    if len(phases) > 1:
        sections.append(curves_by_load(phases))
    is_open = len(phases) <= MAX_OPEN
    sections += [tag("h2", _("Each load")), *(_load(phase, is_open=is_open) for phase in phases)]
    sections.append(_settings(metadata))
    return document(title, sections, style=STYLE).encode("utf-8", "replace")


def _headline(search: JsonObject | None, phases: Sequence[JsonObject]) -> JsonObject:
    """The load whose figures stand on top: what a search found, or the one with the most tokens."""
    best = None if search is None else best_phase(search, phases)
    return best or max(phases, key=lambda phase: float(phase["output_tokens_per_second"]))


def _tiles(phase: JsonObject) -> Iterator[Html]:
    yield tile(shown_name(phase), _("load"))
    yield tile(format_number(phase["output_tokens_per_second"]), _("output tokens/s"))
    yield tile(format_number(phase["qps"]), _("requests/s"))
    yield tile(_ms(phase["ttft_ms"].get("p50")), _("TTFT, median"))
    yield tile(_ms(phase["ttft_ms"].get("p99")), _("TTFT, p99"))
    yield tile(_ms(phase["tpot_ms"].get("p50")), _("TPOT, median"))
    yield tile(_ms(phase["latency_ms"].get("p99")), _("latency, p99"))
    if phase["goodput"] is not None and phase["goodput"]["share"] is not None:
        yield tile(f"{phase['goodput']['share']:.1%}", _("within the limits"))
    yield tile(f"{phase['failed']:,}", _("failed"), bad=phase["failed"] > 0)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{format_number(value)} ms"


def _table(phases: Sequence[JsonObject], search: JsonObject | None) -> Html:
    heads = [_("load"), _("requests"), _("failed"), _("requests/s"), _("tokens/s")]
    heads += ["TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99", _("latency p99")]
    has_goodput = any(phase["goodput"] is not None for phase in phases)
    heads += [_("within limits")] if has_goodput else []
    rows = [tag("tr", [tag("th", name, class_="n" if n else None) for n, name in enumerate(heads)])]
    trials = {} if search is None else {trial["value"]: trial["kept"] for trial in search["trials"]}
    for phase in phases:
        values = [f"{phase['total_requests']:,}", f"{phase['failed']:,}"]
        values += map(format_number, (phase["qps"], phase["output_tokens_per_second"]))
        for name in ("ttft_ms", "tpot_ms"):
            values += [_ms(phase[name].get("p50")), _ms(phase[name].get("p99"))]
        values.append(_ms(phase["latency_ms"].get("p99")))
        if has_goodput:
            share = (phase["goodput"] or {}).get("share")
            values.append("-" if share is None else f"{share:.1%}")
        kept = trials.get(phase["load"].get("rate", phase["load"].get("concurrency")), True)
        cells = [tag("td", value, class_="n" if kept else "n bad") for value in values]
        rows.append(tag("tr", tag("td", shown_name(phase)), cells))
    return tag("div", tag("table", rows), class_="scroll")


def _load(phase: JsonObject, *, is_open: bool) -> Html:
    parts: list[Child] = [tag("summary", shown_name(phase))]
    for reason in phase["why_invalid"]:
        text = _("INVALID: {why}. The client was the bottleneck.")
        parts.append(tag("p", text.format(why=reason), class_="bad"))
    for code, error in phase["errors"].items():
        text = _("{count:,} failed: {code} ({example})")
        line = text.format(count=error["count"], code=code, example=error["example"][:500])
        parts.append(tag("p", line, class_="bad"))
    parts.append(curves_of_load(phase))
    return tag("details", parts, open=is_open)


def _settings(metadata: Mapping[str, Any]) -> Html:
    values = {name: value for name, value in metadata["settings"].items() if value is not None}
    sampling = values.pop("sampling", {})
    values |= {name: value for name, value in sampling.items() if value not in (None, (), [], {})}
    values |= {_("client"): "{system}, {cpus} CPUs".format(**metadata["client_machine"])}
    rows = [
        tag("tr", tag("td", str(name)), tag("td", tag("pre", str(value)[:2000])))
        for name, value in values.items()
    ]
    notes = [tag("p", note, class_="soft") for note in metadata["notes"]]
    text = _("Made by qchat {version}.").format(version=metadata["qchat"])
    made = tag("p", text, class_="soft")
    return join([tag("h2", _("Settings")), tag("table", rows), notes, made])
