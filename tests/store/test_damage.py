"""Damage, full disks, read-only folders, newer and foreign files: said clearly, nothing lost."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.errors import Exit
from qchat.store import Conversation, Store, StoreError, Trouble, open_store


def fill(folder: Path, texts: int = 30) -> Conversation:
    with open_store(folder) as store:
        chat = store.conversations.create(title="kept")
        for n in range(texts):
            store.messages.add(chat.id, "user", f"text {n} " + "x" * 500)
        return chat


def aside(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("chats.damaged-*.db"))


@pytest.mark.parametrize(
    "data", [b"not a database at all, but long enough to be looked at " * 40, b"\0" * 4096]
)
def test_what_is_no_database_is_set_aside(tmp_path: Path, data: bytes) -> None:
    fill(tmp_path)
    (tmp_path / "chats.db").write_bytes(data)
    with open_store(tmp_path) as store:
        assert store.conversations.list() == []
        (kept,) = aside(tmp_path)
        assert store.aside == kept
        assert store.notice is not None
        assert str(kept) in store.notice
        assert kept.read_bytes() == data
        store.conversations.create(title="new")
    with open_store(tmp_path) as store:
        assert store.notice is None
        assert [c.title for c in store.conversations.list()] == ["new"]


def test_damage_in_the_middle_is_set_aside_at_the_next_opening(tmp_path: Path) -> None:
    chat = fill(tmp_path)
    path = tmp_path / "chats.db"
    # Zeroes over the pages in the middle: the header and the schema still look well.
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        file.seek(pages // 2 * 4096)
        file.write(b"\xff" * (pages // 2 - 2) * 4096)
    for _attempt in range(2):  # met on the way, or at the first glance
        try:
            with open_store(tmp_path) as store:
                if store.aside:
                    break
                store.messages.bodies(n.id for n in store.messages.path(chat.id))
        except StoreError as e:
            assert e.trouble is Trouble.DAMAGED
            assert e.exit_code == Exit.ENGINE
    else:
        pytest.fail("the damage was never said")
    assert len(aside(tmp_path)) == 1


def test_a_suspicion_that_is_wrong_harms_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "chats.db-suspect").touch()
    with open_store(tmp_path) as store:
        assert store.aside is None
        assert len(store.conversations.list()) == 1
    assert not (tmp_path / "chats.db-suspect").exists()


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    chat = fill(tmp_path)
    with sqlite3.connect(tmp_path / "chats.db") as c:
        c.execute("DELETE FROM message_text_data WHERE id > 10")  # its pages of words
    c.close()
    with open_store(tmp_path) as store, pytest.raises(StoreError) as caught:
        store.search("text")
    assert caught.value.trouble is Trouble.DAMAGED
    with open_store(tmp_path) as store:
        assert store.aside is None
        assert len(store.search("text")) == len(store.messages.path(chat.id)) == 30
        assert len(store.search("kept")) == 1


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    with sqlite3.connect(tmp_path / "chats.db") as c:
        c.execute("PRAGMA user_version = 99")
    c.close()
    before = (tmp_path / "chats.db").read_bytes()
    with pytest.raises(StoreError, match=r"newer qchat \(format 99") as caught:
        open_store(tmp_path)
    assert caught.value.exit_code == Exit.USAGE
    assert (tmp_path / "chats.db").read_bytes() == before


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "chats.db") as c:
        c.execute("CREATE TABLE t (x)")
    c.close()
    with pytest.raises(StoreError, match="another program"):
        open_store(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def write_until_full(store: Store, chat: str) -> int:
    stored = 0
    with pytest.raises(StoreError) as caught:
        for n in range(1000):
            store.messages.add(chat, "user", f"{n} " + "words " * 2000)
            stored += 1
    assert caught.value.trouble is Trouble.FULL
    assert caught.value.exit_code == Exit.ENGINE
    assert "full" in str(caught.value)
    return stored


def test_a_full_disk_is_said_and_costs_nothing_that_was_stored(disk: Path) -> None:
    store = open_store(disk)
    chat = store.conversations.create(title="kept").id
    stored = write_until_full(store, chat)
    assert stored > 3
    assert len(store.messages.path(chat)) == stored
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    store.messages.add(chat, "user", "room again")
    store.close()
    with open_store(disk) as store:
        assert store.aside is None
        assert len(store.messages.path(chat)) == stored + 1


def test_opening_on_a_full_disk_says_so(disk: Path) -> None:
    chat = fill(disk, 3)
    ballast = disk / "ballast"
    with pytest.raises(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(StoreError) as caught:
        open_store(disk)
    assert caught.value.trouble is Trouble.FULL
    ballast.unlink()
    with open_store(disk) as store:
        assert len(store.messages.path(chat.id)) == 3


def test_a_read_only_folder_is_said(disk: Path) -> None:
    chat = fill(disk, 3)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StoreError) as caught:
        open_store(disk)
    assert caught.value.trouble is Trouble.READ_ONLY
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    with open_store(disk) as store:
        assert len(store.messages.path(chat.id)) == 3


def test_what_is_written_after_the_file_was_set_aside_is_refused(tmp_path: Path) -> None:
    chat = fill(tmp_path)
    with open_store(tmp_path) as living:
        path = tmp_path / "chats.db"
        with path.open("r+b") as file:
            file.write(b"x" * 100)
        with open_store(tmp_path) as fresh:
            assert fresh.aside is not None
            with pytest.raises(StoreError, match="start qchat again") as caught:
                living.messages.add(chat.id, "user", "typed later")
            assert caught.value.trouble is Trouble.DAMAGED
            fresh.conversations.create(title="goes on")
