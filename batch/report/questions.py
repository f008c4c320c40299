"""Probabilities that stand in the results: the columns NAME, NAME_p, NAME_probs and NAME_mass."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...json_types import JsonObject
from ..questions.types import COLUMN_ENDINGS

BINS = 20
MAX_LABELS = 40
MAX_QUESTIONS = 50
_PROBS = "_probs"


@dataclass(slots=True)
class QuestionSummary:
    """The answers to one question: labels, and in `bins` how sure of them the model was, from
    0 to 1. `mass` is the sum of the shares of the model's belief that lay on the options."""

    name: str
    labels: "Counter[str]" = field(default_factory=Counter)
    rows: int = 0
    sure: float = 0.0
    bins: "array[int]" = field(default_factory=lambda: array("Q", bytes(8 * BINS)))
    mass: float = 0.0
    masses: int = 0

    def add(self, label: Any, probability: float, mass: Any) -> None:
        """Count an answer."""
        self.rows += 1
        self.sure += probability
        self.bins[min(int(probability * BINS), BINS - 1)] += 1
        if isinstance(mass, float | int):
            self.mass += mass
            self.masses += 1
        text = str(label)[:80]
        if text not in self.labels and len(self.labels) >= MAX_LABELS:
            text = "…"
        self.labels[text] += 1


@dataclass(slots=True)
class QuestionColumns:
    """The questions in the columns of rows; rows of one shape are looked at once."""

    questions: dict[str, QuestionSummary] = field(default_factory=dict)
    _by_shape: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)

    def names(self, record: JsonObject) -> tuple[str, ...]:
        """Return the columns of a row that are answers with probabilities."""
        shape = tuple(record)
        names = self._by_shape.get(shape)
        if names is None:
            names = tuple(_names(record))
            if len(self._by_shape) < 1000:
                self._by_shape[shape] = names
        return names

    def add(self, record: JsonObject) -> float | None:
        """Count the answers of a row; return the probability of the least sure one."""
        names = self.names(record)
        least: float | None = None
        for name in names:
            probability, probs = record.get(f"{name}_p"), record.get(name + _PROBS)
            if not isinstance(probability, float | int) or not isinstance(probs, Mapping):
                continue
            if not 0 <= probability <= 1:
                continue
            question = self.questions.get(name)
            if question is None:
                if len(self.questions) >= MAX_QUESTIONS:
                    continue
                question = self.questions[name] = QuestionSummary(name)
            label = max(probs, key=lambda key: _number(probs[key]), default="")
            question.add(label, probability, record.get(f"{name}_mass"))
            least = probability if least is None else min(least, probability)
        return least


def _names(record: JsonObject) -> list[str]:
    names = [key.removesuffix(_PROBS) for key in record if key.endswith(_PROBS)]
    return [name for name in names if name and name in record and f"{name}_p" in record]


def answers_text(record: JsonObject, names: Sequence[str]) -> str:
    """Return the answers of a row by name, each with its probability."""
    lines = []
    for name in names:
        probability = record.get(f"{name}_p")
        share = f" ({probability:.0%})" if isinstance(probability, float | int) else ""
        lines.append(f"{name}: {record.get(name)}{share}")
    return "\n".join(lines)


def without_answers(record: JsonObject, names: Sequence[str]) -> JsonObject:
    """Return a row without the columns that its answers have added."""
    added = {name + ending for name in names for ending in COLUMN_ENDINGS}
    return {key: value for key, value in record.items() if key not in added}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, float | int) else 0.0
