"""The lines of an earlier run's file, and what becomes of each now that its row is known."""

import enum
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from ..background import WorkCounter
from .appender import parsed_lines
from .matching import Match, Matched, RowMatcher
from .records import RowLocation


class Fate(enum.IntEnum):
    """What becomes of a line: it stays, gets another place or the row's content of today, is moved
    to the file of removed or of damaged lines, is dropped, or is not decided yet."""

    KEEP = Match.SAME
    PLACE = Match.PLACE
    CONTENT = Match.CONTENT
    REMOVED = 3
    DAMAGED = 4
    DROPPED = 5
    UNMATCHED = 6


class EarlierLines:
    """The fates of a file's lines: a byte a line, 4 more once one is not to stay as it is.

    With `all_positions`, also lines that stay have the position of their row.
    """

    def __init__(
        self,
        path: Path,
        locate: Callable[[Any], RowLocation | None],
        *,
        all_positions: bool = False,
    ) -> None:
        self._all_positions = all_positions
        self.path = path
        self.fates = bytearray()
        self._locate = locate
        self._positions = array("I")
        self._unmatched = array("Q")  # number and offset of each

    def count(self, *fates: Fate) -> int:
        """Return how many lines have one of these fates."""
        return sum(map(self.fates.count, fates))

    def position(self, number: int) -> int:
        """Return the position of the row of a line whose fate is PLACE or CONTENT."""
        return self._positions[number]

    def decide(self, number: int, fate: Fate) -> None:
        """Set the fate of a line without a row."""
        self.fates[number] = fate

    @property
    def all_kept(self) -> bool:
        """Whether the file stays as it is."""
        return self.fates.count(Fate.KEEP) == len(self.fates)

    def match(
        self,
        matcher: RowMatcher,
        counter: WorkCounter,
        decide: Callable[[RowLocation], Fate | None] = lambda _location: None,
        *,
        mark: str | None = None,
    ) -> None:
        """Match every line by the rules of `matcher`; `decide` gets each line before that, and may
        decide without a row. With `mark`, lines with a mark of that name whose row stands where it
        stood don't get there. Lines of inputs that are not here come last: they take what no line
        of an input here has a claim on. Raises `OSError` and `WorkCancelledError`."""
        fates, keep, is_unmoved = self.fates, int(Fate.KEEP), matcher.is_unmoved
        elsewhere = array("Q")
        for number, (offset, value) in enumerate(parsed_lines(self.path, counter)):
            fates.append(keep)
            if mark is not None and is_unmoved(value, mark):
                continue
            location = self._locate(value)
            if location is None:
                self.fates[number] = Fate.DAMAGED
            elif (fate := decide(location)) is not None:
                self.fates[number] = fate
            elif not matcher.is_of_input_here(location):
                self.fates[number] = Fate.UNMATCHED
                elsewhere.extend((number, offset))
            elif not self._set(number, matcher.first(location)):
                self._unmatched.extend((number, offset))
        for rule in (matcher.by_id, matcher.at_place, matcher.by_digest):
            self._unmatched = self._match_rest(self._unmatched, rule, counter)
        for rule in (matcher.first, matcher.by_id, matcher.by_digest):
            elsewhere = self._match_rest(elsewhere, rule, counter)
        self._unmatched.extend(elsewhere)

    def _match_rest(
        self,
        unmatched: "array[int]",
        rule: Callable[[RowLocation], Matched | None],
        counter: WorkCounter,
    ) -> "array[int]":
        rest = array("Q")
        for number, offset, location in self._iter_lines(unmatched, counter):
            if not self._set(number, rule(location)):
                rest.extend((number, offset))
        return rest

    def unmatched(self, counter: WorkCounter) -> Iterator[tuple[int, RowLocation]]:
        """Yield number and location of each line without a row."""
        for number, _offset, location in self._iter_lines(self._unmatched, counter):
            yield number, location

    def _iter_lines(
        self, numbers_and_offsets: "array[int]", counter: WorkCounter
    ) -> Iterator[tuple[int, int, RowLocation]]:
        if not numbers_and_offsets:
            return
        with self.path.open("rb", buffering=1 << 16) as file:
            for at in range(0, len(numbers_and_offsets), 2):
                counter.check()
                number, offset = numbers_and_offsets[at], numbers_and_offsets[at + 1]
                file.seek(offset)
                location = self._locate(orjson.loads(file.readline()))
                assert location is not None
                yield number, offset, location

    def _set(self, number: int, matched: Matched | None) -> bool:
        self.fates[number] = Fate.UNMATCHED if matched is None else matched.match
        if matched is None:
            return False
        if self._all_positions or matched.match is not Match.SAME:
            missing = number + 1 - len(self._positions)
            if missing > 0:
                self._positions.frombytes(bytes(4 * missing))
            self._positions[number] = matched.position
        return True
