"""The rows of a run that are still to be asked; lines that are no requests are recorded on the
way."""

from collections.abc import Iterator, Sequence

from ..errors import Code, EngineError, Failure, UsageError
from ..i18n import _
from .inputs.discovery import InputFile
from .inputs.row_defaults import RowDefaults
from .inputs.rows import InvalidRow, Row
from .inputs.samples import split_key
from .inputs.scan import BAD_ROW, InputScan, iter_open_rows
from .journal.matching import mark_of
from .journal.records import error_line
from .journal.sink import Sink
from .request import Outcome, Request
from .run_stats import RunStats


def open_rows(
    inputs: Sequence[InputFile],
    keys: Sequence[str],
    defaults: RowDefaults,
    scan: InputScan,
    sink: Sink,
    stats: RunStats,
) -> Iterator[Request]:
    """Yield the rows still to ask; record invalid lines.

    Raises `EngineError` for an input that was changed or can't be read any more: the run can be
    resumed.
    """
    rows = iter_open_rows(inputs, defaults, scan, sink.next_open, row_by_row=True)
    for row in _resumable(rows):
        mark = scan.digests[row.file][row.line - 1]
        if isinstance(row, InvalidRow) and mark == BAD_ROW:
            failure = Failure(Code.INVALID_LINE, row.message)
            line = error_line(
                row,
                failure,
                name=split_key(keys[row.file])[0],
                number=sink.number(row.file),
                sample=inputs[row.file].sample,
                attempts=0,
            )
            sink.add_error(row.file, row.line, line)
            stats.add(Outcome(failure=failure))
        elif isinstance(row, InvalidRow) or mark != mark_of(row):
            text = _("{file} was changed during the run (line {line}).")
            raise EngineError(text.format(file=inputs[row.file].name, line=row.line))
        else:
            yield row


def _resumable(rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except UsageError as error:  # the scan has read all of it, so the command line is right
        raise EngineError(str(error)) from error
