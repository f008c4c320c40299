"""Rows on the page: errors with examples, the slowest, and a sample of all."""

from collections.abc import Iterable

from ...html.markup import Child, Html, join, tag
from ...i18n import _
from ..run_stats import duration
from .reading import RunReport, Sample


def errors(report: RunReport, limit: int) -> Html:
    """Return the failures by cause, with examples; '' without any."""
    if not report.errors:
        return Html("")
    parts: list[Child] = [tag("h2", _("Errors by cause"))]
    groups = sorted(report.errors.items(), key=lambda item: -item[1].count)
    for code, group in groups:
        text = _("{code}: {n:,} ({share:.1%} of all failures)")
        share = group.count / report.failed
        parts.append(tag("h3", text.format(code=code, n=group.count, share=share)))
        for example in group.examples:
            answer = tag("div", tag("h4", _("Error")), tag("pre", example.message[:limit]))
            if example.output:
                output = tag("pre", example.output[:limit])
                answer = tag("div", tag("h4", _("Error")), example.message, output)
            prompt = tag("div", tag("h4", _("Prompt")), tag("pre", example.prompt[:limit]))
            pair = tag("div", prompt, answer, class_="pair")
            parts.append(tag("article", tag("header", example.place), pair, class_="row"))
    return join(parts)


def slowest_rows(report: RunReport, limit: int) -> Html:
    """Return the rows whose answers took longest; '' where no times are recorded."""
    rows = list(report.slowest)
    if not rows:
        return Html("")
    head = tag(
        "tr",
        tag("th", _("Row")),
        tag("th", _("Time"), class_="n"),
        tag("th", _("Tokens"), class_="n"),
        tag("th", _("Ended by")),
        tag("th", _("Prompt")),
    )
    body = [
        tag(
            "tr",
            tag("td", _place(sample)),
            tag("td", duration(seconds), class_="n"),
            tag("td", f"{sample.tokens:,}", class_="n"),
            tag("td", sample.finish_reason),
            tag("td", (sample.prompt or "")[: min(limit, 160)]),
        )
        for seconds, sample in rows
    ]
    table = tag("div", tag("table", head, body), class_="scroll")
    return join([tag("h2", _("Slowest rows")), table])


def sample_rows(report: RunReport, limit: int) -> Html:
    """Return some rows of each quality that is not good, and some of all."""
    names = {
        "cut": _("Cut answers"),
        "empty": _("Empty answers"),
        "looped": _("Looped answers"),
    }
    parts: list[Child] = []
    for name, heading in names.items():
        rows = report.by_quality[name].items
        if rows:
            text = f"{heading} ({report.qualities[name]:,})"
            parts += [tag("h2", text), _articles(rows, limit)]
    if report.samples.items:
        search = tag(
            "div",
            tag("input", id="search", type="search", placeholder=_("Find in these rows")),
            tag("span", id="matches", class_="soft"),
            class_="tools",
            hidden=True,
        )
        rows = sorted(report.samples.items, key=lambda one: (str(one.input), one.line))
        text = _("A sample of {n:,} of {all:,} answers").format(n=len(rows), all=report.answered)
        parts += [tag("h2", text), search, tag("div", _articles(rows, limit), id="samples")]
    return join(parts)


def _articles(rows: Iterable[Sample], limit: int) -> Html:
    return join(sample_row(sample, limit) for sample in rows)


def sample_row(sample: Sample, limit: int) -> Html:
    """Return a row, prompt and answer side by side."""
    facts = [_place(sample), sample.quality, sample.finish_reason]
    if sample.seconds is not None:
        facts.append(duration(sample.seconds))
    if sample.tokens:
        facts.append(_("{n:,} tokens").format(n=sample.tokens))
    prompt = _("(not in the results)") if sample.prompt is None else sample.prompt
    thought: Child = None
    if sample.reasoning:
        pre = tag("pre", sample.reasoning[:limit])
        thought = tag("details", tag("summary", _("Reasoning")), pre)
    pair = tag(
        "div",
        tag("div", tag("h4", _("Prompt")), tag("pre", prompt[:limit])),
        tag("div", tag("h4", _("Answer")), thought, tag("pre", sample.output[:limit])),
        class_="pair",
    )
    return tag("article", tag("header", " · ".join(filter(None, facts))), pair, class_="row")


def _place(sample: Sample) -> str:
    name = str(sample.input)
    if isinstance(sample.input, int):  # OpenAI's: the number of the input
        name = _("input {n}").format(n=sample.input + 1)
    place = f"{name}:{sample.line}" if sample.line else name
    return f"{sample.custom_id} ({place})" if sample.custom_id else place
