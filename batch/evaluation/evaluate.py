"""Go through the results of a run: compare answers with labels, find the rows that are unsure."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...json_types import JsonObject
from ..background import WorkCounter
from ..inputs.row_ids import RowIds
from ..journal.appender import parsed_lines
from ..journal.records import RowLocation, location_of_result
from ..outputs.cells import as_text
from ..questions.metrics import Judged, QuestionScore, score
from ..request import own_id
from .gold import GoldLabels
from .predictions import AnswerReader, Prediction, least_sure


@dataclass(frozen=True, slots=True)
class RunRows:
    """The rows of a run: which input a line belongs to, the lines of each input, made ids."""

    file_of: Callable[[RowLocation], int | None]
    lengths: Sequence[int]
    ids: RowIds

    def place(self, record: JsonObject, prefix: str) -> tuple[int, int] | None:
        """Return (number of the input, line) of a line of the results; None where the run does not
        have it."""
        location = location_of_result(record, prefix)
        file = None if location is None else self.file_of(location)
        if location is None or file is None or location.line > self.lengths[file]:
            return None
        return file, location.line

    def key(self, record: JsonObject, place: tuple[int, int], column: str) -> str:
        """Return what a row is known by: its cell in a column, or the id that was made for it."""
        if column == "custom_id" and own_id(record) is None:
            return self.ids.make(*place)
        return as_text(record.get(column))


@dataclass(slots=True)
class _Tally:
    """What is counted of one name while the results are read."""

    judged: list[Judged] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    answers: int = 0
    mass: float = 0.0
    masses: int = 0
    bias: float = 0.0
    biases: int = 0

    def add(self, prediction: Prediction, label: str | None) -> None:
        """Count one answer."""
        self.answers += 1
        if prediction.mass is not None:
            self.mass += prediction.mass
            self.masses += 1
        if prediction.bias is not None:
            self.bias += prediction.bias
            self.biases += 1
        if label is None:
            return
        self.judged.append(Judged(prediction.value, label, prediction.p, prediction.probs))
        if prediction.score is not None:
            self.errors.append(abs(prediction.score - int(label)))


@dataclass(frozen=True, slots=True)
class AnswerSummary:
    """What a run's answers to one question are worth; `mass` and `bias` are means over its rows,
    None where the answers have none. `score` is None without labels."""

    name: str
    answers: int
    mass: float | None
    bias: float | None
    score: QuestionScore | None

    def as_json(self) -> dict[str, Any]:
        """Return it for another program."""
        measures = {} if self.score is None else self.score.as_json()
        return {"answers": self.answers, "mass": self.mass, "order_bias": self.bias, **measures}


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What `evaluate` has found. `unsure` are the rows below the threshold, as (input, line, offset
    of the line in the results), in the order of the input; None without a threshold. `unlabelled`
    counts the answered rows of which the gold file has no label, `unmatched` the rows of that file
    that are no answered row's, `incomplete` the answered rows with options whose probability the
    server did not give."""

    summaries: tuple[AnswerSummary, ...]
    unsure: tuple[tuple[int, int, int], ...] | None = None
    unlabelled: int = 0
    incomplete: int = 0
    unmatched: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the questions by name, for another program."""
        return {item.name: item.as_json() for item in self.summaries}


class Comparison:
    """Compares answers with labels, row after row. `unlabelled` counts the rows without one."""

    def __init__(self, rows: RunRows, gold: GoldLabels | None, names: Sequence[str]) -> None:
        self.unlabelled = 0
        self._rows = rows
        self._gold = gold
        self._tallies = {name: _Tally() for name in names}
        self._found: set[str] = set()

    @property
    def unmatched(self) -> int:
        """How many rows with labels of the gold file are no answered row's."""
        if self._gold is None:
            return 0
        return sum(bool(row) for row in self._gold.labels.values()) - len(self._found)

    def add(
        self, record: JsonObject, place: tuple[int, int], predictions: Mapping[str, Prediction]
    ) -> None:
        """Take the answers of a row into account; `record` is its line of the results."""
        labels: Mapping[str, str] = {}
        if (gold := self._gold) is not None:
            key = gold.find(self._rows.key(record, place, gold.key))
            if key is not None and gold.labels[key]:
                labels = gold.labels[key]
                self._found.add(key)
            self.unlabelled += not labels
        for name, prediction in predictions.items():
            self._tallies[name].add(prediction, labels.get(name))

    def summaries(self) -> tuple[AnswerSummary, ...]:
        """Return what the answers by each name are worth."""
        tallies = self._tallies.items()
        return tuple(_summary(name, tally) for name, tally in tallies if tally.answers)


def evaluate(
    results: Path,
    rows: RunRows,
    reader: AnswerReader,
    gold: GoldLabels | None,
    threshold: float | None,
    counter: WorkCounter,
) -> EvaluationResult:
    """Read the results of a run once. Raises `OSError` and `WorkCancelledError`."""
    comparison = Comparison(rows, gold, reader.names)
    unsure: list[tuple[int, int, int]] = []
    incomplete = 0
    for offset, record, place in answered_rows(results, rows, reader.prefix, counter):
        predictions = reader.read(record)
        comparison.add(record, place, predictions)
        incomplete += reader.is_incomplete(record)
        if threshold is not None and least_sure(predictions) < threshold:
            unsure.append((*place, offset))
    return EvaluationResult(
        comparison.summaries(),
        None if threshold is None else tuple(sorted(unsure)),
        comparison.unlabelled,
        incomplete,
        comparison.unmatched,
    )


def answered_rows(
    results: Path, rows: RunRows, prefix: str, counter: WorkCounter
) -> Iterator[tuple[int, JsonObject, tuple[int, int]]]:
    """Yield (offset, line as parsed, place) of the answered rows of this run, each row once."""
    if not results.exists():
        return
    seen = [array("B", bytes(length)) for length in rows.lengths]
    for offset, record in parsed_lines(results, counter):
        place = rows.place(record, prefix) if isinstance(record, dict) else None
        if place is None or seen[place[0]][place[1] - 1]:
            continue
        seen[place[0]][place[1] - 1] = 1
        yield offset, record, place


def _summary(name: str, tally: _Tally) -> AnswerSummary:
    return AnswerSummary(
        name,
        tally.answers,
        tally.mass / tally.masses if tally.masses else None,
        tally.bias / tally.biases if tally.biases else None,
        score(name, tally.judged, tally.errors) if tally.judged else None,
    )
