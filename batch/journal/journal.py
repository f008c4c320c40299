"""The output file is the journal: append-only, one writer, consistent after any crash.

A row is done when its whole line is in the file. Each line is written as soon as its row is
answered (`kill -9` loses no finished row) and synced at least every second (a power failure
loses at most that second).
"""

import contextlib
import os
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ...errors import EngineError, UsageError
from ...files import replacing, sync, sync_folder, write_all
from ...i18n import _, plural
from ..background import WorkCounter
from ..inputs.scan import BAD_ROW, NO_ROW, InputScan, short_digest
from .output_files import OutputFiles
from .records import RowLocation, location_of_error, location_of_result

OPEN, ANSWERED, FAILED, BLANK = 0, 1, 2, 3
"""State of a line, one byte each: that of its row, or that it has none."""


class DiskTroubleError(EngineError):
    """The journal can't be written; what it holds stays valid, and the run can be resumed."""


class Appender:
    """Appends whole lines to one file; after an error the file ends in a whole line."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        new = not path.exists()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if new:
            os.fchmod(self._fd, mode)
            sync_folder(path.parent)
        self._size = os.fstat(self._fd).st_size
        self._dirty = False
        self._sync_lock = threading.Lock()  # `sync` and `close` may run in different threads
        self._failure: DiskTroubleError | None = None

    def append(self, line: bytes) -> None:
        """Write one line. Raises `DiskTroubleError`; the file then holds no part of the line."""
        try:
            write_all(self._fd, line)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise disk_error(self.path, error) from None
        self._size += len(line)
        self._dirty = True

    def sync(self) -> None:
        """Make all appended lines durable. Raises `DiskTroubleError`, from then on every time:
        after a failed sync the system may have dropped the pages."""
        with self._sync_lock:
            if self._failure is not None:
                raise self._failure
            if not self._dirty or self._fd < 0:
                return
            self._dirty = False  # before the sync: a line appended during it needs the next one
            try:
                sync(self._fd)
            except OSError as error:
                self._failure = disk_error(self.path, error)
                raise self._failure from None

    def close(self) -> None:
        """Sync and close. Raises `DiskTroubleError`, also for an earlier sync that failed."""
        if self._fd < 0:
            return
        try:
            self.sync()
        finally:
            with self._sync_lock:
                fd, self._fd = self._fd, -1
                os.close(fd)


def disk_error(path: Path, error: OSError) -> DiskTroubleError:
    """Return the error for a file that can't be written."""
    text = _(
        "{path} can't be written: {reason}. Free some space or fix the cause, then run the same "
        "command again."
    )
    return DiskTroubleError(text.format(path=path, reason=error.strerror))


@dataclass(frozen=True, slots=True)
class Repairs:
    """What `Journal.load` repaired: torn bytes, damaged lines, answers to changed rows."""

    torn: int = 0
    damaged: int = 0
    changed: int = 0
    first_changed: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ReloadOptions:
    """How to read the files of an earlier run.

    `prefix` is that of its answer columns; `limited` allows answers to rows that were not scanned
    (`--limit`); `retry_failed` also reopens rows that failed for good, `retry_invalid` those whose
    answers did not have their form; `accept_changes` reopens rows that have changed and moves their
    old answers to another file.
    """

    prefix: str = ""
    limited: bool = False
    retry_failed: bool = False
    retry_invalid: bool = False
    accept_changes: bool = False


class Journal:
    """The results and errors files of a run, and which rows are still open."""

    def __init__(
        self, files: OutputFiles, scan: InputScan, names: Sequence[str], mode: int
    ) -> None:
        self.answered = 0
        self.failed = 0
        self._files = files
        self._scan = scan
        self._file_numbers: Mapping[str, int] = {name: at for at, name in enumerate(names)}
        self._states = tuple(_initial_states(marks) for marks in scan.digests)
        self._mode = mode
        self._results: Appender | None = None
        self._errors: Appender | None = None

    def load(self, options: ReloadOptions, counter: WorkCounter | None = None) -> Repairs:
        """Read the files of an earlier run, and repair what a crash left.

        A torn last line is cut. Lines that belong to no row are moved to ``NAME.damaged.jsonl``,
        answers to rows that have changed to ``NAME.changed.jsonl`` if changes are accepted. Rows
        that will be asked again are removed from the errors file. Raises `OSError`, and
        `WorkCancelledError` with each file as it was before or as it is to be.
        """
        counter = counter or WorkCounter()
        torn = 0
        first: tuple[int, int] | None = None
        damaged: list[int] = []
        changed: list[int] = []
        results = self._files.results
        if results.exists():
            torn += cut_torn_line(results)
            for offset, value in parsed_lines(results, counter):
                location = location_of_result(value, options.prefix)
                row = self._row(location)
                if location is None or (row is None and self.file_of(location) is None):
                    damaged.append(offset)
                elif row is None:  # the input has no such row any more
                    if not options.limited:
                        changed.append(offset)
                        at = (self.file_of(location) or 0, location.line)
                        first = min(first or at, at)
                elif self._states[row[0]][row[1]] == ANSWERED:
                    damaged.append(offset)  # a second answer to one row
                elif self._scan.digests[row[0]][row[1]] != short_digest(location.digest or ""):
                    changed.append(offset)
                    at = (row[0], location.line)
                    first = min(first or at, at)
                else:
                    self._states[row[0]][row[1]] = ANSWERED
                    self.answered += 1
            if changed and not options.accept_changes:
                return Repairs(torn, 0, len(changed), self._with_name(first))
            moved = {self._files.damaged: damaged, self._files.changed: changed}
            self._set_lines_aside(moved, counter)
        if self._files.errors.exists():
            torn += cut_torn_line(self._files.errors)
            self._compact_errors(options, counter)
        return Repairs(torn, len(damaged), len(changed), self._with_name(first))

    def _compact_errors(self, options: ReloadOptions, counter: WorkCounter) -> None:
        """Keep one line for each row that failed for good and has not changed."""
        removed: dict[int, Appender | None] = {}
        for offset, value in parsed_lines(self._files.errors, counter):
            location = location_of_error(value, retry_invalid=options.retry_invalid)
            row = self._row(location)
            if location is not None and row is None:
                if options.limited and self.file_of(location) is not None:
                    continue  # a row that this run does not look at
                removed[offset] = None
            elif location is None or row is None or not self._still_failed(location, row, options):
                removed[offset] = None
            else:
                self._states[row[0]][row[1]] = FAILED
                self.failed += 1
        if removed:
            rewrite_without(self._files.errors, removed, counter)

    def _still_failed(
        self, location: RowLocation, row: tuple[int, int], options: ReloadOptions
    ) -> bool:
        if location.retryable or self._states[row[0]][row[1]] != OPEN:
            return False
        mark = self._scan.digests[row[0]][row[1]]
        if location.digest is None:
            return mark == BAD_ROW
        return not options.retry_failed and mark == short_digest(location.digest)

    def _set_lines_aside(self, offsets: Mapping[Path, Sequence[int]], counter: WorkCounter) -> None:
        asides = {path: Appender(path, self._mode) for path, lines in offsets.items() if lines}
        try:
            if asides:
                rewrite_without(
                    self._files.results,
                    {at: aside for path, aside in asides.items() for at in offsets[path]},
                    counter,
                )
        finally:
            for aside in asides.values():
                aside.close()

    def file_of(self, location: RowLocation) -> int | None:
        """Return the number of a location's input in this run; None for an unknown one."""
        if isinstance(location.file, int):
            return location.file if 0 <= location.file < len(self._states) else None
        return self._file_numbers.get(location.file)

    def _row(self, location: RowLocation | None) -> tuple[int, int] | None:
        """Return the row's indices into the scan, or None when the scan has no such row."""
        if location is None or (file := self.file_of(location)) is None:
            return None
        at = location.line - 1
        if at >= len(self._scan.digests[file]) or self._scan.digests[file][at] == NO_ROW:
            return None
        return file, at

    def _with_name(self, row: tuple[int, int] | None) -> tuple[str, int] | None:
        """Return a row's file and line, the file by its name."""
        if row is None:
            return None
        file, line = row
        return next(name for name, at in self._file_numbers.items() if at == file), line

    @property
    def lengths(self) -> list[int]:
        """Number of scanned lines of each input."""
        return [len(marks) for marks in self._scan.digests]

    def start(self) -> None:
        """Open the files for appending. Raises `DiskTroubleError`."""
        try:
            self._results = Appender(self._files.results, self._mode)
        except OSError as error:
            raise disk_error(self._files.results, error) from None

    def is_open(self, file: int, line: int) -> bool:
        """Whether the row is neither answered nor finally failed."""
        return self._states[file][line - 1] == OPEN

    def reopen(self, file: int, line: int) -> bool:
        """Open an answered row again; return whether it was one."""
        states = self._states[file]
        if line > len(states) or states[line - 1] != ANSWERED:
            return False
        states[line - 1] = OPEN
        self.answered -= 1
        return True

    def close_again(self, file: int, line: int) -> None:
        """Mark a row that was opened again as answered."""
        self._states[file][line - 1] = ANSWERED
        self.answered += 1

    def next_open(self, file: int, line: int) -> int | None:
        """Return the first line from `line` on whose row is open; None when there is none."""
        return self._states[file].find(OPEN, line - 1) + 1 or None

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Record an answer. Raises `DiskTroubleError`."""
        assert self._results is not None
        assert self.is_open(file, line)
        self._results.append(data)
        self._states[file][line - 1] = ANSWERED
        self.answered += 1

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Record a failure. Raises `DiskTroubleError`."""
        assert self.is_open(file, line)
        if self._errors is None:  # created for the first failure
            try:
                self._errors = Appender(self._files.errors, self._mode)
            except OSError as error:
                raise disk_error(self._files.errors, error) from None
        self._errors.append(data)
        self._states[file][line - 1] = FAILED
        self.failed += 1

    def sync(self) -> None:
        """Make all lines durable; may run in another thread. Raises `DiskTroubleError`."""
        for appender in (self._results, self._errors):
            if appender is not None:
                appender.sync()

    def close(self) -> None:
        """Sync and close. Raises `DiskTroubleError`."""
        for appender in (self._results, self._errors):
            if appender is not None:
                appender.close()


def _initial_states(marks: "array[int]") -> bytearray:
    if not marks.count(NO_ROW):
        return bytearray(len(marks))
    return bytearray(BLANK if mark == NO_ROW else OPEN for mark in marks)


def cut_torn_line(path: Path) -> int:
    """Cut a last line without a newline; return the number of bytes cut. Raises `OSError`."""
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - (1 << 16))
            file.seek(start)
            piece = file.read(end - start)
            if (at := piece.rfind(b"\n")) >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
        return size - end


def parsed_lines(path: Path, counter: WorkCounter) -> Iterator[tuple[int, Any]]:
    """Yield (offset in bytes, value) of each line; the value is None where it does not parse.

    orjson alone, not jsonlines: see tests/bench/journal.py for what that costs a resume.
    """
    with path.open("rb", buffering=1 << 20) as file:
        offset = 0
        for line in file:
            try:
                yield offset, orjson.loads(line)
            except orjson.JSONDecodeError:
                yield offset, None
            offset += len(line)
            counter.step(len(line))


def rewrite_without(
    path: Path, removed: Mapping[int, Appender | None], counter: WorkCounter
) -> None:
    """Remove the lines at these offsets from a file, in one step.

    Each is appended to its appender, if it has one, and durable there before it is removed here.
    Raises `OSError` and `WorkCancelledError`; the file is then as it was.
    """
    with path.open("rb") as old:
        mode = os.fstat(old.fileno()).st_mode & 0o777
        with replacing(path, mode) as new:
            offset = 0
            for line in old:
                counter.check()
                if offset not in removed:
                    new.write(line)
                elif (aside := removed[offset]) is not None:
                    aside.append(line)
                offset += len(line)
            for aside in {id(one): one for one in removed.values() if one is not None}.values():
                aside.sync()


def refuse_changes(repairs: Repairs, differences: Sequence[str]) -> None:
    """Raise `UsageError` when rows have changed since they were answered."""
    if not repairs.changed:
        return
    cause = _(" ({differences})").format(differences="; ".join(differences)) if differences else ""
    name, line = repairs.first_changed or ("", 0)
    text = plural(
        "{n} row that is already answered has changed{cause}: {file} line {line}. ",
        "{n} rows that are already answered have changed{cause}, the first at {file} line {line}. ",
        repairs.changed,
    ) + _(
        "Undo the change, or give --accept-changes to ask the changed rows again, or --restart to "
        "ask all rows again (the old answers are kept under another name)."
    )
    raise UsageError(text.format(n=repairs.changed, cause=cause, file=name, line=line))
