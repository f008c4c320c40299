"""The first pass over the input: count, check and digest every row before anything is asked."""

import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ...errors import UsageError
from ...i18n import _, plural
from ..background import WorkCounter
from ..request import RowKind
from .discovery import InputFile
from .key_index import KeyIndex
from .known_lines import KnownLines
from .lines import LineIndex
from .parameters import ParameterColumns
from .row_defaults import RowDefaults
from .row_ids import RowIds, id_hash, looks_made, stems_of
from .rows import InvalidRow, KnownRow, Recognize, Row, read_rows, scan_rows
from .samples import first_samples
from .shapes import ShapeCounts

NO_ROW, BAD_ROW = 0, 1
"""Marks in `InputScan.digests` for a blank line and for a line that is not a request."""

Column = tuple["array[int]", ...]
"""A number of 64 bits for each line of each input: ``column[file][line - 1]``."""


@dataclass(frozen=True, slots=True)
class InputScan:
    """The result of the first pass: 24 bytes a line, whatever its length.

    `digests` holds the short digest of each row, or one of the marks above; `fingerprints` that of
    each line; `custom_ids` the hash of the id that the row was given, 0 where it has none.
    `indexes` finds the lines of a file without reading all those before. `ids` names the rows
    without an id. `looks_made` says whether a row has an id of the form of those.
    """

    digests: Column
    indexes: tuple[LineIndex, ...]
    rows: int
    bad: int
    fingerprints: Column
    custom_ids: Column
    ids: RowIds
    looks_made: bool = False

    @property
    def starts(self) -> list[int]:
        """The position of each input's first line, where all lines are counted from 0."""
        starts, total = [], 0
        for marks in self.digests:
            starts.append(total)
            total += len(marks)
        return starts

    @property
    def lines(self) -> int:
        """Lines of all inputs."""
        return sum(map(len, self.digests))


@dataclass(slots=True)
class _Columns:
    """The columns of a scan while it goes on."""

    digests: Column
    fingerprints: Column
    custom_ids: Column
    indexes: tuple[LineIndex, ...]
    rows: int = 0
    bad: int = 0
    looks_made: bool = False
    # The hashes of the ids of lines that are no requests, of those that look made.
    bad_ids: "array[int]" = field(default_factory=lambda: array("Q"))

    @classmethod
    def empty(cls, count: int) -> "_Columns":
        digests, fingerprints, custom_ids = (
            tuple(array("Q") for _file in range(count)) for _column in range(3)
        )
        return cls(digests, fingerprints, custom_ids, tuple(LineIndex() for _file in range(count)))

    def add(self, row: Row | KnownRow) -> None:
        """Append a row, and marks for the blank lines before it."""
        digests, custom_ids = self.digests[row.file], self.custom_ids[row.file]
        fingerprints = self.fingerprints[row.file]
        if missing := row.line - 1 - len(digests):
            for column in (digests, custom_ids, fingerprints):
                column.frombytes(bytes(8 * missing))
        fingerprints.append(row.fingerprint)
        self.rows += 1
        if isinstance(row, KnownRow):
            self.bad += row.digest == BAD_ROW
            digests.append(row.digest)
            custom_ids.append(row.custom_id)
        elif isinstance(row, InvalidRow):
            self.bad += 1
            digests.append(BAD_ROW)
            custom_ids.append(0)
            if row.custom_id is not None and looks_made(row.custom_id):
                self.bad_ids.append(id_hash(row.custom_id))
        else:
            digests.append(short_digest(row.digest, openai=row.kind is RowKind.OPENAI))
            custom_ids.append(id_hash(row.custom_id) if row.names_itself else 0)
            self.looks_made |= row.names_itself and looks_made(row.custom_id)


def scan_inputs(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    *,
    limit: int | None = None,
    allow_duplicates: bool = False,
    may_all_fail: bool = False,
    counter: WorkCounter | None = None,
    known: KnownLines | None = None,
) -> InputScan:
    """Read all inputs once, at most `limit` rows; lines that are `known` are not parsed.

    Raises `UsageError` for unreadable files, two rows with one custom_id (the message names both),
    and inputs without a single good row.
    """
    columns = _Columns.empty(len(inputs))
    columns.looks_made = known is not None and known.looks_made
    recognize = None if known is None else partial(_recognize, known)
    for row in _iter_lines(inputs, defaults, limit, columns.indexes, counter, recognize):
        columns.add(row)
    refuse_missing_columns(defaults, columns.rows - columns.bad)
    if columns.bad and columns.bad == columns.rows and not may_all_fail:
        _raise_no_request(inputs, defaults, limit)
    first = first_samples(inputs)
    ids = RowIds(stems_of(first) * (len(inputs) // max(len(first), 1)))
    own_ids = columns.custom_ids[: len(first)]  # those of all samples are the same
    given = _IdSet(own_ids) if any(map(any, own_ids)) else None
    if given is not None and not allow_duplicates and given.duplicate is not None:
        _raise_duplicate(first, defaults, limit, given.duplicate, counter)
    if columns.bad_ids or (given is not None and columns.looks_made):
        of_bad_lines = _IdSet((columns.bad_ids,)) if columns.bad_ids else None
        ids = ids.avoiding(_unnamed(columns), partial(_is_given, given, of_bad_lines))
    return InputScan(
        columns.digests,
        columns.indexes,
        columns.rows,
        columns.bad,
        columns.fingerprints,
        columns.custom_ids,
        ids,
        columns.looks_made,
    )


def refuse_duplicate_ids(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    limit: int | None,
    custom_ids: Column,
    counter: WorkCounter | None = None,
) -> None:
    """Raise `UsageError` where two rows have one custom_id of their own, of which `custom_ids`
    are the hashes."""
    duplicate = _IdSet(custom_ids).duplicate
    if duplicate is not None:
        _raise_duplicate(inputs, defaults, limit, duplicate, counter)


def _recognize(known: KnownLines, fingerprint: int) -> tuple[int, int] | None:
    """Recognize a line that was a request; the id of one that was none is in the line alone."""
    values = known.recognize(fingerprint)
    return None if values is None or values[0] == BAD_ROW else values


def _is_given(given: "_IdSet | None", of_bad_lines: "_IdSet | None", custom_id: str) -> bool:
    """Whether a row, or a line that is no request, has this id."""
    return any(ids is not None and ids.has(custom_id) for ids in (given, of_bad_lines))


class _IdSet:
    """The hashes of all ids that rows, or lines that are none, were given. `duplicate` is one that
    stands there twice."""

    def __init__(self, columns: Column) -> None:
        self.duplicate: int | None = None
        self._hashes = columns[0] if len(columns) == 1 else _joined(columns)
        hashes = self._hashes
        self._index = KeyIndex(len(hashes), hashes.__getitem__)
        for position in range(len(hashes) - 1, -1, -1):
            if key := hashes[position]:
                if self._index.find(key) is not None:
                    self.duplicate = key
                self._index.add(position, key)

    def has(self, custom_id: str) -> bool:
        """Whether a row has this id."""
        return self._index.find(id_hash(custom_id)) is not None


def _joined(columns: Column) -> "array[int]":
    whole = array("Q")
    for column in columns:
        whole.extend(column)
    return whole


def _unnamed(columns: _Columns) -> Iterator[tuple[int, int]]:
    for file, (digests, custom_ids) in enumerate(
        zip(columns.digests, columns.custom_ids, strict=True)
    ):
        for at, custom_id in enumerate(custom_ids):
            if not custom_id and digests[at] not in (NO_ROW, BAD_ROW):
                yield file, at + 1


def _iter_lines(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    limit: int | None,
    indexes: Sequence[LineIndex] | None,
    counter: WorkCounter | None,
    recognize: Recognize | None,
) -> Iterator[Row | KnownRow]:
    count = sample = 0
    for file, item in enumerate(inputs):
        if item.sample != sample:
            count, sample = 0, item.sample
        if limit is not None and count >= limit:
            continue
        index = None if indexes is None else indexes[file]
        for row in scan_rows(
            item.path,
            file,
            _of_sample(defaults, item),
            index=index,
            next_line=None,
            counter=counter,
            make_id=None,
            recognize=recognize,
        ):
            yield row
            count += 1
            if limit is not None and count >= limit:
                break


def _of_sample(defaults: RowDefaults, item: InputFile) -> RowDefaults:
    return replace(defaults, sample=item.sample) if item.sample else defaults


def iter_rows(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    limit: int | None = None,
    *,
    counter: WorkCounter | None = None,
) -> Iterator[Row]:
    """Yield the rows of all inputs in order, at most `limit`."""
    for row in _iter_lines(inputs, defaults, limit, None, counter, None):
        assert not isinstance(row, KnownRow)
        yield row


def iter_open_rows(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    scan: InputScan,
    next_open: Callable[[int, int], int | None],
    *,
    row_by_row: bool = False,
) -> Iterator[Row]:
    """Yield the rows of a scanned input that are open; the lines of all others are not parsed.

    ``next_open(file, line)`` returns the first open line of a file from `line` on. It is called
    again for every line, so that a row may be closed while this goes on. With `row_by_row`, the
    samples of a row come one after the other, so that an engine still has its prompt in a cache.
    """

    def next_line(file: int, line: int) -> int | None:
        following = next_open(file, line)
        # Lines appended to the input since the scan are rows of the next run.
        return None if following is None or following > len(scan.digests[file]) else following

    def read(file: int) -> Iterator[Row]:
        return read_rows(
            inputs[file].path,
            file,
            _of_sample(defaults, inputs[file]),
            index=scan.indexes[file],
            next_line=partial(next_line, file),
            make_id=scan.ids.make,
        )

    files = len(first_samples(inputs))
    if not row_by_row or files == len(inputs):
        for file in range(len(inputs)):
            yield from read(file)
        return
    for file in range(files):
        samples = map(read, range(file, len(inputs), files))
        yield from heapq.merge(*samples, key=lambda row: row.line)


def iter_rows_beyond(
    inputs: Sequence[InputFile], defaults: RowDefaults, scan: InputScan
) -> Iterator[Row]:
    """Yield the rows that a limit has left out of a scan; nothing is counted of them."""
    apart = replace(defaults, shapes=ShapeCounts(), columns=ParameterColumns())
    for file, item in enumerate(inputs):
        after = len(scan.digests[file]) + 1
        next_line = partial(max, after)
        yield from read_rows(item.path, file, _of_sample(apart, item), next_line=next_line)


def short_digest(digest: str, *, openai: bool) -> int:
    """Return 62 bits of a digest, and a bit for the form of the answer's line: an answer in one
    form does not hold what a line in the other one needs. Never one of the marks."""
    return shortened(int(digest[:16], 16), openai=openai)


def shortened(digest: int, *, openai: bool) -> int:
    """Return the short digest of the first 64 bits of a digest."""
    return digest & ~3 | 2 | openai


def refuse_missing_columns(defaults: RowDefaults, good: int) -> None:
    """Raise `UsageError` where all rows are left out for a column that none of them has: its name
    is misspelled, rather than all cells empty."""
    shapes = defaults.shapes
    if not good and shapes.skipped and shapes.missing:
        text = plural(
            "No row has the column {names}, which the template uses; all of them would be left out "
            "(--empty skip).",
            "No row has the columns {names}, which the template uses; all of them would be left "
            "out (--empty skip).",
            len(shapes.missing),
        )
        names = ", ".join(f"'{name}'" for name in sorted(shapes.missing))
        raise UsageError(text.format(names=names))


def _raise_no_request(
    inputs: Sequence[InputFile], defaults: RowDefaults, limit: int | None
) -> None:
    for row in iter_rows(inputs, defaults, limit):
        if isinstance(row, InvalidRow):
            text = _("{file} has no line that is a request. Line {line}: {reason}.")
            name = inputs[row.file].name
            raise UsageError(text.format(file=name, line=row.line, reason=row.message))


def _raise_duplicate(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    limit: int | None,
    duplicate: int,
    counter: WorkCounter | None,
) -> None:
    # The scan holds hashes only, so the file is read again: this also rules out a collision.
    first: dict[str, tuple[str, int]] = {}
    for row in iter_rows(inputs, defaults, limit, counter=counter):
        if isinstance(row, InvalidRow) or not row.names_itself:
            continue
        if id_hash(row.custom_id) != duplicate:
            continue
        here = (inputs[row.file].name, row.line)
        if row.custom_id in first:
            text = _(
                "The custom_id '{id}' is used twice: {file} line {line} and {file2} line {line2}. "
                "Make them differ, or give --allow-duplicates."
            )
            file, line = first[row.custom_id]
            raise UsageError(
                text.format(id=row.custom_id, file=file, line=line, file2=here[0], line2=here[1])
            )
        first[row.custom_id] = here
