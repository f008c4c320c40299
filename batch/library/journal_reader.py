"""Follow the journal of a run in this process: each line that it gets, as a typed result."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from ...json_types import JsonObject
from ..background import WorkCounter
from ..histogram import LogHistogram
from ..journal.output_files import OutputFiles
from ..journal.records import RowLocation, location_of_error, location_of_result
from ..journal.sink import FileSink, Sink
from .results import RowResult, answered_row, failed_row

Row = tuple[int, int]
"""The number of a row's input, from 0, and its line, from 1."""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A line of the results or errors file: where it stands, in bytes, or its `data`."""

    row: Row
    failed: bool
    offset: int
    size: int
    data: bytes | None = None


class JournalReader:
    """The results and errors files of one run, read while it writes them.

    The files are opened before the run can replace them by sorted ones, so that offsets stay good.
    """

    def __init__(self, files: OutputFiles, names: Sequence[str], prefix: str) -> None:
        """`names` are those of the inputs, `prefix` that of the answer's columns."""
        self._paths = {False: files.results, True: files.errors}
        self._names = names
        self._prefix = prefix
        self._fds: dict[bool, int] = {}
        self._ends: dict[bool, int] = {}
        self._file_of: Callable[[RowLocation], int | None] = lambda _location: None
        self._lengths: Sequence[int] = ()
        self.reopened: dict[Row, JournalLine] = {}

    def open(self, sink: FileSink, *, reopens: bool) -> None:
        """Take what is there before the run writes; `reopens`: answered rows may be open again."""
        self._file_of, self._lengths = sink.file_of, sink.lengths
        for failed in (False, True):
            self.open_file(failed=failed)
            fd = self._fds.get(failed)
            self._ends[failed] = 0 if fd is None else os.fstat(fd).st_size
        if reopens:
            for line, _record in self._lines(failed=False):
                if sink.is_open(*line.row):
                    self.reopened[line.row] = line

    def open_file(self, *, failed: bool) -> None:
        """Open a file as soon as it is there."""
        if failed not in self._fds:
            with contextlib.suppress(FileNotFoundError):
                self._fds[failed] = os.open(self._paths[failed], os.O_RDONLY | os.O_CLOEXEC)

    def end_of(self, *, failed: bool) -> int:
        """The size of a file before the run wrote to it, in bytes."""
        return self._ends[failed]

    def earlier(self) -> Iterator[tuple[Row, RowResult]]:
        """Yield the results that earlier runs have left, but for rows that are asked again."""
        for failed in (False, True):
            for line, record in self._lines(failed=failed):
                if failed or line.row not in self.reopened:
                    yield line.row, self._result(line, record)

    def read(self, line: JournalLine) -> RowResult:
        """The result of a line. Raises `OSError`."""
        data = line.data
        if data is None:
            data = os.pread(self._fds[line.failed], line.size, line.offset)
        return self._result(line, orjson.loads(data))

    def _result(self, line: JournalLine, record: JsonObject) -> RowResult:
        file, number = line.row
        if line.failed:
            return failed_row(record, self._names[file], number)
        return answered_row(record, self._names[file], number, self._prefix)

    def _lines(self, *, failed: bool) -> Iterator[tuple[JournalLine, JsonObject]]:
        """The lines of this run's rows, up to where the run began to write."""
        fd = self._fds.get(failed)
        if fd is None:
            return
        offset, end = 0, self._ends[failed]
        with os.fdopen(os.dup(fd), "rb") as file:
            file.seek(0)
            for data in file:
                size = len(data)
                if offset + size > end:
                    return
                record = orjson.loads(data)
                location = (
                    location_of_error(record)
                    if failed
                    else location_of_result(record, self._prefix)
                )
                row = self._row(location)
                if row is not None:
                    yield JournalLine(row, failed, offset, size), record
                offset += size

    def _row(self, location: RowLocation | None) -> Row | None:
        file = None if location is None else self._file_of(location)
        if location is None or file is None or location.line > self._lengths[file]:
            return None
        return file, location.line

    def close(self) -> None:
        """Close the files."""
        while self._fds:
            os.close(self._fds.popitem()[1])


class WatchedSink:
    """A `Sink` that passes each line on to `deliver` once it is recorded."""

    def __init__(
        self, sink: Sink, reader: JournalReader, deliver: Callable[[JournalLine], None]
    ) -> None:
        self._sink = sink
        self._reader = reader
        self._deliver = deliver
        self._ends = {failed: reader.end_of(failed=failed) for failed in (False, True)}
        self.earlier = sink.earlier
        self.number = sink.number
        self.is_open = sink.is_open
        self.next_open = sink.next_open
        self.sync = sink.sync

    @property
    def answered(self) -> int:
        """Rows answered, in earlier runs too."""
        return self._sink.answered

    @property
    def failed(self) -> int:
        """Rows that failed for good, in earlier runs too."""
        return self._sink.failed

    @property
    def qualities(self) -> "Counter[str]":
        """Counts of rows by quality, in earlier runs too."""
        return self._sink.qualities

    @property
    def latency(self) -> "LogHistogram":
        """See `Sink`."""
        return self._sink.latency

    def keep_earlier(self, file: int, line: int) -> bool:
        """Let a row that is asked again have its earlier answer; whether it has one."""
        kept = self._sink.keep_earlier(file, line)
        if kept and (file, line) in self._reader.reopened:
            self._deliver(self._reader.reopened[file, line])
        return kept

    def start(self) -> None:
        """Prepare for the first line."""
        self._sink.start()
        self._reader.open_file(failed=False)

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Record the line of an answer, and deliver it."""
        self._sink.add_result(file, line, data)
        if (file, line) in self._reader.reopened:  # it stands in a file of its own for now
            self._deliver(JournalLine((file, line), False, 0, len(data), data))
        else:
            self._add(file, line, len(data), failed=False)

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Record the line of a failure, and deliver it."""
        self._sink.add_error(file, line, data)
        self._reader.open_file(failed=True)
        self._add(file, line, len(data), failed=True)

    def _add(self, file: int, line: int, size: int, *, failed: bool) -> None:
        offset = self._ends[failed]
        self._ends[failed] += size
        self._deliver(JournalLine((file, line), failed, offset, size))

    def close(self, state: str, counter: WorkCounter) -> None:
        """Finish."""
        self._sink.close(state, counter)
