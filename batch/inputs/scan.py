"""The first pass over the input: count, check and digest every row before anything is asked."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ...errors import UsageError
from ...i18n import _
from ..background import WorkCounter
from .discovery import InputFile
from .id_table import IdTable
from .lines import LineIndex
from .rows import InvalidRow, Row, RowDefaults, read_rows

NO_ROW, BAD_ROW = 0, 1
"""Marks in `InputScan.digests` for a blank line and for a line that is not a request."""


@dataclass(frozen=True, slots=True)
class InputScan:
    """The result of the first pass.

    `digests[file][line - 1]` holds 64 bits of the row's digest, or one of the marks above:
    8 bytes a line, so that ten million rows take 80 MB whatever their length. `indexes[file]`
    finds the lines of a file without reading all those before.
    """

    digests: tuple["array[int]", ...]
    indexes: tuple[LineIndex, ...]
    rows: int
    bad: int


def scan_inputs(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    *,
    limit: int | None = None,
    allow_duplicates: bool = False,
    counter: WorkCounter | None = None,
) -> InputScan:
    """Read all inputs once, at most `limit` rows.

    Raises `UsageError` for unreadable files, two rows with one custom_id (the message names both),
    and inputs without a single good row.
    """
    digests: tuple[array[int], ...] = tuple(array("Q") for _item in inputs)
    indexes = tuple(LineIndex() for _item in inputs)
    ids = None if allow_duplicates else IdTable()
    count = bad = 0
    first_bad: InvalidRow | None = None
    for row in iter_rows(inputs, defaults, limit, indexes=indexes, counter=counter):
        marks = digests[row.file]
        marks.extend([NO_ROW] * (row.line - 1 - len(marks)))
        count += 1
        if isinstance(row, InvalidRow):
            marks.append(BAD_ROW)
            bad += 1
            first_bad = first_bad or row
        else:
            marks.append(short_digest(row.digest))
            if ids is not None and row.names_itself and ids.add(row.custom_id):
                _raise_duplicate(inputs, defaults, limit, row.custom_id, counter)
    if first_bad is not None and bad == count:
        text = _("{file} has no line that is a request. Line {line}: {reason}.")
        raise UsageError(
            text.format(
                file=inputs[first_bad.file].name, line=first_bad.line, reason=first_bad.message
            )
        )
    return InputScan(digests, indexes, count, bad)


def iter_rows(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    limit: int | None = None,
    *,
    indexes: Sequence[LineIndex] | None = None,
    counter: WorkCounter | None = None,
) -> Iterator[Row]:
    """Yield the rows of all inputs in order, at most `limit`; `indexes` are filled on the way."""
    count = 0
    for file, item in enumerate(inputs):
        if limit is not None and count >= limit:
            return
        index = None if indexes is None else indexes[file]
        for row in read_rows(item.path, file, defaults, index=index, counter=counter):
            yield row
            count += 1
            if limit is not None and count >= limit:
                return


def iter_open_rows(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    scan: InputScan,
    next_open: Callable[[int, int], int | None],
) -> Iterator[Row]:
    """Yield the rows of a scanned input that are open; the lines of all others are not parsed.

    ``next_open(file, line)`` returns the first open line of a file from `line` on. It is called
    again for every line, so that a row may be closed while this goes on.
    """

    def next_line(file: int, line: int) -> int | None:
        following = next_open(file, line)
        # Lines appended to the input since the scan are rows of the next run.
        return None if following is None or following > len(scan.digests[file]) else following

    for file, item in enumerate(inputs):
        yield from read_rows(
            item.path,
            file,
            defaults,
            index=scan.indexes[file],
            next_line=partial(next_line, file),
        )


def short_digest(digest: str) -> int:
    """Return the first 64 bits of a digest, never one of the marks."""
    return int(digest[:16], 16) | 2


def _raise_duplicate(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    limit: int | None,
    custom_id: str,
    counter: WorkCounter | None,
) -> None:
    # The table holds hashes only, so the file is read again: this also rules out a collision.
    first: tuple[str, int] | None = None
    for row in iter_rows(inputs, defaults, limit, counter=counter):
        if isinstance(row, InvalidRow) or row.custom_id != custom_id or not row.names_itself:
            continue
        here = (inputs[row.file].name, row.line)
        if first is not None:
            text = _(
                "The custom_id '{id}' is used twice: {file} line {line} and {file2} line {line2}. "
                "Make them differ, or give --allow-duplicates."
            )
            raise UsageError(
                text.format(
                    id=custom_id, file=first[0], line=first[1], file2=here[0], line2=here[1]
                )
            )
        first = here
