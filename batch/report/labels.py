"""The answers against the labels of a person (`--gold`): accuracy, calibration, confusion."""

from collections.abc import Mapping
from typing import Any

from ...html.markup import Child, Html, join, tag
from ...i18n import _
from .charts import calibration_chart
from .reading import RunReport

MAX_QUESTIONS, MAX_LABELS = 30, 20


def labels(report: RunReport) -> Html:
    """Return the section, '' where the run was not compared with labels."""
    scores = getattr(report.manifest, "questions", None)
    if not isinstance(scores, Mapping) or not scores:
        return Html("")
    judged = [
        (name, score)
        for name, score in scores.items()
        if isinstance(score, Mapping) and score.get("rows")  # else there was no label
    ]
    if not judged:
        return Html("")
    parts = [_score(str(name), score) for name, score in judged[:MAX_QUESTIONS]]
    return join([tag("h2", _("Against the labels")), parts])


def _score(name: str, score: Mapping[str, Any]) -> Html:
    facts = []
    for label, key in ((_("accuracy"), "accuracy"), ("Brier", "brier"), ("ECE", "ece")):
        if isinstance(value := score.get(key), float | int):
            facts.append(f"{label} {value:.3f}")
    if isinstance(value := score.get("mean_error"), float | int):
        facts.append(_("mean error {n:.3g}").format(n=value))
    facts.append(_("{rows} rows").format(rows=score.get("rows", "?")))
    parts: list[Child] = [tag("h3", name), tag("p", ", ".join(facts), class_="soft")]
    threshold = score.get("threshold")
    if isinstance(threshold, Mapping):
        text = _("From {p:.2f} on, {accuracy:.0%} are right; that is {coverage:.0%} of all rows.")
        parts.append(tag("p", text.format(**{key: float(threshold[key]) for key in _THRESHOLD})))
    columns: list[Child] = []
    curve = score.get("curve")
    if isinstance(curve, list | tuple) and curve:
        points = [
            (float(one["confidence"]), float(one["accuracy"]), int(one["rows"]))
            for one in curve
            if one.get("rows")
        ]
        label = _("How often answers were right, by how sure the model was")
        chart = calibration_chart(points, label)
        columns.append(tag("div", tag("p", label, class_="soft"), chart, class_="small"))
    if isinstance(confusion := score.get("confusion"), Mapping) and confusion:
        columns.append(tag("div", _confusion(confusion)))
    return join([*parts, tag("div", columns, class_="two")])


_THRESHOLD = ("p", "accuracy", "coverage")


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> Html:
    """Return a table with a row for each label, and how often each answer came for it."""
    answers = list(dict.fromkeys(one for counts in confusion.values() for one in counts))
    answers = answers[:MAX_LABELS]
    head = tag("tr", tag("th", _("label \\ answer")), [tag("th", str(one)) for one in answers])
    rows = [
        tag(
            "tr",
            tag("th", str(label)),
            [tag("td", f"{counts.get(one, 0):,}", class_="n") for one in answers],
        )
        for label, counts in list(confusion.items())[:MAX_LABELS]
    ]
    return tag("div", tag("table", head, rows), class_="scroll")
