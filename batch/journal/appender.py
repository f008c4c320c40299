"""Files of lines: appended to by one writer, whole lines only, and read back."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from ...errors import EngineError
from ...files import sync, sync_folder, write_all
from ...i18n import _
from ..background import WorkCounter


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
        """Make all appended lines durable, and check that the file is still where it was.

        Raises `DiskTroubleError`, from then on every time: after a failed sync the system may have
        dropped the pages.
        """
        with self._sync_lock:
            if self._failure is not None:
                raise self._failure
            if self._fd < 0:
                return
            self._check_file()
            if not self._dirty:
                return
            self._dirty = False  # before the sync: a line appended during it needs the next one
            try:
                sync(self._fd)
            except OSError as error:
                self._failure = disk_error(self.path, error)
                raise self._failure from None

    def _check_file(self) -> None:
        """Raise `DiskTroubleError` for a file that was deleted, replaced or shortened."""
        size = self._size  # before the look: lines may be appended meanwhile
        try:
            status, there = os.fstat(self._fd), os.stat(self.path)  # noqa: PTH116
        except FileNotFoundError:
            text = _("{path} was deleted while the run was writing it. {advice}")
        except OSError as error:
            self._failure = disk_error(self.path, error)
            raise self._failure from None
        else:
            if (status.st_dev, status.st_ino) != (there.st_dev, there.st_ino):
                text = _(
                    "{path} was replaced by another file while the run was writing it. {advice}"
                )
            elif status.st_size < size:
                text = _("{path} was shortened while the run was writing it. {advice}")
            else:
                return
        advice = _(
            "What was answered since then is lost. Put the file back if you have it, and run the "
            "same command again: rows without an answer in it are asked."
        )
        self._failure = DiskTroubleError(text.format(path=self.path, advice=advice))
        raise self._failure

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
    return DiskTroubleError(text.format(path=path, reason=_(error.strerror)))


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
