"""What every format gives: a source of rows, each as the bytes of one JSON value."""

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from ..lines import BadLineError, NextLine

Record = TypeVar("Record")


class RecordSource(Protocol):
    """The rows of one input, in order; reading an unchanged input again gives the same bytes.

    `columns` are those of every row, where the format says; None elsewhere. `text_cells` says that
    its cells are texts, as the format knows no types.
    `number` is the place of the last row, from 1: its line in lines of text and CSV, else its
    ordinal. `offset` is how far the input is read, in bytes. `__next__` returns the row as JSON
    (its line as it stands in the file, or the canonical bytes of a table's row) and raises
    `BadLineError` for a row that can't be used and `OSError` where the input can't be read on.
    """

    @property
    def columns(self) -> Sequence[str] | None:
        """The columns of every row, if the format has such."""

    @property
    def text_cells(self) -> bool:
        """Whether all cells are texts."""

    @property
    def number(self) -> int:
        """The place of the last row."""

    @property
    def offset(self) -> int:
        """Bytes that are read."""

    def __next__(self) -> str | bytes:
        """Return the next row."""


class UnreadableInputError(OSError):
    """An input that can't be read on; `strerror` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)


class SequentialSource(Generic[Record]):
    """A source whose records are read one after the other.

    `records` yields (place, record, offset of its end), a `BadLineError` in place of a record that
    can't be used; `encode` makes a row's JSON of a record. With `next_line`, records that it does
    not name are read but not encoded.
    """

    def __init__(
        self,
        records: Iterator[tuple[int, Record | BadLineError, int]],
        encode: Callable[[Record], bytes],
        next_line: NextLine | None = None,
        *,
        columns: Sequence[str] | None = None,
        text_cells: bool = False,
    ) -> None:
        self.columns = columns
        self.text_cells = text_cells
        self.number = 0
        self.offset = 0
        self._records = records
        self._encode = encode
        self._next_line = next_line

    def __next__(self) -> bytes:
        for number, record, offset in self._records:
            if self._next_line is not None:
                following = self._next_line(number)
                if following is None:
                    break
                if following > number:
                    continue
            self.number, self.offset = number, offset
            if isinstance(record, BadLineError):
                raise record
            return self._encode(record)
        raise StopIteration
