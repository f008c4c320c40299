"""The lock of one server: its supervisor holds it while it lives, and stands in it by name.

A process id means something on one machine, in one namespace of ids, and until it is used again.
So the file says all of that, and who reads it signals no process but the one that is meant.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

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


@contextlib.contextmanager
def held(path: Path, *, named: bool, patience: float = locks.PATIENCE) -> Iterator[None]:
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
        raise EngineError(text.format(file=path, why=error.strerror)) from error
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        return locks.is_locked(path)
    except OSError:
        return False


def holder(path: Path) -> LockHolder | None:
    """Who holds the lock, or held it last; None where nobody stands in it."""
    try:
        return LockHolder(**locks.read_record(path))  # type: ignore[arg-type]
    except TypeError:
        return None
