"""Exclusive locks on files.

A lock is an `flock` on a file that is kept open, so the kernel releases it however the process
ends. Some file systems have no `flock`, such as Lustre without its mount option. There the record
in the file decides: it names the host, the process id and the start of the process, and the lock is
held for as long as that process runs. A process on another host counts as running.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .processes import alive

Record = dict[str, object]

PATIENCE = 0.2  # seconds: `is_locked` holds a shared lock for a moment

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_CONFIRM = 0.02  # seconds that a process needs at most between reading a free file and claiming it


class FileLock:
    """An exclusive lock on the file `path`, which is made where it is missing.

    `record` says who holds it where the file system has no `flock` (`supported` is then False);
    with keys of its own it must have `host` and `pid`, and may have `began` (see `process_start`).
    The file is removed on release with `remove`.
    """

    def __init__(
        self, path: Path, *, record: Mapping[str, object] | None = None, remove: bool = False
    ) -> None:
        self.path = path
        self.supported = True
        self._record: Record = _own_record() if record is None else dict(record)
        self._remove = remove
        self._fd = -1

    def acquire(self, patience: float = PATIENCE) -> None:
        """Take the lock. Raises `BlockingIOError` where another holds it for `patience` seconds,
        any other `OSError` where the file can't be opened or written."""
        deadline = time.monotonic() + patience
        while not self._try_acquire():
            if time.monotonic() >= deadline:
                raise BlockingIOError(
                    errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(self.path)
                )
            time.sleep(0.01)

    def _try_acquire(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path, flags, 0o600)
        try:
            self.supported = _flock(fd, fcntl.LOCK_EX)
            acquired = self.supported or _claim(fd, self._record)
            # The file may have been removed by its last holder between opening and locking.
            if acquired and _is_open_at(fd, self.path):
                self._fd = fd
        except BlockingIOError:
            pass
        finally:
            if self._fd != fd:
                os.close(fd)
        return self._fd == fd

    def write(self, record: Mapping[str, object]) -> None:
        """Write a record into the file, for `read_record`. Raises `OSError`."""
        _write(self._fd, record)

    def is_in_place(self) -> bool:
        """Return whether the file at `path` is still the one that is locked: somebody may have
        removed it, and a new one would lock nobody out."""
        return self._fd >= 0 and _is_open_at(self._fd, self.path)

    def release(self) -> None:
        """Release the lock; nothing happens where it is not held."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        with contextlib.suppress(OSError):
            # While it is locked: who opened it before sees that it is another file now.
            if self._remove:
                self.path.unlink(missing_ok=True)
            elif not self.supported:
                os.ftruncate(fd, 0)
        os.close(fd)

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at `path`. Raises `OSError` where that can't be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two processes that look do not see each other.
        return not _flock(fd, fcntl.LOCK_SH) and _runs(_read(fd))
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def read_record(path: Path, patience: float = 0.0) -> Record:
    """The record in the lock file at `path`; empty where there is none.

    A new holder writes it right after locking: an empty file is read again for `patience` seconds.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return {}
    deadline = time.monotonic() + patience
    try:
        while not (record := _read(fd)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return record
    except OSError:
        return {}
    finally:
        os.close(fd)


def is_foreign(path: Path) -> bool:
    """Whether the file at `path` holds anything but a record of a lock's holder."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return os.fstat(fd).st_size > 0 and "pid" not in _read(fd)
    except OSError:
        return False
    finally:
        os.close(fd)


def flock_holder(path: Path) -> int | None:
    """Return the process that holds an `flock` on `path`, from /proc/locks; None where that is
    unknown. For a lock file whose record is lost."""
    try:
        status = path.stat()
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        words = line.split()  # proc_locks(5); "->" marks a process that waits
        if words[1:2] == ["FLOCK"] and words[3:4] == ["WRITE"] and words[5:6] == [inode]:
            return int(words[4]) if int(words[4]) > 0 else None
    return None


def process_start(pid: int) -> int:
    """When the process began, in ticks since the machine's start; 0 where that is unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return int(stat.rpartition(")")[2].split()[19])  # starttime of proc_pid_stat(5)
    except (OSError, ValueError, IndexError):
        return 0


def _own_record() -> Record:
    pid = os.getpid()
    # The token tells apart two locks of one process.
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "began": process_start(pid),
        "token": secrets.token_hex(4),
    }


def _flock(fd: int, operation: int) -> bool:
    """Lock without waiting; False where the file system can't. Raises `OSError`."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def _claim(fd: int, record: Record) -> bool:
    if _runs(_read(fd)):
        return False
    _write(fd, record)
    time.sleep(_CONFIRM)  # of two that found it free at once, the one that wrote last has it
    return _read(fd) == record


def _runs(record: Record) -> bool:
    """Whether the process of a record runs; in doubt it does."""
    pid = record.get("pid")
    if not isinstance(pid, int):
        return False
    if record.get("host") != socket.gethostname():
        return True
    began = record.get("began", 0)
    return bool(alive([pid])) and began in (0, process_start(pid))


def _read(fd: int) -> Record:
    with contextlib.suppress(ValueError):
        record = json.loads(os.pread(fd, 1 << 16, 0).partition(b"\n")[0])
        if isinstance(record, dict):
            return record
    return {}


def _write(fd: int, record: Mapping[str, object]) -> None:
    # One write of one line: a reader takes the first line, and has the old one or the new one.
    line = json.dumps(record).encode() + b"\n"
    os.pwrite(fd, line, 0)
    os.ftruncate(fd, len(line))


def _is_open_at(fd: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False
