"""How good answers with probabilities are, measured against labels: `--gold`.

Pure arithmetic. An answer counts as right where it equals the label; its confidence is the
probability of the likeliest option.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BINS = 10
"""Bins of equal width of the calibration curve and the expected calibration error."""

TARGET = 0.95
"""The accuracy that `threshold_for` looks for."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer and its label. `p` is its confidence and `probs` all options' probabilities, where
    there are any."""

    answer: str
    label: str
    p: float | None = None
    probs: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether the answer is the label."""
        return self.answer == self.label


@dataclass(frozen=True, slots=True)
class CurveBin:
    """The answers with a confidence in (`low`, `high`]: mean confidence and share of right ones."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """A confidence from which on answers are right as often as the target says, and the share of
    answers that have it."""

    p: float
    accuracy: float
    coverage: float


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """The measures of one question over `rows` labelled rows; those of probabilities are None where
    the answers have none.

    `brier` is the mean of (p - right)^2 over the answers: for two options that is scikit-learn's
    `brier_score_loss` of either. `brier_options` is the mean over rows of the sum over options of
    (probability - is it the label)^2, from 0 to 2. `confusion` counts answers by label.
    `mean_error` is that of scores: the mean distance of the expectation from the label.
    """

    name: str
    rows: int
    accuracy: float
    brier: float | None = None
    brier_options: float | None = None
    ece: float | None = None
    curve: tuple[CurveBin, ...] = ()
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    threshold: Threshold | None = None
    mean_error: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the measures for another program."""
        limit = self.threshold
        return {
            "rows": self.rows,
            "accuracy": self.accuracy,
            "brier": self.brier,
            "brier_options": self.brier_options,
            "ece": self.ece,
            "curve": [
                {
                    "low": item.low,
                    "high": item.high,
                    "rows": item.rows,
                    "confidence": item.confidence,
                    "accuracy": item.accuracy,
                }
                for item in self.curve
            ],
            "confusion": {label: dict(answers) for label, answers in self.confusion.items()},
            "target": TARGET,
            "threshold": None
            if limit is None
            else {"p": limit.p, "accuracy": limit.accuracy, "coverage": limit.coverage},
            "mean_error": self.mean_error,
        }


def score(name: str, items: Sequence[Judged], errors: Sequence[float] = ()) -> QuestionScore:
    """Return the measures of at least one judged answer; `errors` are the distances of scores."""
    count = len(items)
    pairs = [(item.p, item.is_right) for item in items if item.p is not None]
    accuracy = sum(item.is_right for item in items) / count
    mean_error = sum(errors) / len(errors) if errors else None
    confusion = confusion_of(items)
    if len(pairs) < count:
        return QuestionScore(name, count, accuracy, confusion=confusion, mean_error=mean_error)
    curve = curve_of(pairs)
    has_probs = all(item.probs for item in items)
    return QuestionScore(
        name,
        count,
        accuracy,
        sum((p - right) ** 2 for p, right in pairs) / count,
        sum(map(_squares, items)) / count if has_probs else None,
        sum(item.rows * abs(item.accuracy - item.confidence) for item in curve) / count,
        curve,
        confusion,
        threshold_for(pairs),
        mean_error,
    )


def _squares(item: Judged) -> float:
    options = {*item.probs, item.label}
    return sum((item.probs.get(option, 0.0) - (option == item.label)) ** 2 for option in options)


def curve_of(pairs: Iterable[tuple[float, bool]]) -> tuple[CurveBin, ...]:
    """Return the calibration curve of (confidence, right) pairs: bins that have any, in order."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, right in pairs:
        # The k-th bin is (k / BINS, (k + 1) / BINS]; 0 is in the first.
        at = next(k for k in range(BINS) if p <= (k + 1) / BINS or k == BINS - 1)
        bins.setdefault(at, []).append((p, right))
    return tuple(
        CurveBin(
            at / BINS,
            (at + 1) / BINS,
            len(entries),
            sum(p for p, _right in entries) / len(entries),
            sum(right for _p, right in entries) / len(entries),
        )
        for at, entries in sorted(bins.items())
    )


def confusion_of(items: Iterable[Judged]) -> dict[str, dict[str, int]]:
    """Return the counts of answers by label: ``confusion[label][answer]``, in their order."""
    counts: Counter[tuple[str, str]] = Counter((item.label, item.answer) for item in items)
    table: dict[str, dict[str, int]] = {}
    for (label, answer), n in sorted(counts.items()):
        table.setdefault(label, {})[answer] = n
    return table


def threshold_for(pairs: Iterable[tuple[float, bool]], target: float = TARGET) -> Threshold | None:
    """Return the lowest confidence at which the answers that have it, or more, are right in at
    least `target` of the cases; None where there is none."""
    ordered = sorted(pairs, key=lambda pair: -pair[0])
    best: Threshold | None = None
    right = 0
    for at, (p, is_right) in enumerate(ordered, 1):
        right += is_right
        is_last_of_its_p = at == len(ordered) or ordered[at][0] < p
        if is_last_of_its_p and right / at >= target:
            best = Threshold(p, right / at, at / len(ordered))
    return best
