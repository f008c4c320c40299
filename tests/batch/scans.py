"""Scans of rows that stand in no file."""

from array import array
from collections.abc import Callable, Iterator, Sequence

from qchat.batch.inputs.lines import LineIndex
from qchat.batch.inputs.row_ids import RowIds, id_hash
from qchat.batch.inputs.rows import Row
from qchat.batch.inputs.scan import BAD_ROW, NO_ROW, InputScan
from qchat.batch.journal.matching import mark_of
from qchat.batch.request import Request


def scan_of_rows(rows: Sequence[Row | None], stem: str = "in") -> InputScan:
    """The scan of one input; None is a blank line."""
    digests = array("Q", [NO_ROW if row is None else mark_of(row) for row in rows])
    fingerprints = array("Q", [0 if row is None else row.fingerprint for row in rows])
    ids = [
        id_hash(row.custom_id) if isinstance(row, Request) and row.names_itself else 0
        for row in rows
    ]
    return InputScan(
        (digests,),
        (LineIndex(),),
        len(rows) - digests.count(NO_ROW),
        digests.count(BAD_ROW),
        (fingerprints,),
        (array("Q", ids),),
        RowIds((stem,)),
    )


def reader_of(rows: Sequence[Row | None]) -> Callable[..., Iterator[Row]]:
    """Read these rows as `iter_open_rows` reads those of an input."""

    def read(next_line: Callable[[int, int], int | None]) -> Iterator[Row]:
        line = 1
        while (following := next_line(0, line)) is not None:
            row = rows[following - 1]
            assert row is not None
            yield row
            line = following + 1

    return read
