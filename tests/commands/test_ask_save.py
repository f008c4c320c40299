"""`qchat ask --save` and going on: what is in the store after each end of an answer."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from qchat.store import MessageState, StoredConversation, StoredMessage, open_store

from .ask_command import AskCommand, last_body, wait_until


def stored(home: Path) -> tuple[StoredConversation, list[StoredMessage]]:
    """The last conversation and its path."""
    with open_store(home / "data") as store:
        chat = store.conversations.last()
        assert chat is not None
        nodes = store.messages.path(chat.id)
        return chat, store.messages.bodies(node.id for node in nodes)


def test_question_and_answer_are_stored(ask: AskCommand, tmp_path: Path) -> None:
    done = ask("Why is it so?", "--save", "--system", "Be short.", "--seed", "7", "-m", "demo")
    assert (done.returncode, done.stdout) == (0, b"echo: Why is it so?\n")
    chat, (question, answer) = stored(tmp_path)
    assert (chat.title, chat.system) == ("Why is it so?", "Be short.")
    assert f"qchat ask --conversation {chat.id}" in done.stderr.decode()
    assert (question.role, question.content) == ("user", "Why is it so?")
    assert (answer.state, answer.content) == (MessageState.COMPLETE, "echo: Why is it so?")
    assert (answer.model, answer.finish_reason) == ("demo", "stop")
    assert answer.used["request"]["seed"] == 7
    assert answer.used["system"] == "Be short."
    assert answer.usage["completion_tokens"] > 0
    assert answer.timings["total_seconds"] >= answer.timings["first_token_seconds"] > 0


def test_without_save_nothing_is_stored(ask: AskCommand, tmp_path: Path) -> None:
    assert ask("Hello", "-m", "demo").returncode == 0
    assert not (tmp_path / "data").exists()


def test_continuing_sends_the_earlier_messages(ask: AskCommand, tmp_path: Path) -> None:
    assert ask("--continue", "x").returncode == 2  # there is none yet
    ask("one", "--save", "--system", "Be short.", "-m", "demo")
    first = stored(tmp_path)[0]
    assert ask("two", "--continue", "-m", "demo").returncode == 0
    assert [m["content"] for m in last_body(ask.server)["messages"]] == [
        "Be short.",
        "one",
        "echo: one",
        "two",
    ]
    assert [message.used.get("system") for message in stored(tmp_path)[1]] == [
        None,
        "Be short.",
        None,
        "Be short.",
    ]
    ask("other", "--save", "-m", "demo")
    done = ask("three", "--conversation", first.id[:5], "--json", "-m", "demo")
    assert json.loads(done.stdout)["conversation"] == first.id
    chat, messages = stored(tmp_path)
    assert (chat.id, len(messages)) == (first.id, 6)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--conversation", "zzzz"], "There is no conversation 'zzzz'"),
        (["--continue", "--conversation", "zzzz"], "not both"),
    ],
)
def test_mistakes(ask: AskCommand, args: list[str], message: str) -> None:
    done = ask("x", *args)
    assert (done.returncode, message in done.stderr.decode()) == (2, True)
    assert not ask.server.log.records


def test_a_failed_answer_is_stored_as_an_error(ask: AskCommand, tmp_path: Path) -> None:
    done = ask("hello there [[fault:reset_mid_body]]", "--save", "-m", "demo")
    assert done.returncode == 3
    _chat, (_question, answer) = stored(tmp_path)
    assert answer.state is MessageState.ERROR
    assert answer.error is not None and answer.error in done.stderr.decode()
    assert answer.content == done.stdout.decode().rstrip("\n")
    assert "partial answer are saved" in done.stderr.decode()


def test_the_question_is_stored_where_no_server_is(ask: AskCommand, tmp_path: Path) -> None:
    done = ask("Why?", "--save", "--base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 3
    chat, messages = stored(tmp_path)
    assert [m.content for m in messages] == ["Why?"]
    note = f"The question is saved, without an answer: qchat chats show {chat.id}"
    assert note in done.stderr.decode()


def test_a_reader_that_goes_leaves_the_part_as_stopped(ask: AskCommand, tmp_path: Path) -> None:
    asking = ask.start("hi [[answer:rate=50;length=2000]]", "--save")
    assert asking.stdout is not None and asking.stderr is not None
    first = asking.stdout.read(4)
    asking.stdout.close()
    error = asking.stderr.read()
    assert asking.wait(timeout=30) == 141
    _chat, (_question, answer) = stored(tmp_path)
    assert answer.state is MessageState.STOPPED
    assert answer.content.startswith(first.decode())
    assert b"partial answer are saved" in error


def test_a_question_that_cannot_be_stored_leaves_no_conversation(
    ask: AskCommand, tmp_path: Path
) -> None:
    with open_store(tmp_path / "data") as store:
        path = store.path
    with closing(sqlite3.connect(path)) as database:
        refuses = "BEGIN SELECT RAISE(FAIL, 'disk I/O error'); END"
        database.execute(f"CREATE TRIGGER t BEFORE INSERT ON messages {refuses}")
    assert ask("one", "--save", "-m", "demo").returncode == 3
    with open_store(tmp_path / "data") as store:
        assert store.conversations.list() == []


def test_ctrl_c_keeps_the_part_as_stopped(ask: AskCommand, tmp_path: Path) -> None:
    asking = ask.start("hi [[answer:rate=20;length=2000]]", "--save")
    assert asking.stdout is not None
    first = asking.stdout.read(4)
    asking.send_signal(signal.SIGINT)
    out, _err = asking.communicate(timeout=30)
    assert asking.returncode == 130
    _chat, (_question, answer) = stored(tmp_path)
    assert answer.state is MessageState.STOPPED
    assert answer.content == (first + out).decode().rstrip("\n")


def test_kill_9_keeps_the_question_and_the_part(ask: AskCommand, tmp_path: Path) -> None:
    asking = ask.start("hi [[answer:rate=50;length=5000]]", "--save")

    def some_is_stored() -> bool:
        if not (tmp_path / "data" / "chats.db").exists():
            return False
        messages = stored(tmp_path)[1] if has_conversation() else []
        return len(messages) == 2 and len(messages[1].content) > 20

    def has_conversation() -> bool:
        with open_store(tmp_path / "data") as store:
            return store.conversations.last() is not None

    wait_until(some_is_stored)
    asking.kill()
    out, _err = asking.communicate(timeout=30)
    _chat, (question, answer) = stored(tmp_path)
    assert question.content.startswith("hi ")
    assert answer.state is MessageState.STOPPED
    assert len(answer.content) > 20
    assert out.decode().startswith(answer.content[:20])
