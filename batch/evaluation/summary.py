"""What a person reads of an evaluation at the end of a run."""

from collections.abc import Iterator, Mapping

from ...i18n import _, plural
from ..questions.metrics import TARGET, QuestionScore
from .evaluate import AnswerSummary, EvaluationResult

MAX_LABELS = 6
"""Labels up to which the confusion table is part of the summary."""

LITTLE_MASS, LARGE_BIAS = 0.5, 0.1
"""From when on the summary says that a question's answers are not what the model would say."""


def summary_lines(result: EvaluationResult, threshold: float | None) -> Iterator[str]:
    """Yield the lines of the summary."""
    for item in result.summaries:
        if item.score is not None:
            yield score_line(item.score)
            yield from _more(item.score)
        yield from _doubts(item)
    if result.incomplete:
        text = plural(
            "In {n} row some options were not among the likeliest tokens that the server tells; "
            "they count as 0.",
            "In {n} rows some options were not among the likeliest tokens that the server tells; "
            "they count as 0.",
            result.incomplete,
        )
        yield text.format(n=result.incomplete)
    if result.unsure is not None and threshold is not None:
        n = len(result.unsure)
        text = plural(
            "{n} row has an answer below {p:g}.", "{n} rows have an answer below {p:g}.", n
        )
        yield text.format(n=n, p=threshold)


def score_line(score: QuestionScore) -> str:
    """Return a question's measures: ``mood: accuracy 0.525, Brier 0.21, ECE 0.08 (40 rows)``."""
    parts = [_("accuracy {value:.3f}").format(value=score.accuracy)]
    if score.brier is not None and score.ece is not None:
        parts.append(_("Brier {value:.2f}").format(value=score.brier))
        parts.append(_("ECE {value:.2f}").format(value=score.ece))
    text = plural("{name}: {measures} ({n} row)", "{name}: {measures} ({n} rows)", score.rows)
    return text.format(name=score.name, measures=", ".join(parts), n=score.rows)


def _more(score: QuestionScore) -> Iterator[str]:
    if score.mean_error is not None:
        text = _("  mean distance of the expectation from the label: {value:.2f}")
        yield text.format(value=score.mean_error)
    if score.brier is not None:
        if (limit := score.threshold) is None:
            text = _("  no threshold reaches {target:.0%} accuracy")
            yield text.format(target=TARGET)
        else:
            text = _("  {target:.0%} right from {p:.3f} on: {share:.0%} of the rows")
            yield text.format(target=TARGET, p=limit.p, share=limit.coverage)
        points = ", ".join(
            f"{item.confidence:.2f}→{item.accuracy:.2f} ({item.rows})" for item in score.curve
        )
        yield _("  calibration (sure → right): {points}").format(points=points)
    if len(score.confusion) <= MAX_LABELS:
        for label, answers in score.confusion.items():
            text = _("  label {label}: {answers}")
            yield text.format(label=label, answers=_counts(answers))


def _counts(answers: Mapping[str, int]) -> str:
    ordered = sorted(answers.items(), key=lambda item: -item[1])
    return ", ".join(f"{answer} {n}" for answer, n in ordered)


def _doubts(item: AnswerSummary) -> Iterator[str]:
    if item.mass is not None and item.mass < LITTLE_MASS:
        text = _(
            "{name}: only {share:.2g} of the model's probability lies on the options; it would "
            "rather say something else."
        )
        yield text.format(name=item.name, share=item.mass)
    if item.bias is not None and item.bias >= LARGE_BIAS:
        text = _("{name}: the order of the options moves the answer by {bias:.2f} on average.")
        yield text.format(name=item.name, bias=item.bias)
