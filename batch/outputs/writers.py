"""Writers of tables: rows as values by name, one after the other."""

import csv
import io
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

from ...i18n import _
from ...json_types import JsonObject
from ..inputs.extras import require
from .cells import as_text, as_typed, is_formula

BATCH_ROWS = 4096
"""Rows of a Parquet row group that are in memory at once."""


class TableWriter(Protocol):
    """Writes rows; `formulas` counts the cells that a spreadsheet would take for formulas."""

    formulas: int

    def write(self, row: JsonObject) -> None:
        """Write a row; columns that it lacks are empty."""

    def close(self) -> None:
        """Write what is left; the file itself stays open."""


class DelimitedWriter:
    """CSV or TSV in UTF-8. With `safe`, a cell like a formula gets an apostrophe in front."""

    def __init__(
        self, file: BinaryIO, columns: Mapping[str, str], delimiter: str, *, bom: bool, safe: bool
    ) -> None:
        self.formulas = 0
        self._safe = safe
        self._columns = tuple(columns)
        encoding = "utf-8-sig" if bom else "utf-8"
        self._text = io.TextIOWrapper(file, encoding, newline="", errors="replace")
        self._csv = csv.writer(self._text, delimiter=delimiter, lineterminator="\n")
        self._csv.writerow(self._columns)

    def write(self, row: JsonObject) -> None:
        """Write a row."""
        cells = [as_text(row.get(name)) for name in self._columns]
        for at, cell in enumerate(cells):
            if is_formula(cell):
                self.formulas += 1
                if self._safe:
                    cells[at] = "'" + cell
        self._csv.writerow(cells)

    def close(self) -> None:
        """Flush."""
        self._text.flush()
        self._text.detach()


class ParquetWriter:
    """A Parquet file, a row group at a time."""

    formulas = 0

    def __init__(self, file: BinaryIO, columns: Mapping[str, str]) -> None:
        self._arrow: Any = require("pyarrow", _("a Parquet file"))
        parquet = require("pyarrow.parquet", _("a Parquet file"))
        types = {
            "text": self._arrow.string(),
            "int": self._arrow.int64(),
            "float": self._arrow.float64(),
            "bool": self._arrow.bool_(),
            "numbers": self._arrow.list_(self._arrow.float64()),
        }
        self._columns = columns
        self._schema = self._arrow.schema([(name, types[kind]) for name, kind in columns.items()])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[JsonObject] = []

    def write(self, row: JsonObject) -> None:
        """Write a row."""
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        arrays = [
            self._arrow.array(
                [as_typed(row.get(name), kind) for row in self._rows], self._schema.field(name).type
            )
            for name, kind in self._columns.items()
        ]
        self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write the last rows and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()
