"""The answers in a line of the results, as what `--gold`, `--threshold` and `--vote` look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...json_types import JsonObject
from ..inputs.reserved_columns import YIELDING_COLUMNS
from ..inputs.row_defaults import RowDefaults
from ..inputs.rows import answer_names
from ..journal.answer_columns import answer_columns
from ..outputs.cells import as_text
from ..questions.types import QuestionType
from ..request import CHAT


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a row: `value` as a label would be written, with the probability of its option
    and of all options where they are known. `score` is a score's expectation, `bias` what the order
    of the options moved, `mass` what of the model's probability lay on them."""

    value: str
    p: float | None = None
    probs: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None
    mass: float | None = None
    bias: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Reads the answers of a run's rows: `names` are the columns that have one.

    `types` are those of the questions, empty without `--ask`; `prefix` is that of the columns, of
    which `added` are all that an answer adds.
    """

    names: tuple[str, ...]
    types: Mapping[str, QuestionType]
    options: Mapping[str, tuple[str, ...]]
    prefix: str
    added: frozenset[str] = frozenset()

    @classmethod
    def of(cls, defaults: RowDefaults) -> "AnswerReader":
        """Return the reader for a run."""
        added = frozenset(defaults.prefix + name for name in answer_names(defaults))
        if (asked := defaults.questions) is not None:
            types = {question.name: question.type for question in asked.questions}
            options = {question.name: question.options for question in asked.questions}
            return cls(tuple(types), types, options, defaults.prefix, added)
        form = defaults.form
        is_label = form is not None and bool(form.choices or form.regex)
        names = ("output",) if is_label else ()
        choices = {"output": form.choices} if form is not None and form.choices else {}
        extracted = tuple(item.name for item in defaults.extract)
        return cls((*names, *extracted), {}, choices, defaults.prefix, added)

    def read(self, record: JsonObject) -> dict[str, Prediction]:
        """Return the answers of a line of the results by name."""
        if not self.types:
            return self._values(record)
        mark = record.get(self.prefix + "_qchat")
        biases = mark.get("order_bias") if isinstance(mark, Mapping) else None
        biases = biases if isinstance(biases, list) else [None] * len(self.names)
        predictions = {
            name: self._prediction(record, name, bias)
            for name, bias in zip(self.names, biases, strict=False)
        }
        return {name: value for name, value in predictions.items() if value is not None}

    def own_columns(self, record: JsonObject) -> JsonObject:
        """Return the columns of a line of the results that came from its row."""
        mark = record.get(self.prefix + "_qchat")
        mark = mark if isinstance(mark, Mapping) else {}
        yielding = ("model",) if self.types else YIELDING_COLUMNS
        added = self.added | {self.prefix + name for name in yielding if name not in mark}
        return {name: value for name, value in record.items() if name not in added}

    def is_incomplete(self, record: JsonObject) -> bool:
        """Whether the server gave no probability for some options of the row's questions."""
        mark = record.get(self.prefix + "_qchat")
        return isinstance(mark, Mapping) and bool(mark.get("incomplete"))

    def _prediction(self, record: JsonObject, name: str, bias: Any) -> Prediction | None:
        p, probs, mass = (
            record.get(f"{self.prefix}{name}_{key}") for key in ("p", "probs", "mass")
        )
        if not isinstance(probs, Mapping) or not probs:
            return None
        is_score = self.types[name] is QuestionType.SCORE
        best = max(probs, key=probs.__getitem__)
        score = record.get(self.prefix + name) if is_score else None
        return Prediction(str(best), p, probs, score, mass, bias)

    def _values(self, record: JsonObject) -> dict[str, Prediction]:
        response = record.get("response")
        if self.prefix + "_qchat" not in record and isinstance(response, Mapping):
            body = response.get("body")
            record = answer_columns(CHAT, body) if isinstance(body, dict) else {}
        values = {name: record.get(self.prefix + name) for name in self.names}
        return {
            name: Prediction(as_text(value).strip())
            for name, value in values.items()
            if value is not None
        }


def least_sure(predictions: Mapping[str, Prediction]) -> float:
    """Return the probability of the answer of a row that is least sure; 1 where none has one."""
    values: Sequence[float] = [item.p for item in predictions.values() if item.p is not None]
    return min(values, default=1.0)
