"""What the store promises about the disk: full syncs, and no file beside the log of another."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from qchat.store import StoreError, open_store, opening

FULL = 2  # of PRAGMA synchronous


def test_every_commit_is_synced(tmp_path: Path) -> None:
    for _time in ("new", "opened again"):
        with opening.door(tmp_path):
            database = opening.open_database(tmp_path, time.time)
        with database.read() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == FULL
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            connection.close()


@pytest.fixture
def renames(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are renamed, in order."""
    names: list[str] = []
    for call in ("rename", "replace"):
        original = getattr(os, call)

        def rename(source: Any, target: Any, original: Any = original, **more: Any) -> None:
            names.append(Path(source).name)
            original(source, target, **more)

        monkeypatch.setattr(os, call, rename)
    return names


def damage(folder: Path) -> dict[str, bytes]:
    """A damaged file with a log."""
    contents = {"chats.db": b"damage " * 1000, "chats.db-wal": b"log " * 1000}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return contents


def test_the_log_is_renamed_before_the_file_that_it_belongs_to(
    tmp_path: Path, renames: list[str]
) -> None:
    contents = damage(tmp_path)
    with open_store(tmp_path) as store:
        assert store.aside is not None
        aside = store.aside.name
    order = [name for name in renames if name in contents]
    assert order == ["chats.db-wal", "chats.db"]
    assert (tmp_path / aside).read_bytes() == contents["chats.db"]
    assert (tmp_path / f"{aside}-wal").read_bytes() == contents["chats.db-wal"]


def test_put_back_the_log_comes_first_too(
    tmp_path: Path, renames: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = damage(tmp_path)

    def fail(_connection: sqlite3.Connection, _version: int) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(opening, "migrate", fail)
    with pytest.raises(StoreError):
        open_store(tmp_path)
    back = [name for name in renames if name.startswith("chats.damaged-")]
    assert back[0].endswith("-wal") and back[-1].endswith(".db")
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents
