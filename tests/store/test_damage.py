"""Damage, full disks, read-only folders, newer and foreign files: said clearly, nothing lost."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qchat.errors import Exit, QchatError
from qchat.store import (
    MessageState,
    Store,
    StoredConversation,
    StoreError,
    StoreProblem,
    open_store,
    salvage,
)


def fill(folder: Path, texts: int = 30) -> StoredConversation:
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
        (damaged,) = aside(tmp_path)
        assert store.aside == damaged
        assert store.notice is not None
        assert str(damaged) in store.notice
        assert damaged.read_bytes() == data
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
            assert e.problem is StoreProblem.DAMAGED
            assert e.exit_code == Exit.ENGINE
    else:
        pytest.fail("the damage was never said")
    assert len(aside(tmp_path)) == 1


def spoil(path: Path, *pages: int) -> None:
    """Zeroes over pages, counted from 0, as `dd` would write them."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * 4096)
            file.write(bytes(4096))
    path.with_name("chats.db-suspect").touch()


def pages_with(path: Path, text: bytes) -> list[int]:
    data = path.read_bytes()
    return [at // 4096 for at in range(0, len(data), 4096) if text in data[at : at + 4096]]


def test_what_can_be_read_of_a_damaged_file_is_brought_back(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    with open_store(tmp_path) as store:
        chat = store.conversations.create(title="天空", system="Be short.")
        for n in range(60):
            question = store.messages.add(chat.id, "user", f"question {n}. " + "x" * 500)
        first = store.messages.begin(chat.id, model="demo")
        store.messages.finish(first.id, MessageState.STOPPED, "A long answer " + "y" * 9000, "hm")
        other = store.messages.begin(chat.id, parent=question.id, model="demo")
        store.messages.finish(other.id, MessageState.COMPLETE, "Light scatters.")
        gone = store.conversations.create(title="deleted")
        store.conversations.delete(gone.id)
    (lost,) = pages_with(path, b"question 30.")
    spoil(path, lost)
    with open_store(tmp_path) as store:
        survivors = store.messages.bodies(node.id for node in store.messages.path(chat.id))
        assert store.notice is not None
        assert "2 conversations could be read" in store.notice
        assert str(store.aside) in store.notice
        again = store.conversations.get(chat.id)
        assert (again.title, again.system) == ("天空", "Be short.")
        assert [m.content for m in survivors][::60][0].startswith("question 0.")
        assert 50 < len(survivors) < 61
        assert survivors[-1].content == "Light scatters."
        tree = store.messages.tree(chat.id)
        assert [node.siblings for node in tree][-2:] == [2, 2]
        (answer,) = store.messages.bodies([tree[-2].id])
        assert (answer.state, answer.reasoning) == (MessageState.STOPPED, "hm")
        assert len(answer.content) == 9014
        assert len(store.search("question 59")) == 1
        assert [c.id for c in store.conversations.list(deleted=True)] == [gone.id]
    with open_store(tmp_path) as store:
        assert store.notice is None


def test_without_its_first_page_a_file_is_read_all_the_same(tmp_path: Path) -> None:
    chat = fill(tmp_path)
    spoil(tmp_path / "chats.db", 0)
    with open_store(tmp_path) as store:
        assert store.aside is not None
        assert len(store.messages.path(chat.id)) == 30
        assert store.aside.read_bytes()[:4096] == bytes(4096)  # it stays as it was


def test_messages_without_their_conversation_survive(tmp_path: Path) -> None:
    chat = fill(tmp_path)
    path = tmp_path / "chats.db"
    with sqlite3.connect(path) as c:
        (root,) = c.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'conversations'"
        ).fetchone()
    c.close()
    spoil(path, root - 1)
    with open_store(tmp_path) as store:
        (record,) = store.conversations.list()
        assert (record.id, record.messages) == (chat.id, 30)
        assert record.title.startswith("text 0 ")


def test_bringing_back_that_was_cut_off_is_done_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = fill(tmp_path)
    spoil(tmp_path / "chats.db", 0)
    with monkeypatch.context() as patch:
        patch.setattr(salvage, "readable", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            open_store(tmp_path)
    with open_store(tmp_path) as store:
        assert store.notice is not None
        assert len(store.messages.path(chat.id)) == 30


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    fill(folder)
    return folder / "chats.db"


@settings(max_examples=20)
@given(blows=st.lists(st.tuples(st.integers(0, 25), st.binary(min_size=1, max_size=64))))
def test_any_damage_is_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, whole: Path, blows: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / "chats.db"
    shutil.copyfile(whole, path)
    with path.open("r+b") as file:
        for page, data in blows:
            file.seek(page * 4096)
            file.write((data * 4096)[:4096])
    (folder / "chats.db-suspect").touch()
    with open_store(folder) as store:
        for chat in store.conversations.list():
            store.dump(chat.id)
        store.search("text")


@pytest.mark.parametrize("at, data", [(47, b"\5"), (1254, b"\x80")])
def test_small_damage_to_the_first_page(tmp_path: Path, at: int, data: bytes) -> None:
    chat = fill(tmp_path)
    with (tmp_path / "chats.db").open("r+b") as file:
        file.seek(at)
        file.write(data)
    with open_store(tmp_path) as store:
        assert len(store.messages.path(chat.id)) == 30
        assert store.notice is not None


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
    assert caught.value.problem is StoreProblem.DAMAGED
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
    assert caught.value.problem is StoreProblem.FULL
    assert caught.value.exit_code == Exit.ENGINE
    assert "full" in str(caught.value)
    return stored


def test_a_full_disk_is_reported_and_loses_nothing(disk: Path) -> None:
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
    assert caught.value.problem is StoreProblem.FULL
    ballast.unlink()
    with open_store(disk) as store:
        assert len(store.messages.path(chat.id)) == 3


def test_a_damaged_file_on_a_full_disk_is_brought_back_later(disk: Path) -> None:
    chat = fill(disk, 3)
    spoil(disk / "chats.db", 0)
    ballast = disk / "ballast"
    with pytest.raises(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    for _time in range(2):
        with pytest.raises(StoreError) as caught:
            open_store(disk)
        assert caught.value.problem is StoreProblem.FULL
    ballast.unlink()
    with open_store(disk) as store:
        assert store.notice is not None
        assert len(store.messages.path(chat.id)) == 3


@pytest.mark.parametrize(
    "what, error, message",
    [
        ("add", StoreError(StoreProblem.FULL, "The disk is full."), "The disk is full."),
        ("shutil", OSError(28, "No space left on device"), "No space left on device."),
    ],
)
def test_what_could_not_be_stored_is_brought_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, error: Exception, message: str
) -> None:
    chat = fill(tmp_path)
    spoil(tmp_path / "chats.db", 0)
    with monkeypatch.context() as patch:
        failing = mock.Mock(side_effect=error)
        failing.copyfile = failing
        patch.setattr(salvage, what, failing)
        with open_store(tmp_path) as store:
            assert store.notice is not None and message in store.notice
            store.conversations.create(title="new")
    with open_store(tmp_path) as store:
        assert len(store.messages.path(chat.id)) == 30
        assert len(store.conversations.list()) == 2


def test_a_read_only_folder_is_reported(disk: Path) -> None:
    chat = fill(disk, 3)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StoreError) as caught:
        open_store(disk)
    assert caught.value.problem is StoreProblem.READ_ONLY
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    with open_store(disk) as store:
        assert len(store.messages.path(chat.id)) == 3


def test_a_read_only_folder_can_be_read(disk: Path) -> None:
    chat = fill(disk, 3)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with open_store(disk, only_reading=True) as store:
        assert len(store.messages.path(chat.id)) == 3
        assert len(store.search("text")) == 3
        with pytest.raises(StoreError) as caught:
            store.conversations.rename(chat.id, "other")
        assert caught.value.problem is StoreProblem.READ_ONLY
    empty = disk / "none"
    with pytest.raises(QchatError):
        open_store(empty, only_reading=True)


KILLED = """
import os, sys
from pathlib import Path
from qchat.store import open_store
store = open_store(Path(sys.argv[1]))
store.messages.add(sys.argv[2], "user", "the last text")
os._exit(9)
"""


def test_what_a_killed_qchat_wrote_is_read_in_a_read_only_folder(disk: Path) -> None:
    chat = fill(disk, 3)
    subprocess.run([sys.executable, "-c", KILLED, str(disk), chat.id], check=False)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with open_store(disk, only_reading=True) as store:
        assert len(store.messages.path(chat.id)) == 4


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
            assert caught.value.problem is StoreProblem.DAMAGED
            fresh.conversations.create(title="goes on")
