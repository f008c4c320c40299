"""Which process is writing an answer, and whether it still runs.

A process that writes answers holds the lock of a file of its own for as long as it runs. So no
process id can be mistaken for a later one, and a pause of any length is not taken for the end.
"""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from ..locks import FileLock, is_locked
from ..settings import private_dir

_PATIENCE = 5.0  # seconds: another process may be looking at the new file (see `sweep`)


class Writer:
    """The name and the lock of this store; the file is made when `name` is first called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name: str | None = None
        self._lock: FileLock | None = None

    def name(self) -> str:
        """The name under which answers are written. Raises `OSError`, `UsageError`."""
        if self._name is None:
            private_dir(self._folder)
            name = secrets.token_hex(8)
            self._lock = FileLock(_path(self._folder, name), remove=True)
            self._lock.acquire(_PATIENCE)
            self._name = name
        return self._name

    @property
    def used_name(self) -> str | None:
        """The name, where `name` was called before."""
        return self._name

    def close(self) -> None:
        """Release the lock. Answers that still carry the name are then left-overs."""
        if self._lock is not None:
            self._name = None
            self._lock.release()


class UnsharedWriter(Writer):
    """The writer of a store that no other process sees: it needs no lock."""

    def __init__(self) -> None:
        super().__init__(Path())

    def name(self) -> str:
        """The name under which answers are written."""
        if self._name is None:
            self._name = secrets.token_hex(8)
        return self._name


def is_dead(folder: Path, name: str) -> bool:
    """Whether the process of this name has ended; in doubt it has not."""
    try:
        return not is_locked(_path(folder, name))
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Remove the files of dead writers. Call it when no answer carries their names any more."""
    for name in list(_names(folder)):
        lock = FileLock(_path(folder, name), remove=True)
        with contextlib.suppress(OSError):
            lock.acquire(patience=0.0)
            lock.release()


def _names(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from (path.stem for path in folder.glob("*.lock"))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
