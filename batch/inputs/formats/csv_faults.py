"""What to make of a CSV record that can't be read: how far it goes, and what to say of it.

A quote that is not closed, or not doubled inside a cell, leaves open where its record ends. Lines
that may be a piece of a cell never become rows; those that can be nothing but rows stay rows.
"""

import csv
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from ....i18n import _
from ..lines import BadLineError

EXCERPT = 2000
"""Characters, or bytes, of a bad record that are shown."""

_AHEAD = 100  # lines in which the end of a cell with a stray quote is looked for, for each cell
_AHEAD_SIZE = 1 << 18  # and characters


class RecentLines(Protocol):
    """The lines of a file from the beginning of the record that is being read.

    `first` is the number of its first line, and `number` that of the last line that was read.
    """

    first: int
    number: int

    def __next__(self) -> str:
        """Return the next line."""

    def record(self) -> list[str]:
        """Return the lines from `first` to `number`."""

    def back_to(self, number: int) -> None:
        """Make the line after `number` the next one."""


def bad_record(error: csv.Error, lines: RecentLines, delimiter: str, width: int) -> BadLineError:
    """Return why a record can't be read, with its beginning; leave `lines` at the next record.

    `width` is the number of cells that a row has.
    """
    record = lines.record()
    read = len(record)
    is_stray = "expected after" in str(error)
    opened = open_quote(record[:-1] if is_stray else record, delimiter)
    if not is_stray:  # the end of the file, or of what may be read
        is_alone = opened is not None and _are_rows(record[opened + 1 :], delimiter, width)
    elif opened is not None:  # and its last line closed the quote, perhaps by mistake
        between = record[opened + 1 : -1]
        is_alone = _are_rows(between, delimiter, width) and _is_row_begin(
            record[-1], delimiter, width
        )
        if not is_alone:
            _read_to_end_of_cell(record, lines, delimiter)
    else:
        opened = open_quote(record, delimiter)
        _read_to_end_of_cell(record, lines, delimiter)
        is_alone = opened is not None and _are_rows(record[opened + 1 :], delimiter, width)
    last = len(record)
    if opened is not None and is_alone:
        last = opened + 1
        lines.back_to(lines.first + opened)
    elif is_stray and open_quote(record, delimiter) is not None:
        last = read
        lines.back_to(lines.first + read - 1)
    if is_stray and read == last == 1:
        opened = None  # the parser's own words say more
    reason = _describe(error, lines.first, last, opened)
    return BadLineError(reason, "".join(record[:last])[:EXCERPT])


def _describe(error: csv.Error, first: int, last: int, opened: int | None) -> str:
    """Say what is wrong with a record of the lines from `first` on, `last` of them."""
    if opened is None:
        return _("not valid CSV: {reason}").format(reason=error)
    line, end = first + opened, first + last - 1
    text = _("the quote opened in line {line} is never closed")
    if line < end:
        text = _(
            "the quote opened in line {line} is not closed properly; lines {line} to {end} were "
            "read as one cell"
        )
    return text.format(line=line, end=end)


def _read_to_end_of_cell(record: list[str], lines: RecentLines, delimiter: str) -> None:
    """Add the lines that belong to a cell with a quote in it that is not doubled."""
    size = 0
    is_open = open_quote(record, delimiter) is not None
    while is_open and len(record) < _AHEAD and size < _AHEAD_SIZE:
        try:
            line = next(lines)
        except StopIteration:
            return
        record.append(line)
        size += len(line)
        is_open = open_quote([line], delimiter, is_open=True) is not None


def open_quote(lines: Sequence[str], delimiter: str, *, is_open: bool = False) -> int | None:
    """Return which line opens the cell that is still open after the last of them; None if none is,
    and -1 for the one that `is_open` before them.

    A quote opens a cell at its beginning, and closes it before a delimiter or the end of a line;
    any other is a part of its text.
    """
    opening, closing = _quotes(delimiter)
    opened = -1 if is_open else None
    for number, line in enumerate(lines):
        at = 0
        while (match := (opening if opened is None else closing).search(line, at)) is not None:
            at = match.end()
            if match.group() == '"':
                opened = number if opened is None else None
    return opened


@lru_cache
def _quotes(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns of a quote that opens a cell, and of one that closes one or is doubled."""
    sign = re.escape(delimiter)
    return re.compile(rf'(?:\A|(?<={sign}))"'), re.compile(rf'""|"(?={sign}|[\r\n]|\Z)')


def _are_rows(lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether lines are surely rows, and no piece of a cell: each has all cells, and no quote in
    one of them."""
    if width < 2:
        return False
    try:
        return all(
            len(cells) == width and not any('"' in cell for cell in cells)
            for cells in csv.reader(lines, delimiter=delimiter, strict=True)
            if cells
        )
    except csv.Error:
        return False


def _is_row_begin(line: str, delimiter: str, width: int) -> bool:
    """Whether a line begins a row: its first quote opens a cell, not closes one, and where the row
    is not longer, it has all cells."""
    opening, _closing = _quotes(delimiter)
    match = opening.search(line)
    if match is None or match.end() - 1 != line.index('"'):
        return False
    return open_quote([line], delimiter) is not None or _are_rows([line], delimiter, width)
