"""What a person writes behind /export and /import."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.errors import QchatError
from qchat.store import Store, StoredConversation, open_store
from qchat.tui.chat import transfer as files


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def chat(store: Store) -> StoredConversation:
    return store.conversations.create(title="Sky")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("~nosuchuser/x.md", "no such user"),
        ("n" * 300 + ".md", "Can't write"),
        ("nowhere/x.md", "no folder"),
        ("data", "exists"),
    ],
)
def test_names_that_cannot_be(
    store: Store,
    chat: StoredConversation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QchatError, match=message):
        files.write(store, chat.id, "markdown", name)
    if name != "data":
        with pytest.raises(QchatError):
            files.read(store, name)


def test_a_folder_that_cannot_be_looked_into(
    store: Store, chat: StoredConversation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an unreadable folder answers; root, who may run the tests, is never refused.
    def refuse(*_args: object, **_more: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", refuse)
        patched.setattr(os, "lstat", refuse)
        with pytest.raises(QchatError, match="Permission denied"):
            files.write(store, chat.id, "markdown", "there/x.md")


def test_forms_and_free_names(
    store: Store, chat: StoredConversation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert files.parse_export_arguments("") == ("markdown", "")
    assert files.parse_export_arguments("JSON  a b") == ("json", "a b")
    assert files.parse_export_arguments("a.markdown") == ("markdown", "a.markdown")
    with pytest.raises(QchatError, match="/export md a"):
        files.parse_export_arguments("a.txt")
    assert files.write(store, chat.id, "markdown", "") == Path("Sky.md")
    assert files.write(store, chat.id, "markdown", "") == Path("Sky-2.md")
