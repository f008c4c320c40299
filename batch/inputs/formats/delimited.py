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
from .csv_faults import EXCERPT, bad_record
from .source import SequentialSource

DELIMITERS = ",\t;|"

_SEPARATOR_LINE = re.compile(r"sep=([,\t;|])")  # Excel's, before the header
_SAMPLE = 64  # records that decide on a delimiter
_BLOCK = 1 << 18  # bytes that are read at once


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
    if (fault := lines.fault()) is not None:
        text = _("The header of {path} can't be read: {reason}.")
        raise UsageError(text.format(path=name, reason=fault.message))

    def encode(cells: list[str]) -> bytes:
        if len(cells) != len(columns):
            text = plural(
                "has {n} cell, but the header names {columns}",
                "has {n} cells, but the header names {columns}",
                len(cells),
            )
            raise BadLineError(
                text.format(n=len(cells), columns=len(columns)), delimiter.join(cells)[:EXCERPT]
            )
        return orjson.dumps(dict(zip(columns, cells, strict=False)))

    records = _records(reader, lines, delimiter, len(columns))
    return SequentialSource(records, encode, next_line, columns=columns or None, text_cells=True)


def _records(
    reader: "Iterator[list[str]]", lines: "_Lines", delimiter: str, width: int
) -> Iterator[tuple[int, list[str] | BadLineError, int]]:
    while True:
        lines.first = first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            bad = bad_record(error, lines, delimiter, width)
            lines.fault()  # the one of the record says more
            yield first, bad, lines.offset
            continue
        if lines.faults and (fault := lines.fault()) is not None:
            yield first, fault, lines.offset
        elif cells:  # a blank line has none
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

    `offset` is how many bytes are read. Whole blocks are decoded and split at once. For a line that
    can't be used there is one that leaves the reader in the same state, so that the record ends
    where it ends in the file; `faults` names what is wrong, by the line's number.
    """

    def __init__(self, file: io.BufferedReader, encoding: str) -> None:
        self.first = 1  # of the record that is being read
        self.number = 0  # of the last line that was read
        self.offset = 0
        self.faults: dict[int, BadLineError] = {}
        self._file = file
        self._encoding = "utf-8" if encoding.lower().replace("-", "") == "utf8" else encoding
        self._kept: list[str] = []  # from the first line of the record to the end of the block
        self._kept_from = 1
        self._texts: Iterator[str] = iter(())

    def __next__(self) -> str:
        line = next(self._texts, None)
        if line is None:
            self._read_block()
            return next(self)
        self.number += 1
        return line

    def record(self) -> list[str]:
        """Return the lines of the record that is being read."""
        return self._kept[self.first - self._kept_from : self.number + 1 - self._kept_from]

    def back_to(self, number: int) -> None:
        """Make the line after `number` the next one, in this record or after it."""
        self.number = number
        self._texts = iter(self._kept[number + 1 - self._kept_from :])

    def fault(self) -> BadLineError | None:
        """Return what is wrong with the last record, if anything is with one of its lines."""
        number = min(self.faults, default=self.number + 1)
        if number > self.number:
            return None
        message = self.faults[number].message
        if number > self.first:
            message = _("in line {line}: {reason}").format(line=number, reason=message)
        shown = []
        for at, line in enumerate(self.record(), self.first):
            fault = self.faults.pop(at, None)
            shown.append(line if fault is None else fault.raw)
        return BadLineError(message, "".join(shown)[:EXCERPT])

    def _read_block(self) -> None:
        """Read whole lines. Raises `StopIteration` at the end of the file."""
        block = self._file.read1(_BLOCK)
        if not block:
            raise StopIteration
        self.offset += len(block)
        overlong: tuple[str, BadLineError] | None = None
        if not block.endswith(b"\n"):
            rest = self._file.readline(MAX_LINE)
            self.offset += len(rest)
            if len(rest) == MAX_LINE and not rest.endswith(b"\n"):
                begin = block.rfind(b"\n") + 1
                overlong = self._overlong(block[begin:] + rest)
                block, rest = block[:begin], b""
            block += rest
        if not self.number:
            block = block.removeprefix(codecs.BOM_UTF8)
        try:
            # It splits at newlines alone, unlike `splitlines`.
            texts = list(io.StringIO(block.decode(self._encoding), newline="\n"))
        except UnicodeDecodeError:
            texts = [self._decode(raw, at) for at, raw in enumerate(io.BytesIO(block), 1)]
        if overlong is not None:
            text, self.faults[self.number + len(texts) + 1] = overlong
            texts.append(text)
        del self._kept[: self.first - self._kept_from]
        self._kept_from = self.first
        self._kept += texts
        self._texts = iter(texts)

    def _overlong(self, begin: bytes) -> tuple[str, BadLineError]:
        """Skip the rest of a line that is too long; return a line that stands for it, and why."""
        quotes = begin.count(b'"')
        while piece := self._file.readline(_BLOCK):
            self.offset += len(piece)
            quotes += piece.count(b'"')
            if piece.endswith(b"\n"):
                break
        text = _("longer than {n} MiB; split it or shorten it")
        shown = begin[:EXCERPT].decode("utf-8", "replace")
        # A cell that it opens or closes is opened or closed by as many quotes.
        return '"' * (quotes % 2) + "\n", BadLineError(text.format(n=MAX_LINE >> 20), shown)

    def _decode(self, raw: bytes, at: int) -> str:
        """Return the `at`-th line after the last one, with signs in place of what is no text."""
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            text = _("not valid {encoding} at byte {at}; is another --encoding right?")
            if self._encoding == "utf-8":
                text = _("not valid UTF-8 at byte {at}; give --encoding, such as gb18030")
            message = text.format(encoding=self._encoding, at=error.start + 1)
            line = raw.decode(self._encoding, "replace")
            self.faults[self.number + at] = BadLineError(message, line[:EXCERPT])
            return line


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
