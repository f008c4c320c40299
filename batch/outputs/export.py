"""Write the results of a run as a table, in the order of the input."""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import Code
from ...files import replacing
from ...json_types import JsonObject
from ..background import WorkCounter
from ..inputs.reserved_columns import ERROR_COLUMN
from ..inputs.samples import row_by_row
from ..journal.output_files import OutputFiles
from ..journal.records import RowLocation, location_of_error, location_of_result
from ..journal.rewriting import loads
from .columns import ALWAYS, ColumnTable
from .writers import DelimitedWriter, ParquetWriter, TableWriter

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""Delimiters by the ending of the table's name; other tables are Parquet."""

OPENAI_COLUMNS = ("id", "custom_id", "response", "error")


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a table is written: a byte order mark, and apostrophes before what looks like a formula
    (both for CSV and TSV); the answer's columns that it has in any case; how many lines a row has,
    one after the other."""

    bom: bool = False
    safe: bool = False
    always: Sequence[str] = ALWAYS
    samples: int = 1


@dataclass(frozen=True, slots=True)
class TableSummary:
    """What was written: rows, those of them without an answer, and cells like formulas."""

    rows: int = 0
    failed: int = 0
    formulas: int = 0


def export_table(
    files: OutputFiles,
    prefix: str,
    file_of: Callable[[RowLocation], int | None],
    lengths: Sequence[int],
    options: TableOptions,
    counter: WorkCounter,
) -> TableSummary:
    """Write `files.table` from the results and errors, in one step.

    Every row of the input that has a line has one in the table, failed ones with what is wrong in
    the column `error`. `file_of` and `lengths` are those of the journal. Raises `OSError` and
    `WorkCancelledError`; the table is then as it was.
    """
    assert files.table is not None
    paths = [path for path in (files.results, files.errors) if path.exists()]
    counter.total_bytes = 2 * sum(path.stat().st_size for path in paths)
    index = _Index(prefix, file_of, lengths)
    if files.results.exists():
        index.add_results(files.results, counter)
    if files.errors.exists():
        index.add_errors(files.errors, counter)
    types = index.table.ordered(
        OPENAI_COLUMNS
        if index.only_openai
        else [*(prefix + name for name in options.always), index.error]
    )
    mode = paths[0].stat().st_mode & 0o777 if paths else 0o600
    with replacing(files.table, mode) as file:
        writer = _writer(files.table, file, types, options)
        rows = 0
        for row in index.rows(files, options.samples, counter):
            writer.write(row)
            rows += 1
        writer.close()
    return TableSummary(rows, index.failed, writer.formulas)


def _writer(
    path: Path, file: BinaryIO, types: Mapping[str, str], options: TableOptions
) -> TableWriter:
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        return ParquetWriter(file, types)
    return DelimitedWriter(file, types, delimiter, bom=options.bom, safe=options.safe)


class _Index:
    """Where the line of each row stands: 8 bytes a line of the input."""

    def __init__(
        self,
        prefix: str,
        file_of: Callable[[RowLocation], int | None],
        lengths: Sequence[int],
    ) -> None:
        self.table = ColumnTable(prefix)
        self.only_openai = True
        self.failed = 0
        self.error = prefix + ERROR_COLUMN
        self._prefix = prefix
        self._file_of = file_of
        # Twice the offset, plus 2 for a line of the results and 3 for one of the errors; 0: none.
        self._offsets = [array("Q", bytes(8 * length)) for length in lengths]

    def add_results(self, path: Path, counter: WorkCounter) -> None:
        """Take the lines of the results file into account."""
        for offset, value in _lines(path, counter):
            self._add(location_of_result(value, self._prefix), 2 * offset + 2, value)

    def add_errors(self, path: Path, counter: WorkCounter) -> None:
        """Take the lines of the errors file into account."""
        for offset, value in _lines(path, counter):
            if self._add(location_of_error(value), 2 * offset + 3, self._failed_row(value)):
                self.failed += 1

    def _add(self, location: RowLocation | None, mark: int, row: JsonObject) -> bool:
        file = None if location is None else self._file_of(location)
        if location is None or file is None or location.line > len(self._offsets[file]):
            return False  # a row that this run does not look at
        if self._offsets[file][location.line - 1]:
            return False  # an answer wins over an error
        self._offsets[file][location.line - 1] = mark
        self.only_openai = self.only_openai and location.openai
        self.table.add(row, file, location.line)
        return True

    def rows(self, files: OutputFiles, samples: int, counter: WorkCounter) -> Iterator[JsonObject]:
        """Yield the rows of the table in the order of the input."""
        opened: dict[int, BinaryIO] = {}
        try:
            for at in filter(None, row_by_row(self._offsets, samples)):
                kind = at & 1
                if kind not in opened:
                    path = files.errors if kind else files.results
                    opened[kind] = path.open("rb")
                opened[kind].seek((at - 2) >> 1, os.SEEK_SET)
                line = opened[kind].readline()
                counter.step(len(line))
                value = loads(line)
                yield self._failed_row(value) if kind else value
        finally:
            for file in opened.values():
                file.close()

    def _failed_row(self, value: Any) -> JsonObject:
        """Return the row of the table for a line of the errors file."""
        location = location_of_error(value)
        if location is not None and location.openai:
            return {name: value.get(name) for name in OPENAI_COLUMNS}
        error = value.get("error")
        message = error.get("message") if isinstance(error, dict) else error
        source = value.get("input")
        if isinstance(source, str) and _is_invalid(error):
            row = {}  # a line that is no row
        else:
            row = dict(source) if isinstance(source, dict) else {"prompt": source}
        return {**row, self.error: message}


def _is_invalid(error: Any) -> bool:
    return isinstance(error, dict) and error.get("code") == Code.INVALID_LINE


def _lines(path: Path, counter: WorkCounter) -> Iterator[tuple[int, JsonObject]]:
    with path.open("rb", buffering=1 << 20) as file:
        offset = 0
        for line in file:
            value = loads(line)
            if isinstance(value, dict):
                yield offset, value
            offset += len(line)
            counter.step(len(line))
