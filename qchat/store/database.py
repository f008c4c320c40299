"""One SQLite connection that several threads may use, and errors in words."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..i18n import _
from .errors import StoreError, StoreProblem, explained, problem_of

Clock = Callable[[], float]


class Database:
    """A connection with its lock; every use goes through `read` or `write`."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, clock: Clock = time.time
    ) -> None:
        self.path = path
        self._clock = clock
        self._connection = connection
        self._lock = threading.RLock()
        self._file = _identity(path)

    def now(self) -> int:
        """Milliseconds since 1970."""
        return round(self._clock() * 1000)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, for statements that only read. Raises `StoreError`."""
        with self._lock, self._explained():
            yield self._connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction: committed to disk at the end, or rolled back.

        A nested `write` is part of the outer one. Raises `StoreError`, also where the file is not
        the one that was opened: writes to a file that was set aside would be lost.
        """
        with self._lock, self._explained():
            connection = self._connection
            if connection.in_transaction:
                yield connection
                return
            if _identity(self.path) != self._file:
                text = _("{path} was set aside or replaced by another program; start qchat again.")
                raise StoreError(StoreProblem.DAMAGED, text.format(path=self.path))
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection. It may be closed twice."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            if problem_of(e) is StoreProblem.DAMAGED:
                suspect(self.path)
            raise explained(e, self.path) from e
        except MemoryError as e:  # what SQLite says of some damaged indexes, too
            suspect(self.path)
            raise StoreError(
                StoreProblem.OTHER,
                _("There was not enough memory to read {path}.").format(path=self.path),
            ) from e


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file; to open it would drop SQLite's own locks."""
    try:
        stats = path.stat()
    except OSError:
        return None
    return stats.st_dev, stats.st_ino


def suspect(path: Path) -> None:
    """Mark the file, so that the next opening checks all of it."""
    with suppress(OSError):  # a full disk: the next process that meets the damage marks it
        suspicion(path).touch(mode=0o600)


def suspicion(path: Path) -> Path:
    """The file that marks it (see `suspect`)."""
    return path.with_name(f"{path.name}-suspect")


def unknown(message: str) -> StoreError:
    """The error for an id that names nothing."""
    return StoreError(StoreProblem.UNKNOWN, message)
