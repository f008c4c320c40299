"""CSV and TSV: records of cells under a header, each a row of strings."""

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import orjson

from ....errors import UsageError
from ....i18n import _
from ..lines import MAX_LINE, BadLineError, LineSource, NextLine
from .source import SequentialSource

DELIMITERS = ",\t;|"

_SAMPLE = 64  # records that decide on a delimiter


def delimited(
    file: BinaryIO, name: str, delimiter: str, encoding: str, next_line: NextLine | None
) -> SequentialSource[list[str]]:
    """Return the records of a CSV file; the place of one is the line in which it begins.

    Cells are strings, as CSV knows no types. Raises `UsageError` for a header that names a column
    twice, or none.
    """
    lines = _Lines(file, encoding)
    # Strict: a quote that is never closed would take the rest of the file for one cell.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    csv.field_size_limit(MAX_LINE)
    try:
        columns = _columns(next(reader, []), name)
    except csv.Error as error:
        text = _("{path} is not valid CSV: {reason} in its header.")
        raise UsageError(text.format(path=name, reason=error)) from None
    except BadLineError as error:
        text = _("The header of {path} can't be read: {reason}.")
        raise UsageError(text.format(path=name, reason=error.message)) from None

    def encode(cells: list[str]) -> bytes:
        if len(cells) != len(columns):
            text = _("has {n} cells, but the header names {columns}")
            raise BadLineError(
                text.format(n=len(cells), columns=len(columns)), delimiter.join(cells)[:2000]
            )
        return orjson.dumps(dict(zip(columns, cells, strict=True)))

    return SequentialSource(_records(reader, lines), encode, next_line, columns=columns)


def _records(
    reader: "Iterator[list[str]]", lines: "_Lines"
) -> Iterator[tuple[int, list[str] | BadLineError, int]]:
    while True:
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            text = _("not valid CSV: {reason}")
            yield first, BadLineError(text.format(reason=error)), lines.offset
        except BadLineError as error:
            yield first, error, lines.offset
        else:
            if cells:  # a blank line has none
                yield first, cells, lines.offset


def _columns(header: Sequence[str], name: str) -> tuple[str, ...]:
    if not any(header):
        raise UsageError(
            _("{path} has no header; name its columns in the first line.").format(path=name)
        )
    names = tuple(cell.strip() or f"column{at}" for at, cell in enumerate(header, 1))
    for column in names:
        if names.count(column) > 1:
            text = _("The header of {path} names the column '{column}' twice.")
            raise UsageError(text.format(path=name, column=column))
    return names


class _Lines(Iterator[str]):
    """The lines of a file as text, blank ones and newlines inside cells included.

    An error leaves it at the next line, so that reading can go on.
    """

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._source = LineSource(file, encoding, blank=True)

    @property
    def number(self) -> int:
        return self._source.number

    @property
    def offset(self) -> int:
        return self._source.offset

    def __next__(self) -> str:
        line = next(self._source)
        if isinstance(line, str):
            return line
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            text = _("not valid UTF-8 at byte {at}; give --encoding, such as gb18030")
            raise BadLineError(text.format(at=error.start + 1)) from None


def find_delimiter(head: str) -> str | None:
    """Return the delimiter of a text that looks like CSV with two columns or more; else None.

    `head` is its beginning; a last line that may be cut off is not looked at.
    """
    whole = head if head.endswith("\n") else head.rpartition("\n")[0] or head
    best: tuple[int, str] | None = None
    for delimiter in DELIMITERS:
        reader = csv.reader(whole.splitlines(keepends=True), delimiter=delimiter)
        try:
            rows = [row for _n, row in zip(range(_SAMPLE), reader, strict=False) if row]
        except csv.Error:
            continue
        columns = len(rows[0]) if rows else 0
        even = [row for row in rows if len(row) == columns]
        # The last record may be cut inside a quoted cell.
        if columns > 1 and len(rows) > 1 and len(even) >= len(rows) - 1:
            best = max(best or (0, ""), (columns, delimiter))
    return best[1] if best else None
