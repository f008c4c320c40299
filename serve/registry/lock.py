"""The lock of one server: its supervisor holds it while it lives, and stands in it by name.

A process id means something on one machine, in one namespace of ids, and until it is used again.
So the file says all of that, and who reads it signals no process but the one that is meant.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ... import locks
from ...errors import EngineError
from ...i18n import _
from ...locks import process_start
from ...settings import private_dir


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process: its id, when it began (ticks since the machine's start), the machine, the start
    of the machine, and the namespace of its id. Without /proc only id and machine are known."""

    pid: int
    began: int
    host: str
    boot: str
    space: str

    @classmethod
    def me(cls) -> "LockHolder":
        """This process."""
        boot = space = ""
        with contextlib.suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            space = str(Path("/proc/self/ns/pid").readlink())
        return cls(os.getpid(), process_start(os.getpid()), socket.gethostname(), boot, space)

    @classmethod
    def of(cls, pid: int) -> "LockHolder":
        """The process `pid` of this machine."""
        me = cls.me()
        return cls(pid, process_start(pid), me.host, me.boot, me.space)

    @property
    def is_near(self) -> bool:
        """Whether its lock can be relied on here: it is of this machine, maybe of a container on
        it. A lock in a folder that two machines share may hold for one of them alone."""
        me = LockHolder.me()
        return self.host == me.host or (self.boot == me.boot != "")

    @property
    def is_here(self) -> bool:
        """Whether its id means the same process here."""
        me = LockHolder.me()
        same = (self.boot, self.space) == (me.boot, me.space)
        return same and (me.boot != "" or self.host == me.host)

    def signal(self, signum: int) -> bool:
        """Send it a signal, where it still is that process; whether its id is one of this place."""
        if not self.is_here:
            return False
        if process_start(self.pid) == self.began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)
        return True


class ServerLock:
    """A lock that this process holds, with what stands in its file."""

    def __init__(self, lock: locks.FileLock, text: dict[str, Any]) -> None:
        """`lock` is held; `text` says by whom."""
        self._lock = lock
        self._text = text

    def describe(self, server: Mapping[str, Any]) -> None:
        """Write what is held into the file, as a copy for a reader without a record."""
        self._text = {**self._text, "server": dict(server)}
        with contextlib.suppress(OSError):
            self._lock.write(self._text)

    def keep(self) -> None:
        """Restore the file where it was removed or overwritten, as far as possible."""
        with contextlib.suppress(OSError):
            if not self._lock.is_in_place():
                lock = locks.FileLock(self._lock.path, record=self._text)
                lock.acquire(0.0)
                lock.write(self._text)
                self._lock.release()
                self._lock = lock
            elif locks.read_record(self._lock.path) != self._text:
                self._lock.write(self._text)

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()


@contextlib.contextmanager
def held(path: Path, *, named: bool, patience: float = locks.PATIENCE) -> Iterator[ServerLock]:
    """Hold the lock; with `named` this process is the `holder`. Raises `BlockingIOError` where
    another holds it for `patience` seconds, `EngineError` where it can't be written."""
    private_dir(path.parent)
    record = asdict(LockHolder.me()) if named else None
    lock = locks.FileLock(path, record=record)
    try:
        lock.acquire(patience)
        if record is not None:
            lock.write(record)
    except BlockingIOError:
        raise
    except OSError as error:
        lock.release()
        text = _("Can't write {file}, which says what runs: {why}.")
        raise EngineError(text.format(file=path, why=_(error.strerror))) from error
    server_lock = ServerLock(lock, record or {})
    try:
        yield server_lock
    finally:
        server_lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        return locks.is_locked(path)
    except OSError:
        return False


def holder(path: Path) -> LockHolder | None:
    """Who holds the lock, or held it last; None where nobody stands in it and none is known."""
    record = locks.read_record(path)
    try:
        return LockHolder(**{field.name: record[field.name] for field in fields(LockHolder)})  # type: ignore[arg-type]
    except KeyError:
        pid = locks.flock_holder(path)
        return None if pid is None else LockHolder.of(pid)


def description(path: Path) -> dict[str, Any]:
    """Return what the holder has written about its server; empty where there is nothing."""
    server = locks.read_record(path).get("server")
    return server if isinstance(server, dict) else {}
