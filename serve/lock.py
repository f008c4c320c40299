"""The lock of one server: its supervisor holds it while it lives, and stands in it by name.

A process id means something on one machine, in one namespace of ids, and until it is used again.
So the file says all of that, and who reads it signals no process but the one that is meant.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import EngineError
from ..i18n import _
from ..settings import private_dir

_AGAIN = 0.2  # seconds: who only looks lets go at once


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
        return cls(os.getpid(), _began(os.getpid()), socket.gethostname(), boot, space)

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
        if _began(self.pid) == self.began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)
        return True


def _began(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


@contextlib.contextmanager
def held(path: Path, *, named: bool, patience: float = _AGAIN) -> Iterator[None]:
    """Hold the lock; with `named` this process stands in it. Raises `BlockingIOError` where another
    holds it for `patience` seconds, `EngineError` where it can't be written."""
    private_dir(path.parent)
    with _explained(path):
        # Not inherited: a server that outlived its supervisor must not look alive.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with _explained(path):
            _take(descriptor, patience)
            if named:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps(asdict(LockHolder.me())).encode())
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        text = _("Can't write {file}, which says what runs: {why}.")
        raise EngineError(text.format(file=path, why=error.strerror)) from error


def _take(descriptor: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def is_held(path: Path) -> bool:
    """Whether somebody holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two that look are not in the way
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(path: Path) -> LockHolder | None:
    """Who holds the lock, or held it last; None where nobody stands in it."""
    try:
        return LockHolder(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
