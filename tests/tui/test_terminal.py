"""The chat and its terminal: pastes, focus and notifications, what it can't do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.tui.attention import Attention, notification
from qchat.tui.terminal import brackets_pastes

from ..config_file import write_config
from ..faults import Running, running
from .pty_chat import PtyChat, pty_chat

BLUR, FOCUS = b"\x1b[O", b"\x1b[I"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.mark.parametrize(
    ("term", "brackets"),
    [
        ("xterm-256color", True),
        ("screen-256color", True),
        ("tmux", True),
        ("xterm-kitty", True),
        ("linux", False),
        ("vt100", False),
        ("vt220", False),
        ("", False),
    ],
)
def test_which_terminals_bracket_pastes(term: str, brackets: bool) -> None:
    assert brackets_pastes({"TERM": term}) is brackets


@pytest.mark.parametrize(
    ("environ", "sequence"),
    [
        ({"TERM": "xterm-256color"}, "\x1b]9;qchat: done\x07"),
        ({"TERM": "rxvt-unicode-256color"}, "\x1b]777;notify;qchat;done\x07"),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, "\x1b]777;notify;qchat;done\x07"),
        ({"TERM": "linux"}, "\x07"),
        ({"TERM": "screen", "STY": "1.x"}, "\x1bP\x1b]9;qchat: done\x07\x1b\\\x07"),
        ({"TERM": "tmux", "TMUX": "x"}, "\x1bPtmux;\x1b\x1b]9;qchat: done\x07\x1b\\\x07"),
    ],
)
def test_a_notification(environ: dict[str, str], sequence: str) -> None:
    assert notification("done", environ) == sequence


def test_attention_is_asked_for_only_where_nobody_looks() -> None:
    written: list[str] = []
    focus = [True]
    attention = Attention(written.append, lambda: focus[0], {"TERM": "xterm"}, enabled=True)
    attention.answer_ended("a talk", failed=False)
    attention.end()
    assert written == []
    focus[0] = False
    attention.answer_ended("a\x1b]0;evil\x07 talk", failed=True)
    attention.answer_ended("b", failed=False)
    text = "".join(written)
    assert text.count("\x1b]9;") == 2 and text.count("\x1b[22;2t") == 1
    assert "Failed: a talk" in text and "evil" not in text and text.count("\x07") == 4
    written.clear()
    attention.end()
    attention.end()
    assert written == ["\x1b]2;qchat\x07\x1b[23;2t"]
    off = Attention(written.append, lambda: False, {"TERM": "xterm"}, enabled=False)
    off.answer_ended("a", failed=False)
    assert len(written) == 1


def test_text_that_arrives_with_enter_is_sent(tmp_path: Path, server: Running) -> None:
    write_config(tmp_path, "[tui]\ntitles = false\n")
    with pty_chat(tmp_path, "--base-url", server.base_url) as chat:
        chat.wait_for(b"Try")  # the first screen: the conversation is open
        chat.send(b"first\rsecond")
        wait_until_asked(chat, server, "first")
        chat.send(b"\r")
        wait_until_asked(chat, server, "second")
        chat.send(b"\x1b[200~one\rtwo\x1b[201~")
        chat.wait_for(b"two")
        chat.send(b"\r")
        wait_until_asked(chat, server, "one\ntwo")
        chat.send(b"\x11")
        assert chat.end() == 0
    assert questions(server)[-3:] == ["first", "second", "one\ntwo"]


def questions(server: Running) -> list[str]:
    return [record.body["messages"][-1]["content"] for record in server.log.records if record.body]


def wait_until_asked(chat: PtyChat, server: Running, question: str) -> None:
    while question not in questions(server):
        chat.wait_for(b"\x1b")  # the cursor blinks, if nothing else is drawn


@pytest.mark.parametrize("enabled", [True, False])
def test_an_answer_that_ends_while_one_looks_elsewhere(
    tmp_path: Path, server: Running, enabled: bool
) -> None:
    write_config(tmp_path, f"[tui]\ntitles = false\nnotify = {str(enabled).lower()}\n")
    with pty_chat(tmp_path, "--base-url", server.base_url) as chat:
        chat.wait_for(b"sk anything; / for commands")
        chat.send(b"hello\r")
        assert b"\x1b]9;" not in chat.wait_for(b"echo: hello")
        chat.send(b"slow [[answer:rate=20;length=30]]\r")
        chat.wait_for(b"Ctrl+C")
        chat.send(BLUR)
        output = chat.wait_for(b"tok/s")
        if enabled and b"\x1b]9;" not in output:
            output += chat.wait_for(b"\x1b]9;")
        chat.read(0.5)
        output += chat.output
        assert (b"\x1b]9;qchat: Answer received: hello\x07" in output) is enabled
        assert (b"\x1b]2;\xe2\x97\x8f Answer received: hello\x07" in output) is enabled
        chat.output = b""
        chat.send(FOCUS)
        if enabled:
            chat.wait_for(b"\x1b[23;2t")
        chat.send(b"\x11")
        assert chat.end() == 0


def test_a_terminal_that_cannot_show_it_is_told_what_can(tmp_path: Path) -> None:
    with pty_chat(tmp_path, TERM="dumb") as chat:
        assert chat.end() == 2
        assert b"TERM=dumb" in chat.output and b"qchat ask" in chat.output
        assert b"\x1b" not in chat.output


def test_a_home_that_cannot_be_written_is_a_chat_that_is_not_kept(
    tmp_path: Path, server: Running
) -> None:
    (tmp_path / "data").write_text("no folder")
    with pty_chat(tmp_path, "--base-url", server.base_url, size=(30, 100)) as chat:
        chat.wait_for(b"not kept")
        chat.send(b"hello\r")
        chat.wait_for(b"echo: hello")
        chat.send(b"\x11")
        assert chat.end() == 0


@pytest.mark.parametrize(
    ("answer", "drawn"),
    [
        (b"\x1b[24;2R", "x❤y".encode()),  # one cell: the selector is left out
        (b"\x1b[24;3R", "x❤\ufe0fy".encode()),
        (b"", "x❤\ufe0fy".encode()),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_emoji_are_as_wide_as_the_terminal_draws_them(
    tmp_path: Path, server: Running, answer: bytes, drawn: bytes, late: bool
) -> None:
    if late and not answer:
        pytest.skip("there is nothing to be late")
    with pty_chat(tmp_path, "--base-url", server.base_url) as chat:
        chat.wait_for(b"\x1b[6n")
        if not late:
            chat.send(answer)
        chat.wait_for(b"sk anything; / for commands")
        chat.send("hi [[answer:text=x❤\ufe0fy]]\r".encode())
        chat.wait_for("❤".encode())
        if late:
            chat.send(answer)
            chat.send(b"again\r")
            output = chat.wait_for(b"again")
            assert b"[24;" not in output.replace(b"\x1b[24;", b"")  # no key of it in the field
            chat.send("hi [[answer:text=x❤\ufe0fy]]\r".encode())
        wanted = drawn if answer.endswith(b"2R") else "❤\ufe0f".encode()
        chat.wait_for(wanted)
        chat.send(b"\x11")
        assert chat.end() == 0
