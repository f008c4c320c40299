"""Write the unsure rows to a file of their own, ready to be labelled: `--threshold P`, to `--review
FILE`, or ``NAME.review.csv`` beside the results.

A line has the row's key and columns, then for each question an empty column of its name for the
label, the answer (NAME_answer), its probability and those of all options. Filled in, the file is a
gold file.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...files import replacing
from ...i18n import _
from ...json_types import JsonObject
from ..background import WorkCounter
from ..inputs.formats.opening import open_records
from ..inputs.line_json import loads_line
from ..inputs.lines import BadLineError
from ..journal.appender import parsed_lines
from ..journal.manifest import is_own_output
from ..journal.records import dump_line
from ..journal.rewriting import loads
from ..outputs.columns import ColumnTable
from ..outputs.writers import DelimitedWriter
from .evaluate import RunRows
from .predictions import AnswerReader, Prediction


@dataclass(frozen=True, slots=True)
class ReviewFile:
    """A review file to be written at `path` from the results of a run.

    `key` is the column that rows are known by; `safe` puts an apostrophe before cells of CSV that a
    spreadsheet would run.
    """

    path: Path
    rows: RunRows
    reader: AnswerReader
    key: str
    safe: bool = False

    def write(
        self, results: Path, unsure: Sequence[tuple[int, int, int]], counter: WorkCounter
    ) -> Path | None:
        """Write the rows at these places of the results, in one step.

        A file of that name that someone has written labels into, or that is another one, is kept
        under another name, which is returned. Raises `OSError`.
        """
        aside = None
        if self.path.exists() and not self._is_unlabelled():
            aside = self.path.with_name(_with_time(self.path))
            self.path.rename(aside)
        mode = results.stat().st_mode & 0o777
        with replacing(self.path, mode) as file:
            if self.path.suffix.lower() == ".jsonl":
                for row in self._read(results, unsure, counter):
                    file.write(dump_line(row))
                return aside
            table = ColumnTable()
            for row in self._read(results, unsure, counter):
                table.add(row, 0, 0)
            columns = table.ordered(()) or self._columns(results, counter)
            writer = DelimitedWriter(file, columns, ",", bom=False, safe=self.safe)
            for row in self._read(results, unsure, counter):
                writer.write(row)
            writer.close()
        return aside

    def _read(
        self, results: Path, unsure: Iterable[tuple[int, int, int]], counter: WorkCounter
    ) -> Iterator[JsonObject]:
        with results.open("rb") as source:
            for file, line, offset in unsure:
                counter.check()
                source.seek(offset)
                record: JsonObject = loads(source.readline())
                yield self._row(record, (file, line))

    def _columns(self, results: Path, counter: WorkCounter) -> Mapping[str, str]:
        """Return the columns of a file without rows: those that the first answer would have."""
        for _offset, record in parsed_lines(results, counter):
            if isinstance(record, dict):
                return dict.fromkeys(self._row(record, (0, 1)), "text")
        return dict.fromkeys((self.key, *self.reader.names), "text")

    def _row(self, record: JsonObject, place: tuple[int, int]) -> JsonObject:
        row: JsonObject = {self.key: self.rows.key(record, place, self.key)}
        row |= self.reader.own_columns(record)
        for name, prediction in self.reader.read(record).items():
            row |= _columns(name, prediction)
        return row

    def _is_unlabelled(self) -> bool:
        """Whether the file is a review file that nobody has written a label into."""
        try:
            with open_records(self.path) as source:
                while True:
                    row = loads_line(next(source))
                    if not isinstance(row, dict) or not self._is_blank(row):
                        return False
        except StopIteration:
            return True
        except (BadLineError, UsageError, ValueError, OSError):
            return False

    def _is_blank(self, row: JsonObject) -> bool:
        return all(
            f"{name}_answer" in row and row.get(name) in (None, "") for name in self.reader.names
        )


def _columns(name: str, prediction: Prediction) -> JsonObject:
    return {
        name: None,
        f"{name}_answer": prediction.value,
        f"{name}_p": prediction.p,
        f"{name}_probs": dict(prediction.probs),
    }


def _with_time(path: Path) -> str:
    return f"{path.stem}.{time.strftime('%Y%m%d-%H%M%S')}{path.suffix}"


def is_review_of(path: Path, review: Path, names: Sequence[str]) -> bool:
    """Whether a file is what a run has written to `review`, or has kept of it under another name:
    then it has answers by some of the `names`, or no rows at all."""
    kept = rf"{re.escape(review.stem)}\.\d{{8}}-\d{{6}}{re.escape(review.suffix)}"
    if path.name != review.name and re.fullmatch(kept, path.name) is None:
        return False
    try:
        if path.parent.resolve() != review.parent.resolve():
            return False
        if path.stat().st_size <= len("\n"):
            return True
        with open_records(path) as source:
            row = dict.fromkeys(source.columns or ()) or loads_line(next(source))
    except (BadLineError, UsageError, ValueError, OSError, StopIteration):
        return False
    return isinstance(row, dict) and any(f"{name}_answer" in row for name in names)


def check_review(path: Path, files: Iterable[Path], own: Path) -> None:
    """Raise `UsageError` for a review file that can't be written, or would replace one of the run's
    `files` or an output of another run; `own` is the run's own review file."""
    if not path.parent.is_dir():
        text = _("There is no folder {folder} for --review; create it, or give another name.")
        raise UsageError(text.format(folder=path.parent))
    if path.resolve() in {item.resolve() for item in files} or path.is_dir():
        text = _("--review {path} would replace a file of this run; give another name.")
        raise UsageError(text.format(path=path))
    if is_own_output(path) and path.resolve() != own.resolve():
        text = _("--review {path} would replace the output of another run; give another name.")
        raise UsageError(text.format(path=path))
