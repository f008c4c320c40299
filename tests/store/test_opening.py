"""Opening where nothing can be written, and conversations of a time when the clock was ahead."""

import sqlite3
from pathlib import Path

import pytest

from qchat.message_state import MessageState
from qchat.store import StoreError, StoreProblem, open_store, open_store_or_memory, opening
from qchat.store.schema import VERSION


def talk(folder: Path) -> str:
    """A chat in a store that may be in memory; the store's notice."""
    with open_store_or_memory(folder) as store:
        conversation = store.conversations.create(title="short")
        store.messages.add(conversation.id, "user", "Is this kept?")
        answer = store.messages.begin(conversation.id)
        store.messages.checkpoint(answer.id, "No")
        store.messages.finish(answer.id, MessageState.COMPLETE, "No.")
        assert [hit.conversation for hit in store.search("kept")] == [conversation.id]
        last = store.conversations.last()
        assert last is not None and last.id == conversation.id
        store.remember("draft", "more")
        assert store.recall("draft") == "more"
        return "" if store.is_kept else str(store.notice)


def test_a_home_that_cannot_be_written_is_a_chat_in_memory(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    notice = talk(tmp_path / "home" / "data")
    assert "home" in notice and notice.endswith(
        "This chat is not kept: it is gone when the window closes."
    )
    assert sorted(tmp_path.iterdir()) == [tmp_path / "home"]
    assert not Path(":memory:").exists()


def test_a_locked_store_is_a_chat_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert talk(tmp_path) == ""
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(tmp_path / "chats.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    notice = talk(tmp_path)
    other.execute("ROLLBACK")
    other.close()
    assert "not kept" in notice and str(tmp_path) in notice
    with open_store(tmp_path) as store:
        assert len(store.conversations.list()) == 1


def test_a_store_of_a_newer_version_is_no_reason_to_forget_a_chat(tmp_path: Path) -> None:
    talk(tmp_path)
    with sqlite3.connect(tmp_path / "chats.db") as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError) as caught:
        open_store_or_memory(tmp_path)
    assert caught.value.problem is StoreProblem.NEWER


def test_a_clock_that_was_ahead_does_not_take_every_continue(tmp_path: Path) -> None:
    now = [2_000_000_000.0]
    with open_store(tmp_path, lambda: now[0]) as store:
        ahead = store.conversations.create(title="ahead").id
        now[0] -= 86_400 * 30
        first, second = (store.conversations.create(title=title).id for title in ("a", "b"))
        last = store.conversations.last()
        assert last is not None and last.id == second
        assert [one.id for one in store.conversations.list()] == [second, first, ahead]
        now[0] += 1
        store.messages.add(ahead, "user", "used again")
        last = store.conversations.last()
        assert last is not None and last.id == ahead
        store.conversations.delete(first)
        store.conversations.delete(second)
        now[0] -= 86_400
        last = store.conversations.last()
        assert last is not None and last.id == ahead  # the only one there is
