"""CSV and TSV: records of cells under a header, each a row of strings."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence

import orjson

from ....errors import UsageError
from ....i18n import _, plural
from ..lines import MAX_LINE, BadLineError, NextLine
from .source import SequentialSource

DELIMITERS = ",\t;|"

_SEPARATOR_LINE = re.compile(r"sep=([,\t;|])")  # Excel's, before the header
_SAMPLE = 64  # records that decide on a delimiter
_BLOCK = 1 << 18  # bytes that are read at once
_EXCERPT = 2000  # bytes of a line that are shown


def delimited(
    file: io.BufferedReader, name: str, delimiter: str, encoding: str, next_line: NextLine | None
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
        header = next(reader, None)
        if header and (given := _SEPARATOR_LINE.fullmatch(delimiter.join(header))):
            delimiter = given[1]
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            header = next(reader, None)
        columns = _columns(header, name)
    except csv.Error as error:
        if "new-line character" in str(error):
            text = _(
                "The lines of {path} end in a carriage return alone, as on old Macs; convert it: "
                "tr '\\r' '\\n' < {path}"
            )
            raise UsageError(text.format(path=name)) from None
        text = _("{path} is not valid CSV: {reason} in its header.")
        raise UsageError(text.format(path=name, reason=error)) from None
    except BadLineError as error:
        text = _("The header of {path} can't be read: {reason}.")
        raise UsageError(text.format(path=name, reason=error.message)) from None

    def encode(cells: list[str]) -> bytes:
        if len(cells) != len(columns):
            text = plural(
                "has {n} cell, but the header names {columns}",
                "has {n} cells, but the header names {columns}",
                len(cells),
            )
            raise BadLineError(
                text.format(n=len(cells), columns=len(columns)), delimiter.join(cells)[:2000]
            )
        return orjson.dumps(dict(zip(columns, cells, strict=False)))

    records = _records(reader, lines)
    return SequentialSource(records, encode, next_line, columns=columns or None, text_cells=True)


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


def _columns(header: Sequence[str] | None, name: str) -> tuple[str, ...]:
    if header is None:  # not a line: a file without rows, as one of JSON lines may be
        return ()
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

    `number` is that of the last line, from 1, and `offset` how many bytes are read. Whole blocks
    are decoded and split at once; only those with a line that can't be used go line by line. An
    error leaves this at the next line, so that reading can go on.
    """

    def __init__(self, file: io.BufferedReader, encoding: str) -> None:
        self.number = 0
        self.offset = 0
        self._file = file
        self._encoding = "utf-8" if encoding.lower().replace("-", "") == "utf8" else encoding
        self._texts: Iterator[str] = iter(())
        self._lines: Iterator[bytes | BadLineError] = iter(())

    def __next__(self) -> str:
        line = next(self._texts, None)
        if line is not None:
            self.number += 1
            return line
        for raw in self._lines:
            self.number += 1
            if isinstance(raw, BadLineError):
                raise raw
            return self._decode(raw)
        self._read_block()
        return next(self)

    def _read_block(self) -> None:
        """Read whole lines. Raises `StopIteration` at the end of the file."""
        block = self._file.read1(_BLOCK)
        if not block:
            raise StopIteration
        self.offset += len(block)
        overlong = None
        if not block.endswith(b"\n"):
            rest = self._file.readline(MAX_LINE)
            self.offset += len(rest)
            if len(rest) == MAX_LINE and not rest.endswith(b"\n"):
                overlong, rest = self._overlong(block + rest[:_EXCERPT]), b""
                block = block[: block.rfind(b"\n") + 1]
            block += rest
        if not self.number:
            block = block.removeprefix(codecs.BOM_UTF8)
        if overlong is None:
            try:
                # It splits at newlines alone, unlike `splitlines`.
                self._texts = io.StringIO(block.decode(self._encoding), newline="\n")
                return
            except UnicodeDecodeError:
                pass
        lines: list[bytes | BadLineError] = list(io.BytesIO(block))
        self._lines = iter(lines if overlong is None else [*lines, overlong])

    def _overlong(self, block: bytes) -> BadLineError:
        """Skip the rest of a line that is too long."""
        while (piece := self._file.readline(_BLOCK)) and not piece.endswith(b"\n"):
            self.offset += len(piece)
        self.offset += len(piece)
        text = _("longer than {n} MiB; split it or shorten it")
        begin = block[block.rfind(b"\n") + 1 :][:_EXCERPT]
        return BadLineError(text.format(n=MAX_LINE >> 20), begin.decode("utf-8", "replace"))

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            text = _("not valid {encoding} at byte {at}; is another --encoding right?")
            if self._encoding == "utf-8":
                text = _("not valid UTF-8 at byte {at}; give --encoding, such as gb18030")
            message = text.format(encoding=self._encoding, at=error.start + 1)
            raise BadLineError(message, raw[:_EXCERPT].decode("utf-8", "replace")) from None


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
