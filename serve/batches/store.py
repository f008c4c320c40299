"""Files and batches in SQLite, and the folder with the files' contents.

The database is the truth: a content without a row is what a crash has left, and is swept. Every
change is one transaction that is on disk when the call returns.

A file is `deleted` 1 as long as an open batch needs its content, then 2: its id alone is kept for a
while, since a client that deletes what it lists goes on from there.
"""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...files import sync_folder
from ...settings import private_dir
from .objects import ENDED, OPEN, StoredBatch, StoredFile

_VERSION = 1
_KEPT_IDS = 10_000  # of deleted files
_JSON = ("metadata", "errors")
_FILE = [field.name for field in fields(StoredFile)]
_BATCH = [field.name for field in fields(StoredBatch)]
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS files (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, deleted INTEGER NOT NULL DEFAULT 0,
  id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, {", ".join(_FILE[2:])}
);
CREATE TABLE IF NOT EXISTS batches (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, {", ".join(_BATCH[2:])}
);
CREATE INDEX IF NOT EXISTS files_of ON files (owner, seq);
CREATE INDEX IF NOT EXISTS batches_of ON batches (owner, seq);
CREATE INDEX IF NOT EXISTS batches_in ON batches (status, seq);
PRAGMA user_version = {_VERSION};
"""


_THERE = "NOT deleted AND (expires_at IS NULL OR expires_at > ?)"


class StoreVersionError(Exception):
    """The database was written by a later version of qchat."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `limit` items after the item `after`, newest first unless
    `ascending`."""

    limit: int
    after: str | None = None
    ascending: bool = False


class BatchStore:
    """The files and batches of one server, for one process at a time."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Open or create the store in `folder`. Raises `StoreVersionError`, `sqlite3.Error`,
        `OSError`, `UsageError`."""
        self._clock = clock
        self.folder = private_dir(folder)
        self.contents = private_dir(folder / "files")
        self.runs = private_dir(folder / "runs")
        path = folder / "batches.sqlite"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA busy_timeout = 5000")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StoreVersionError(str(path))
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # Files.

    def content(self, file_id: str) -> Path:
        """Return the path of a file's content. `file_id` is an id of ours."""
        return self.contents / f"{file_id}.jsonl"

    def add_file(self, file: StoredFile) -> None:
        """Add a file whose content is in place."""
        self._insert("files", file, _FILE)

    def file(self, owner: str, file_id: str) -> StoredFile | None:
        """Return a file of an owner; None where there is none."""
        row = self._db.execute(
            f"SELECT * FROM files WHERE owner = ? AND id = ? AND {_THERE}",
            (owner, file_id, self._clock()),
        ).fetchone()
        return None if row is None else _file(row)

    def files(
        self, owner: str, page: Page, purpose: str | None
    ) -> tuple[list[StoredFile], bool] | None:
        """Return a part of an owner's files, and whether there are more; None where
        `page.after` is no file of theirs."""
        where = _THERE
        values: list[Any] = [self._clock()]
        if purpose is not None:
            where, values = f"{where} AND purpose = ?", [*values, purpose]
        rows = self._page("files", owner, page, where, values)
        if rows is None:
            return None
        return [_file(row) for row in rows[: page.limit]], len(rows) > page.limit

    def delete_file(self, owner: str, file_id: str) -> bool:
        """Delete a file; its content goes when no open batch needs it. Return whether it was
        there."""
        changed = self._db.execute(
            f"UPDATE files SET deleted = 1 WHERE owner = ? AND id = ? AND {_THERE}",
            (owner, file_id, self._clock()),
        ).rowcount
        self.collect()
        return changed > 0

    def used_bytes(self, owner: str) -> int:
        """Return the bytes of all contents of an owner that are on disk."""
        (total,) = self._db.execute(
            "SELECT coalesce(sum(bytes), 0) FROM files WHERE owner = ?", (owner,)
        ).fetchone()
        return int(total)

    def count_files(self, owner: str) -> int:
        """Return the number of an owner's files."""
        (n,) = self._db.execute(
            "SELECT count(*) FROM files WHERE owner = ? AND deleted < 2", (owner,)
        ).fetchone()
        return int(n)

    def expire_files(self, now: int, retention: float) -> None:
        """Delete the files whose time is over."""
        self._db.execute(
            "UPDATE files SET deleted = 1 WHERE NOT deleted AND"
            " (expires_at <= ? OR created_at <= ?) AND id NOT IN"
            f" (SELECT input_file_id FROM batches WHERE status IN {_marks(OPEN)})",
            (now, now - int(retention), *OPEN),
        )
        self._db.execute(
            f"DELETE FROM batches WHERE status IN {_marks(ENDED)} AND coalesce(completed_at,"
            " failed_at, expired_at, cancelled_at, created_at) <= ?",
            (*ENDED, now - int(retention)),
        )
        self.collect()

    def collect(self) -> None:
        """Remove the contents of deleted files that no open batch needs."""
        rows = self._db.execute(
            "SELECT id FROM files WHERE deleted = 1 AND id NOT IN"
            f" (SELECT input_file_id FROM batches WHERE status IN {_marks(OPEN)})",
            OPEN,
        ).fetchall()
        for row in rows:
            self.content(row["id"]).unlink(missing_ok=True)
            self._db.execute(
                "UPDATE files SET deleted = 2, name = '', bytes = 0 WHERE id = ?", (row["id"],)
            )
        if rows:
            sync_folder(self.contents)
            self._db.execute(
                "DELETE FROM files WHERE deleted = 2 AND seq <= (SELECT seq FROM files"
                " WHERE deleted = 2 ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (_KEPT_IDS,),
            )

    def sweep(self) -> None:
        """Remove contents without a file: uploads that a crash has cut off."""
        known = {row["id"] for row in self._db.execute("SELECT id FROM files WHERE deleted < 2")}
        for path in self.contents.iterdir():
            if path.name.removesuffix(".jsonl") not in known:
                with contextlib.suppress(OSError):
                    path.unlink()

    # Batches.

    def add_batch(self, batch: StoredBatch) -> None:
        """Add a batch."""
        self._insert("batches", batch, _BATCH)

    def batch(self, owner: str, batch_id: str) -> StoredBatch | None:
        """Return a batch of an owner; None where there is none."""
        row = self._db.execute(
            "SELECT * FROM batches WHERE owner = ? AND id = ?", (owner, batch_id)
        ).fetchone()
        return None if row is None else _batch(row)

    def batches(self, owner: str, page: Page) -> tuple[list[StoredBatch], bool] | None:
        """Return a part of an owner's batches, and whether there are more; None where
        `page.after` is no batch of theirs."""
        rows = self._page("batches", owner, page, "1", [])
        if rows is None:
            return None
        return [_batch(row) for row in rows[: page.limit]], len(rows) > page.limit

    def open_batches(self) -> list[StoredBatch]:
        """Return all batches that have not ended, the oldest first."""
        rows = self._db.execute(
            f"SELECT * FROM batches WHERE status IN {_marks(OPEN)} ORDER BY seq", OPEN
        )
        return [_batch(row) for row in rows]

    def count_open(self, owner: str) -> int:
        """Return the number of an owner's batches that have not ended."""
        (n,) = self._db.execute(
            f"SELECT count(*) FROM batches WHERE owner = ? AND status IN {_marks(OPEN)}",
            (owner, *OPEN),
        ).fetchone()
        return int(n)

    def change(
        self, batch_id: str, expected: Iterable[str], files: Sequence[StoredFile] = (), **new: Any
    ) -> bool:
        """Change a batch that is in one of the `expected` states, and add `files`, in one step.
        Return whether that was done."""
        states = tuple(expected)
        names = ", ".join(f"{name} = ?" for name in new)
        values = [json.dumps(v) if k in _JSON else v for k, v in new.items()]
        with self._transaction():
            changed = self._db.execute(
                f"UPDATE batches SET {names} WHERE id = ? AND status IN {_marks(states)}",
                (*values, batch_id, *states),
            ).rowcount
            if changed:
                for file in files:
                    self._insert("files", file, _FILE)
        return changed > 0

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _insert(self, table: str, item: StoredFile | StoredBatch, names: Sequence[str]) -> None:
        values = [getattr(item, name) for name in names]
        values = [json.dumps(v) if n in _JSON else v for n, v in zip(names, values, strict=True)]
        self._db.execute(
            f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES {_marks(names)}", values
        )

    def _page(
        self, table: str, owner: str, page: Page, where: str, values: Sequence[Any]
    ) -> list[sqlite3.Row] | None:
        """Return the rows of a page, and one more where there is one."""
        order, compare = ("ASC", ">") if page.ascending else ("DESC", "<")
        bound: tuple[Any, ...] = ()
        if page.after is not None:
            row = self._db.execute(
                f"SELECT seq FROM {table} WHERE owner = ? AND id = ?", (owner, page.after)
            ).fetchone()
            if row is None:
                return None
            where, bound = f"{where} AND seq {compare} ?", (row["seq"],)
        return self._db.execute(
            f"SELECT * FROM {table} WHERE owner = ? AND {where} ORDER BY seq {order} LIMIT ?",
            (owner, *values, *bound, page.limit + 1),
        ).fetchall()


def _marks(values: Sequence[object]) -> str:
    return f"({', '.join('?' * len(values))})"


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(**{name: row[name] for name in _FILE})


def _batch(row: sqlite3.Row) -> StoredBatch:
    values = {name: row[name] for name in _BATCH}
    return StoredBatch(**values | {name: json.loads(values[name]) for name in _JSON})
