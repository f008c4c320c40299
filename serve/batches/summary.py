"""How many batches a server has, for commands: read from the store, without the service."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ... import locks
from .objects import IN_PROGRESS, OPEN
from .run_files import LOCK

_BUSY = 0.1  # seconds to wait for a write of the service


@dataclass(frozen=True, slots=True)
class BatchesSummary:
    """The batches that have not ended: those that run, those that wait or are checked, and the
    requests of the running ones."""

    running: int = 0
    queued: int = 0
    done: int = 0
    total: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the values by name."""
        return asdict(self)


def summarise(folder: Path) -> BatchesSummary | None:
    """Return how many batches there are in the folder of a server; None without a Batch API."""
    path = folder / "batches.sqlite"
    if not path.exists():
        return None
    running = queued = done = total = 0
    try:
        for batch_id, status, rows, finished in _open_batches(path):
            if status == IN_PROGRESS and _runs(folder / "runs" / batch_id / LOCK):
                running += 1
                done += finished
                total += rows
            else:
                queued += 1
    except sqlite3.Error:
        return None
    return BatchesSummary(running, queued, done, total)


def _open_batches(path: Path) -> Iterator[tuple[str, str, int, int]]:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY)
    with contextlib.closing(database):
        marks = ", ".join("?" * len(OPEN))
        yield from database.execute(
            f"SELECT id, status, total, completed + failed FROM batches WHERE status IN ({marks})",  # noqa: S608 - question marks
            OPEN,
        ).fetchall()


def _runs(lock: Path) -> bool:
    try:
        return locks.is_locked(lock)
    except OSError:
        return False
