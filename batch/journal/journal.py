"""The output file is the journal: append-only, one writer, true after any crash.

A row is done when its whole line is in the file. Each line is written as soon as its row is
answered (so `kill -9` loses nothing that was finished) and synced at least every second (so
a power cut loses at most that second).
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ...errors import EngineError, UsageError
from ...files import replacing, sync, sync_folder, write_all
from ...i18n import _, plural
from ..inputs.discovery import BAD_ROW, NO_ROW, InputScan, short_digest
from .output_files import OutputFiles
from .records import RowLocation, location_of_error, location_of_result

OPEN, ANSWERED, FAILED = 0, 1, 2
"""State of a row, one byte each."""


class DiskTroubleError(EngineError):
    """The journal can't be written; what is in it stays true, and the run can be resumed."""


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
        self._syncing = threading.Lock()  # a sync in its thread may meet the close in this one
        self._failure: DiskTroubleError | None = None

    def append(self, line: bytes) -> None:
        """Write one line. Raises `DiskTroubleError`; nothing of the line is then left."""
        try:
            write_all(self._fd, line)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise disk_error(self.path, error) from None
        self._size += len(line)
        self._dirty = True

    def sync(self) -> None:
        """Bring all appended lines to disk. Raises `DiskTroubleError`, from then on every time:
        after a failed sync the system may have dropped the pages, so nothing more is trusted."""
        with self._syncing:
            if self._failure is not None:
                raise self._failure
            if not self._dirty or self._fd < 0:
                return
            self._dirty = False
            try:
                sync(self._fd)
            except OSError as error:
                self._failure = disk_error(self.path, error)
                raise self._failure from None

    def close(self) -> None:
        """Sync and close. Raises `DiskTroubleError`, for a sync that failed before too."""
        if self._fd < 0:
            return
        try:
            self.sync()
        finally:
            with self._syncing:
                fd, self._fd = self._fd, -1
                os.close(fd)


def disk_error(path: Path, error: OSError) -> DiskTroubleError:
    """The sentence for a file that can't be written."""
    text = _("{path} can't be written: {reason}. Make room or mend it, then run the same command.")
    return DiskTroubleError(text.format(path=path, reason=error.strerror))


@dataclass(frozen=True, slots=True)
class Repairs:
    """What the start found and put right."""

    torn: int = 0
    damaged: int = 0
    changed: int = 0
    first_changed: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Reload:
    """How to read an earlier run's files back.

    `prefix` is that of its answer columns; `limited` says that rows past the plan's end are no
    surprise (`--limit`); `retry_failed` opens the finally failed rows too; `accept_changes` opens
    rows that have changed, setting their old answers aside.
    """

    prefix: str = ""
    limited: bool = False
    retry_failed: bool = False
    accept_changes: bool = False


class Journal:
    """The results and errors files of a run, and which rows are still open."""

    def __init__(
        self, files: OutputFiles, plan: InputScan, names: Sequence[str], mode: int
    ) -> None:
        self.answered = 0
        self.failed = 0
        self._files = files
        self._plan = plan
        self._index: Mapping[str, int] = {name: at for at, name in enumerate(names)}
        self._state = tuple(bytearray(len(marks)) for marks in plan.digests)
        self._mode = mode
        self._results: Appender | None = None
        self._errors: Appender | None = None

    def load(self, how: Reload) -> Repairs:
        """Read back an earlier run's files, repairing what a crash left.

        A torn last line is cut, lines that are none of ours go to ``NAME.damaged.jsonl``, answers
        to rows that have changed to ``NAME.changed.jsonl`` if that is accepted, and the errors
        file loses the rows that will be asked again. Raises `OSError`.
        """
        torn = 0
        first: tuple[int, int] | None = None
        bad: list[int] = []
        changed: list[int] = []
        results = self._files.results
        if results.exists():
            torn += cut_torn_line(results)
            for offset, value in parsed_lines(results):
                place = location_of_result(value, how.prefix)
                row = self._row(place)
                if place is None or (row is None and not self._beyond(place)):
                    bad.append(offset)
                elif row is None:
                    if not how.limited:
                        changed.append(offset)
                        at = (self.file_of(place) or 0, place.line)
                        first = min(first or at, at)
                elif self._state[row[0]][row[1]] == ANSWERED:
                    bad.append(offset)  # a second answer to one row
                elif self._plan.digests[row[0]][row[1]] != short_digest(place.digest or ""):
                    changed.append(offset)
                    at = (row[0], place.line)
                    first = min(first or at, at)
                else:
                    self._state[row[0]][row[1]] = ANSWERED
                    self.answered += 1
            if changed and not how.accept_changes:
                return Repairs(torn, 0, len(changed), self._named(first))
            self._set_lines_aside({self._files.damaged: bad, self._files.changed: changed})
        if self._files.errors.exists():
            torn += cut_torn_line(self._files.errors)
            self._compact_errors(how)
        return Repairs(torn, len(bad), len(changed), self._named(first))

    def _compact_errors(self, how: Reload) -> None:
        """Keep the final failures of rows that are still as they were, once each."""
        gone: dict[int, Appender | None] = {}
        for offset, value in parsed_lines(self._files.errors):
            place = location_of_error(value)
            row = self._row(place)
            if place is not None and row is None and how.limited and self._beyond(place):
                continue  # a row that this run does not look at
            if place is None or row is None or not self._still_failed(place, row, how.retry_failed):
                gone[offset] = None
            else:
                self._state[row[0]][row[1]] = FAILED
                self.failed += 1
        if gone:
            rewrite_without(self._files.errors, gone)

    def _still_failed(self, place: RowLocation, row: tuple[int, int], retry_failed: bool) -> bool:
        if place.retryable or self._state[row[0]][row[1]] != OPEN:
            return False
        mark = self._plan.digests[row[0]][row[1]]
        if place.digest is None:
            return mark == BAD_ROW
        return not retry_failed and mark == short_digest(place.digest)

    def _set_lines_aside(self, offsets: Mapping[Path, Sequence[int]]) -> None:
        asides = {path: Appender(path, self._mode) for path, lines in offsets.items() if lines}
        try:
            if asides:
                rewrite_without(
                    self._files.results,
                    {at: aside for path, aside in asides.items() for at in offsets[path]},
                )
        finally:
            for aside in asides.values():
                aside.close()

    def file_of(self, place: RowLocation) -> int | None:
        """The run's input that a line of the output speaks of; None for an unknown one."""
        if isinstance(place.file, int):
            return place.file if 0 <= place.file < len(self._state) else None
        return self._index.get(place.file)

    def _row(self, place: RowLocation | None) -> tuple[int, int] | None:
        """Indices into the plan, or None when the plan has no such row."""
        if place is None or (file := self.file_of(place)) is None:
            return None
        at = place.line - 1
        if at >= len(self._plan.digests[file]) or self._plan.digests[file][at] == NO_ROW:
            return None
        return file, at

    def _beyond(self, place: RowLocation) -> bool:
        """Whether a sound line speaks of a row that the input doesn't have (any more)."""
        return self.file_of(place) is not None

    def _named(self, place: tuple[int, int] | None) -> tuple[str, int] | None:
        """A place with its input's name for its index."""
        if place is None:
            return None
        file, line = place
        return next(name for name, at in self._index.items() if at == file), line

    @property
    def lengths(self) -> list[int]:
        """Lines of each input, as far as the plan goes."""
        return [len(marks) for marks in self._plan.digests]

    def start(self) -> None:
        """Open the files for appending. Raises `DiskTroubleError`."""
        try:
            self._results = Appender(self._files.results, self._mode)
        except OSError as error:
            raise disk_error(self._files.results, error) from None

    def is_open(self, file: int, line: int) -> bool:
        """Whether the row is neither answered nor finally failed."""
        return self._state[file][line - 1] == OPEN

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Record an answer. Raises `DiskTroubleError`."""
        assert self._results is not None
        assert self.is_open(file, line)
        self._results.append(data)
        self._state[file][line - 1] = ANSWERED
        self.answered += 1

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Record a failure. Raises `DiskTroubleError`."""
        assert self.is_open(file, line)
        if self._errors is None:  # made only when there is something to say
            try:
                self._errors = Appender(self._files.errors, self._mode)
            except OSError as error:
                raise disk_error(self._files.errors, error) from None
        self._errors.append(data)
        self._state[file][line - 1] = FAILED
        self.failed += 1

    def sync(self) -> None:
        """Bring everything to disk; may run in another thread. Raises `DiskTroubleError`."""
        for appender in (self._results, self._errors):
            if appender is not None:
                appender.sync()

    def close(self) -> None:
        """Sync and close. Raises `DiskTroubleError`."""
        for appender in (self._results, self._errors):
            if appender is not None:
                appender.close()


def cut_torn_line(path: Path) -> int:
    """Cut a last line without its newline; returns the bytes cut. Raises `OSError`."""
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


def parsed_lines(path: Path) -> Iterator[tuple[int, Any]]:
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


def rewrite_without(path: Path, out: Mapping[int, Appender | None]) -> None:
    """Take the lines at these offsets out of a file, in one step.

    Each goes to its appender, if it has one, and is on disk there before it is gone here. Raises
    `OSError`; the file is then as it was.
    """
    with path.open("rb") as old:
        mode = os.fstat(old.fileno()).st_mode & 0o777
        with replacing(path, mode) as new:
            offset = 0
            for line in old:
                if offset not in out:
                    new.write(line)
                elif (aside := out[offset]) is not None:
                    aside.append(line)
                offset += len(line)
            for aside in {id(one): one for one in out.values() if one is not None}.values():
                aside.sync()


def refuse_changes(repairs: Repairs, differences: Sequence[str]) -> None:
    """Raise `UsageError` when answered rows are no longer what they were."""
    if not repairs.changed:
        return
    what = _(" ({differences})").format(differences="; ".join(differences)) if differences else ""
    name, line = repairs.first_changed or ("", 0)
    text = plural(
        "{n} row that is already answered has changed{what}: {file} line {line}. ",
        "{n} rows that are already answered have changed{what}, the first at {file} line {line}. ",
        repairs.changed,
    ) + _(
        "Undo the change, or give --accept-changes to ask again what has changed, or --restart to "
        "ask everything anew (the old answers are kept under another name)."
    )
    raise UsageError(text.format(n=repairs.changed, what=what, file=name, line=line))
