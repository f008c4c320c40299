"""One writer at a time: `NAME.lock`."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import orjson

from ...errors import UsageError
from ...i18n import _

_NOT_SUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


class RunLock:
    """Holds `path` while entered. Raises `UsageError`, naming the holder, when it is held.

    The lock is `flock` on a file of its own, so a killed run leaves nothing locked. Where the
    file system has no `flock`, the file's existence decides, and `advisory` is False.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._who: dict[str, object] = {}
        self.advisory = True

    def __enter__(self) -> "RunLock":
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                fd = os.open(self._path, flags, 0o600)
            except OSError as error:
                text = _("{path} can't be used as a lock: {reason}.")
                raise UsageError(text.format(path=self._path, reason=error.strerror)) from None
            try:
                self._refuse_foreign(fd)
                self._take(fd)
                # The file may have been removed by its last holder between open and lock.
                if self._same(fd):
                    break
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        self._fd = fd
        self._who = {"host": socket.gethostname(), "pid": os.getpid(), "start": int(time.time())}
        os.ftruncate(fd, 0)
        self.tell({})
        return self

    def tell(self, more: Mapping[str, object]) -> None:
        """Write who holds the lock and `more` into the file, for others to read.

        One write of one line: who reads meanwhile takes the first line, and has the old one or
        the new one. What can't be written is left unsaid.
        """
        line = orjson.dumps({**self._who, **more}) + b"\n"
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, line, 0)
            os.ftruncate(self._fd, len(line))

    def _refuse_foreign(self, fd: int) -> None:
        if os.fstat(fd).st_size and "pid" not in _holder(fd):
            text = _("{path} is no lock of qchat's; move it away, or give another -o.")
            raise UsageError(text.format(path=self._path))

    def _take(self, fd: int) -> None:
        try:
            self._flock(fd)
        except BlockingIOError:
            raise UsageError(self._held(_holder(fd))) from None
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            self.advisory = False
            holder = _holder(fd)
            here = holder.get("host") == socket.gethostname()
            if holder and not (here and not _alive(int(str(holder.get("pid", 0))))):
                text = _("If it no longer runs, remove {path}.")
                raise UsageError(self._held(holder) + " " + text.format(path=self._path)) from None

    def _flock(self, fd: int) -> None:
        for attempt in range(10):  # who only looks (`is_held`) lets go at once
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt == 9:
                    raise
                time.sleep(0.02)
            else:
                break

    def _same(self, fd: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(fd), self._path.stat())
        return False

    def _held(self, holder: dict[str, object]) -> str:
        start = holder.get("start")
        since = time.strftime("%H:%M:%S", time.localtime(start)) if isinstance(start, int) else "?"
        text = _(
            "Another qchat (PID {pid} on {host}, since {since}) writes {name}; "
            "wait for it, stop it, or give another -o."
        )
        return text.format(
            pid=holder.get("pid", "?"),
            host=holder.get("host", "?"),
            since=since,
            name=self._path.with_suffix(".jsonl"),
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Removed while still locked: a waiter that opened it sees that it is another file now.
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def is_held(path: Path) -> bool:
    """Whether a run holds the lock at `path` now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no flock here: is the one that is named still there?
        holder = _holder(fd)
        away = holder.get("host") != socket.gethostname()
        return bool(holder) and (away or _alive(int(str(holder.get("pid", 0)))))
    finally:
        os.close(fd)
    return False


def holder_of(path: Path) -> dict[str, object]:
    """What the holder of the lock at `path` last told (see `RunLock.tell`); empty where there is
    nothing to read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return {}
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> dict[str, object]:
    # The holder writes its name right after locking; give it a moment.
    for _attempt in range(5):
        with contextlib.suppress(orjson.JSONDecodeError):
            who = orjson.loads(os.pread(fd, 1 << 16, 0).partition(b"\n")[0])
            if isinstance(who, dict):
                return who
        time.sleep(0.02)
    return {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
