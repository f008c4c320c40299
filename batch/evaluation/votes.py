"""The majority of each row's samples: `--vote`, written to ``NAME.votes.jsonl``."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import replacing
from ...json_types import JsonObject
from ..background import WorkCounter
from ..journal.records import dump_line
from ..journal.rewriting import loads
from .evaluate import RunRows, answered_rows
from .predictions import AnswerReader, Prediction


@dataclass(frozen=True, slots=True)
class Vote:
    """The votes of one row's samples on one answer: the most frequent one, of several that of the
    first sample; its share of all votes; the number of votes for each."""

    value: str
    share: float
    votes: Mapping[str, int]

    @property
    def prediction(self) -> Prediction:
        """The majority, with the shares as probabilities."""
        total = sum(self.votes.values())
        return Prediction(
            self.value, self.share, {value: n / total for value, n in self.votes.items()}
        )


@dataclass(frozen=True, slots=True)
class VotedRow:
    """One row: its place, its first line of the results, the votes by name, and its answers."""

    place: tuple[int, int]
    record: JsonObject
    votes: Mapping[str, Vote]
    samples: int


def vote_of(values: Sequence[str]) -> Vote:
    """Return the majority of at least one value."""
    counts = Counter(values)
    best = max(counts, key=lambda value: (counts[value], -values.index(value)))
    return Vote(best, counts[best] / len(values), dict(counts.most_common()))


def voted_rows(
    results: Path, rows: RunRows, reader: AnswerReader, samples: int, counter: WorkCounter
) -> Iterator[VotedRow]:
    """Yield the rows with an answer in the order of the input. Raises `OSError`."""
    offsets = [array("Q", bytes(8 * length)) for length in rows.lengths]
    for offset, _record, (file, line) in answered_rows(results, rows, reader.prefix, counter):
        offsets[file][line - 1] = offset + 1
    if not results.exists():
        return
    files = len(offsets) // samples
    with results.open("rb") as source:
        for file in range(files):
            same = offsets[file::files]
            for at in range(max(map(len, same))):
                counter.check()
                records: list[JsonObject] = []
                for column in same:
                    if at < len(column) and column[at]:
                        source.seek(column[at] - 1)
                        records.append(loads(source.readline()))
                if records:
                    yield _voted(records, (file, at + 1), reader)


def _voted(records: Sequence[JsonObject], place: tuple[int, int], reader: AnswerReader) -> VotedRow:
    answers = [reader.read(record) for record in records]
    votes: dict[str, Vote] = {}
    for name in reader.names:
        values = [answer[name].value for answer in answers if name in answer]
        if values:
            votes[name] = vote_of(values)
    return VotedRow(place, records[0], votes, len(records))


def write_votes(
    path: Path, voted: Iterator[VotedRow], reader: AnswerReader, names: Sequence[str], mode: int
) -> None:
    """Write a line for each row, in one step: its own columns, then for each answer the majority
    (NAME), its share (NAME_share) and all votes (NAME_votes). A row of which all samples failed has
    no line. `names` are those of the inputs. Raises `OSError`."""
    with replacing(path, mode) as file:
        for row in voted:
            file.write(dump_line(_line(row, reader, names)))


def _line(row: VotedRow, reader: AnswerReader, names: Sequence[str]) -> JsonObject:
    prefix = reader.prefix
    mark: Any = row.record.get(prefix + "_qchat")
    if not isinstance(mark, Mapping):  # OpenAI's form
        line: JsonObject = {"custom_id": row.record.get("custom_id")}
    else:
        line = reader.own_columns(row.record)
    place: JsonObject = {"file": names[row.place[0]], "line": row.place[1]}
    for name, vote in row.votes.items():
        line[prefix + name] = vote.value
        line[f"{prefix}{name}_share"] = round(vote.share, 6)
        line[f"{prefix}{name}_votes"] = dict(vote.votes)
    return {**line, prefix + "_qchat": {**place, "samples": row.samples}}
