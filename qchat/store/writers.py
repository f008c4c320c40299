"""Who is writing an answer, and whether that process still lives.

A process that writes holds an flock on a file of its own for as long as it lives; the kernel
lets go of it however the process ends. So no process id can be mistaken for a later one, and a
pause of any length is no death.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ..settings import private_dir


class Writer:
    """This store's own name and lock; the file is made when the name is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: tuple[str, int] | None = None

    def name(self) -> str:
        """The name under which answers are being written. Raises `OSError`, `UsageError`."""
        if self._held is None:
            private_dir(self._folder)
            self._held = self._take()
        return self._held[0]

    @property
    def known(self) -> str | None:
        """The name, where one was needed so far."""
        return None if self._held is None else self._held[0]

    def close(self) -> None:
        """Let go. Answers still marked as this writer's are then left-overs."""
        if self._held is not None:
            name, fd = self._held
            self._held = None
            with contextlib.suppress(OSError):
                _path(self._folder, name).unlink()
            os.close(fd)

    def _take(self) -> tuple[str, int]:
        while True:
            name = secrets.token_hex(8)
            path = _path(self._folder, name)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                # Another process may have found the file between the two calls above, taken it
                # for a left-over and removed it.
                if os.fstat(fd).st_nlink:
                    return name, fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)


def is_dead(folder: Path, name: str) -> bool:
    """Whether the process of this name has ended; in doubt it lives."""
    try:
        fd = os.open(_path(folder, name), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(fd)


def sweep(folder: Path) -> None:
    """Remove the files of dead writers. Call it when no answer is marked as theirs any more."""
    for name in list(_names(folder)):
        path = _path(folder, name)
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(fd)


def _names(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from (path.stem for path in folder.glob("*.lock"))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
