"""Match the lines of an earlier run with the rows of this one: by what a row is, not by its place.

Rows and lines are multisets: k equal rows take k lines. A line is matched with an open row

1. that has the same request and the same input line (any of them: they are equal),
2. that has the same request and the same custom_id,
3. that has the same request, if there is one at the line's old place, then any,

where the second rule comes to a line after all others have had the first one, and so on. Lines of
inputs that are not here come after all others: without a row, their answers stay where they are,
and another line's may not. Lines whose row stands where it stood are the rule, and take no more
than a comparison. For the others an index is made, of 8 bytes a row, one at a time.
"""

import enum
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..background import WorkCounter
from ..inputs.key_index import KeyIndex
from ..inputs.row_ids import id_hash
from ..inputs.rows import Row
from ..inputs.scan import BAD_ROW, NO_ROW, InputScan, short_digest, shortened
from ..request import Request, RowKind
from .input_names import InputNames
from .records import RowLocation, unmoved_mark

OPEN, ANSWERED, FAILED, BLANK = 0, 1, 2, 3
"""State of a line, one byte each: that of its row, or that it has none."""

_CHECK_EVERY = 1 << 16  # rows of an index between two looks at a cancellation


class Match(enum.IntEnum):
    """How much of a line is to be written anew, now that its row is known."""

    SAME = 0
    PLACE = 1
    CONTENT = 2


class Matched(NamedTuple):
    """A line's row: `position` counts the lines of all inputs from 0."""

    match: Match
    position: int


class RowStates:
    """The state of each line of the inputs: a byte."""

    def __init__(self, scan: InputScan) -> None:
        self.by_file = tuple(_initial_states(marks) for marks in scan.digests)
        self._starts = scan.starts

    def place(self, position: int) -> tuple[int, int]:
        """Return the input and the line, both from 0, at a position."""
        file = bisect_right(self._starts, position) - 1
        return file, position - self._starts[file]

    def position(self, file: int, at: int) -> int:
        """Return the position of a line, from 0, of an input."""
        return self._starts[file] + at

    def is_open(self, position: int) -> bool:
        """Whether the row at this position has no line in the files yet."""
        file, at = self.place(position)
        return self.by_file[file][at] == OPEN


def _initial_states(marks: "array[int]") -> bytearray:
    if not marks.count(NO_ROW):
        return bytearray(len(marks))
    return bytearray(BLANK if mark == NO_ROW else OPEN for mark in marks)


class RowMatcher:
    """Matches the lines of one file with open rows, which get the state `matched_state`.

    `first`, `by_id` and `by_digest` are the rules above, each to be called for all lines that the
    one before has left.
    """

    def __init__(
        self,
        scan: InputScan,
        states: RowStates,
        names: InputNames,
        matched_state: int,
        counter: WorkCounter,
    ) -> None:
        self._scan = scan
        self._states = states
        self._names = names
        self._state = matched_state
        self._counter = counter
        # Rows that got a line from another place: a byte a row.
        self._moved_here = tuple(bytearray(len(of_file)) for of_file in states.by_file)
        self._shift = 0
        self._index: KeyIndex | None = None
        self._rule: object = None

    def is_of_input_here(self, location: RowLocation) -> bool:
        """Whether the input that the line names is one of this run."""
        return self._names.file_of(location) is not None

    def is_unmoved(self, value: Any, mark: str) -> bool:
        """Whether a parsed line of the results, with its `mark`, is that of the row at its place by
        the first rule; that row is matched then. False says nothing: `first` decides."""
        known = unmoved_mark(value, mark)
        if known is None:
            return False
        name, line, digest, fingerprint = known
        file, at = self._names.number_here(name), line - 1
        if file is None or not self._is_open(file, at):
            return False
        scan = self._scan
        if scan.digests[file][at] != shortened(digest, openai=False):
            return False
        if scan.fingerprints[file][at] != fingerprint:
            return False
        self._states.by_file[file][at] = self._state
        return True

    def first(self, location: RowLocation) -> Matched | None:
        """Match a line with a row that it would be written for again, the place aside."""
        digest = digest_of(location)
        file = self._names.file_of(location)
        if file is not None:
            at = location.line - 1
            if self._is_equal(file, at, location, digest):
                return self._matched(Match.SAME, file, at, location)
            # After an insertion or a deletion, the rows behind it have moved alike.
            if self._shift and self._is_equal(file, at + self._shift, location, digest):
                return self._matched(Match.PLACE, file, at + self._shift, location)
        if not location.fingerprint:
            return None
        digests, fingerprints = self._scan.digests, self._scan.fingerprints
        position = self._pop(
            self.first, digest ^ location.fingerprint, _paired(digests, fingerprints)
        )
        if position is None:
            return None
        place = self._states.place(position)
        if place[0] == file:
            self._shift = place[1] - (location.line - 1)
        return self._matched(Match.PLACE, *place, location)

    def by_id(self, location: RowLocation) -> Matched | None:
        """Match a line with a row of the same request and custom_id."""
        if location.custom_id is None:
            return None
        key = digest_of(location) ^ id_hash(location.custom_id)
        digests, custom_ids = self._scan.digests, self._scan.custom_ids
        position = self._pop(self.by_id, key, _paired(digests, custom_ids))
        if position is None:
            return None
        # Nothing else of the row is in a line of OpenAI's.
        kind = Match.PLACE if location.openai else Match.CONTENT
        return self._matched(kind, *self._states.place(position), location)

    def at_place(self, location: RowLocation) -> Matched | None:
        """Match a line with the row at its old place, if that has the same request."""
        file, at = self._names.file_of(location), location.line - 1
        if file is None or location.digest is None or not self._is_open(file, at):
            return None
        if self._scan.digests[file][at] != digest_of(location):
            return None
        return self._matched(Match.CONTENT, file, at, location)

    def by_digest(self, location: RowLocation) -> Matched | None:
        """Match a line with any row of the same request."""
        if location.digest is None:
            return None
        position = self._pop(self.by_digest, digest_of(location), _plain(self._scan.digests))
        if position is None:
            return None
        return self._matched(Match.CONTENT, *self._states.place(position), location)

    def has_same_source(self, location: RowLocation) -> bool:
        """Whether an open row has the line's input line, or, of OpenAI's, its custom_id."""
        if location.openai:
            if location.custom_id is None:
                return False
            key, column = id_hash(location.custom_id), self._scan.custom_ids
        else:
            key, column = location.fingerprint, self._scan.fingerprints
        rule = (self.has_same_source, location.openai)
        return key != 0 and self._pop(rule, key, _plain(column)) is not None

    def row_at(self, location: RowLocation) -> int | None:
        """Return the state of the row at the line's old place; None where there is no row."""
        file, at = self._names.file_of(location), location.line - 1
        if file is None or at >= len(self._scan.digests[file]):
            return None
        state = self._states.by_file[file][at]
        return None if state == BLANK else state

    def has_second_answer(self, location: RowLocation) -> bool:
        """Whether the line is a second answer to the row at its place, which is as it was and has
        an answer that was written for it there. Lines of other rows never have one place: where a
        row's answer came from elsewhere, the line's own row is gone."""
        file, at = self._names.file_of(location), location.line - 1
        return (
            file is not None
            and self.row_at(location) == self._state
            and not self._moved_here[file][at]
            and self.is_of_row_there(location)
        )

    def is_scanned(self, location: RowLocation) -> bool:
        """Whether the line's old place is one of those that were scanned."""
        file = self._names.file_of(location)
        return file is not None and location.line <= len(self._scan.digests[file])

    def is_of_row_there(self, location: RowLocation) -> bool:
        """Whether the line is as one that would be written for the row at its old place."""
        file = self._names.file_of(location)
        return (
            file is not None
            and self.is_scanned(location)
            and self._is_line_of(file, location.line - 1, location, digest_of(location))
        )

    def digest_at(self, location: RowLocation) -> int:
        """Return the digest of the row at the line's old place, which exists."""
        file = self._names.file_of(location)
        assert file is not None
        return self._scan.digests[file][location.line - 1]

    def _is_open(self, file: int, at: int) -> bool:
        states = self._states.by_file[file]
        return 0 <= at < len(states) and states[at] == OPEN

    def _is_equal(self, file: int, at: int, location: RowLocation, digest: int) -> bool:
        return self._is_open(file, at) and self._is_line_of(file, at, location, digest)

    def _is_line_of(self, file: int, at: int, location: RowLocation, digest: int) -> bool:
        """Whether the line is as one that would be written for a row."""
        scan = self._scan
        if scan.digests[file][at] != digest:
            return False
        if location.fingerprint:
            return scan.fingerprints[file][at] == location.fingerprint
        if location.digest is None:
            return True  # a bad line, recorded by a former version
        if not location.openai or location.custom_id is None:
            return False
        given = scan.custom_ids[file][at]
        if given:
            return given == id_hash(location.custom_id)
        return scan.ids.make(file, at + 1) == location.custom_id

    def _matched(self, match: Match, file: int, at: int, location: RowLocation) -> Matched:
        self._states.by_file[file][at] = self._state
        if match is not Match.SAME:
            is_here = at == location.line - 1 and file == self._names.file_of(location)
            self._moved_here[file][at] = not is_here
        return Matched(match, self._states.position(file, at))

    def _pop(self, rule: object, key: int, keys: "_Keys") -> int | None:
        """Take the first open row with this key, by the index of a rule; the last one is freed."""
        if self._rule != rule or self._index is None:
            self._index, self._rule = None, rule
            self._index = self._make_index(keys)
        return self._index.pop(key, self._states.is_open)

    def _make_index(self, keys: "_Keys") -> KeyIndex:
        states = self._states
        index = KeyIndex(self._scan.lines, lambda position: keys.at(*states.place(position)))
        for file in range(len(states.by_file) - 1, -1, -1):
            of_file = states.by_file[file]
            start = states.position(file, 0)
            for at, key in keys.reversed_of(file):
                if not at % _CHECK_EVERY:
                    self._counter.check()
                if of_file[at] == OPEN and key:
                    index.add(start + at, key)
        return index


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of an index: a number for each line, 0 for one that is not to be found."""

    at: Callable[[int, int], int]
    reversed_of: Callable[[int], Iterator[tuple[int, int]]]


def _plain(column: Sequence["array[int]"]) -> _Keys:
    def reversed_of(file: int) -> Iterator[tuple[int, int]]:
        values = column[file]
        return zip(range(len(values) - 1, -1, -1), reversed(values), strict=True)

    return _Keys(lambda file, at: column[file][at], reversed_of)


def _paired(digests: Sequence["array[int]"], column: Sequence["array[int]"]) -> _Keys:
    """Keys made of the digest and another number; 0 for lines without one of them."""

    def key(digest: int, value: int) -> int:
        return digest ^ value if value and digest else 0

    def reversed_of(file: int) -> Iterator[tuple[int, int]]:
        pairs = map(key, reversed(digests[file]), reversed(column[file]))
        return zip(range(len(digests[file]) - 1, -1, -1), pairs, strict=True)

    return _Keys(lambda file, at: key(digests[file][at], column[file][at]), reversed_of)


def digest_of(location: RowLocation) -> int:
    """Return the short digest of a line's request; that of a bad line for none."""
    if location.digest is None:
        return BAD_ROW
    return short_digest(location.digest, openai=location.openai)


def mark_of(row: Row) -> int:
    """Return what the scan holds of a row: its short digest, or the mark of a bad line."""
    if not isinstance(row, Request):
        return BAD_ROW
    return short_digest(row.digest, openai=row.kind is RowKind.OPENAI)
