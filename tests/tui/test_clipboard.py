"""Copying: programs first, then the terminal, and what is said."""

import base64
from pathlib import Path

import pytest

from qchat.tui import clipboard


def program(folder: Path, name: str, *, code: int = 0) -> None:
    path = folder / name
    path.write_text(
        f'#!/bin/sh\ncat > "{folder}/{name}.out"\necho "$@" > "{folder}/args"\nexit {code}\n'
    )
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return tmp_path


def test_a_program_that_works_is_enough(folder: Path) -> None:
    program(folder, "wl-copy")
    sent: list[str] = []
    worked, message = clipboard.copy("naïve 你好", sent.append, {"WAYLAND_DISPLAY": "w"})
    assert worked and sent == [] and "8 characters" in message
    assert (folder / "wl-copy.out").read_text() == "naïve 你好"


def test_one_that_fails_is_followed_by_the_terminal(folder: Path) -> None:
    program(folder, "wl-copy", code=1)
    program(folder, "xclip", code=1)
    program(folder, "xsel", code=1)
    sent: list[str] = []
    worked, message = clipboard.copy("text", sent.append, {"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"})
    assert worked and "If the clipboard stays empty" in message
    assert sent == [f"\x1b]52;c;{base64.b64encode(b'text').decode()}\x07"]


def test_over_ssh_the_far_display_is_left_alone(folder: Path) -> None:
    program(folder, "xclip")
    sent: list[str] = []
    clipboard.copy("text", sent.append, {"DISPLAY": ":0", "SSH_CONNECTION": "a b c d"})
    assert sent and not (folder / "xclip.out").exists()


def test_tmux_is_used_and_else_passed_through(folder: Path) -> None:
    program(folder, "tmux")
    sent: list[str] = []
    worked, message = clipboard.copy("text", sent.append, {"TMUX": "x"})
    assert worked and "set-clipboard" in message and sent == []
    program(folder, "tmux", code=1)
    clipboard.copy("text", sent.append, {"TMUX": "x"})
    assert sent[0].startswith("\x1bPtmux;\x1b\x1b]52;c;") and sent[0].endswith("\x07\x1b\\")


def test_a_text_too_long_for_the_terminal_is_reported(folder: Path) -> None:
    sent: list[str] = []
    worked, message = clipboard.copy("x" * 80_000, sent.append, {})
    assert not worked and sent == [] and "Not copied" in message
