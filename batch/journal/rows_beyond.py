"""The rows that `--limit` leaves out: whether a line may be of one of them."""

from collections.abc import Callable, Iterator
from itertools import islice

from ...errors import UsageError
from ..background import WorkCounter
from ..inputs.rows import Row
from .matching import digest_of, mark_of
from .records import RowLocation

MOST = 100_000
"""Rows that are read on, in a second or two; where there are more, each line's may be there."""


class RowsBeyond:
    """The rows after those of the scan, which `read` reads; they are read once a line is asked
    for. Without `read`, they are not known."""

    def __init__(self, read: Callable[[], Iterator[Row]] | None, counter: WorkCounter) -> None:
        self._read = read
        self._counter = counter
        self._digests: set[int] | None = None
        self._is_whole = False

    def may_have(self, location: RowLocation) -> bool:
        """Whether one of the rows may have the line's request. Raises `WorkCancelledError`."""
        if self._digests is None:
            self._digests = set() if self._read is None else self._read_on(self._read())
        return not self._is_whole or digest_of(location) in self._digests

    def _read_on(self, rows: Iterator[Row]) -> set[int]:
        digests: set[int] = set()
        try:
            for row in islice(rows, MOST):
                self._counter.check()
                digests.add(mark_of(row))
            self._is_whole = next(rows, None) is None
        except UsageError:  # of a row that this run does not ask
            pass
        return digests
