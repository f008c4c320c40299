"""`qchat tui` in a real terminal: tmux, a server, and a kill in mid-stream."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.settings import private_dir

from ..faults import running

# These type into a real terminal, which tmux is; tests/tui runs the screens without one.
pytestmark = pytest.mark.needs_tool("tmux")

_ENTRY = "import sys; sys.argv[0] = 'qchat'; from qchat.__main__ import main; main()"


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"
        self._home = folder / "home"
        config = private_dir(self._home / "config") / "config.toml"
        config.write_text("[tui]\ntitles = false\n")

    def tmux(self, *args: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def start(self, *args: str, **variables: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "QCHAT_"))}
        environ = ["env", "-i", *(f"{k}={v}" for k, v in clean.items() if k != "TMUX")]
        command = [*environ, f"QCHAT_HOME={self._home}", "TERM=screen-256color"]
        command += [f"{name}={value}" for name, value in variables.items()]
        command += [sys.executable, "-c", _ENTRY, "tui", *args]
        self.tmux("new-session", "-d", "-x", "80", "-y", "24", *command)

    def qchat(self, *args: str) -> str:
        """A command in the same home."""
        environ = {**os.environ, "QCHAT_HOME": str(self._home)}
        command = [sys.executable, "-c", _ENTRY, *args]
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, check=True
        ).stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def pid(self) -> int:
        return int(self.tmux("display-message", "-p", "#{pane_pid}"))

    def wait_for(self, words: str, seconds: float = 60.0) -> str:
        end = time.monotonic() + seconds
        while words not in (screen := self.screen()):
            assert time.monotonic() < end, screen
            time.sleep(0.1)
        return screen

    def wait_until_gone(self, words: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while words in (screen := self.screen()):
            assert time.monotonic() < end, screen
            time.sleep(0.1)

    def gone(self, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while (
            subprocess.run(
                ["tmux", "-S", str(self._socket), "has-session"], capture_output=True
            ).returncode
            == 0
        ):
            assert time.monotonic() < end, "it does not end"
            time.sleep(0.1)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal(tmp_path)
    yield found
    subprocess.run(["tmux", "-S", str(tmp_path / "tmux"), "kill-server"], capture_output=True)


def test_what_came_before_a_kill_is_there_again(terminal: Terminal) -> None:
    with running() as server:
        terminal.start("--base-url", server.url)
        terminal.wait_for("press Enter")
        terminal.keys("count [[answer:rate=60;length=4000]]", "Enter")
        terminal.wait_for("w150")
        os.kill(terminal.pid(), signal.SIGKILL)
        terminal.gone()
        terminal.start("--base-url", server.url, "--continue")
        screen = terminal.wait_for("Stopped")
        assert "w60" in screen
        terminal.keys("again", "Enter")
        terminal.wait_for("echo: again")
        terminal.keys("C-q")
        terminal.gone()


def test_the_chat_in_chinese(terminal: Terminal) -> None:
    with running() as server:
        terminal.start("--base-url", server.url, QCHAT_LANG="zh", LC_ALL="C.UTF-8")
        terminal.wait_for("回车：发送")
        terminal.keys("hello", "Enter")
        terminal.wait_for("echo: hello")
        for key, words in (
            ("F1", "按键和命令"),
            ("F3", "此对话的参数"),
            ("F4", "系统提示词"),
            ("F7", "服务和模型"),
            ("C-p", "搜索操作和对话"),
        ):
            terminal.keys(key)
            screen = terminal.wait_for(words)
            english = re.findall(r"\b(?:the|and|with|this|Enter)\b", screen)
            assert english == [], screen
            terminal.keys("Escape")
            terminal.wait_until_gone(words)
        terminal.keys("C-q")
        terminal.gone()


def test_an_editor_that_fails_gives_the_terminal_back(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.delenv("VISUAL", raising=False)
    terminal.start("--base-url", "http://127.0.0.1:9")
    terminal.wait_for("F5 starts a server")
    terminal.keys("a draft", "M-e")
    terminal.wait_for("failed with exit code 1")
    terminal.keys(" goes on")
    terminal.wait_for("a draft goes on")
    terminal.keys("C-q")
    terminal.gone()


@pytest.mark.vllm
def test_without_a_server_one_is_started_and_it_answers(terminal: Terminal) -> None:
    try:
        terminal.start("--base-url", "http://127.0.0.1:9")
        terminal.wait_for("F5 starts a server")
        terminal.keys("What is vLLM?", "Enter")
        terminal.wait_for("can't be reached")
        terminal.keys("F5")
        terminal.wait_for("Start the demo model")
        terminal.keys("Enter")
        terminal.wait_for("starting demo")
        terminal.wait_for("● 127.0.0.1:", 240.0)
        terminal.keys("C-r")
        terminal.wait_for("/4,096 (")
        terminal.wait_for("PagedAttention")  # a note lies over it for a while
        terminal.keys("C-q")
        terminal.gone()
        assert '"state": "ready"' in terminal.qchat("status", "--json")  # it was left running
    finally:
        assert terminal.qchat("stop", "--all") == "demo has stopped.\n"


def test_search_and_jump(terminal: Terminal) -> None:
    with running() as server:
        terminal.start("--base-url", server.url, "About 知识图谱 [[answer:length=2000]]")
        terminal.wait_for("tok/s")
        terminal.keys("C-n")
        terminal.wait_for("press Enter")
        terminal.keys("Something else", "Enter")
        terminal.wait_for("echo: Something else")
        terminal.keys("C-f")
        terminal.wait_for("Search all conversations")
        terminal.keys("图谱")
        terminal.wait_for("echo: About")  # the title, the answer, the question
        terminal.keys("Down", "Enter")
        screen = terminal.wait_for("›")
        assert "echo: About 知识图谱" in screen and "Something else" not in screen
        terminal.keys("C-q")
        terminal.gone()


def test_an_editor_of_ones_own_while_the_answer_comes(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho In the editor\nread words\necho " $words" >> "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    with running() as server:
        terminal.start("--base-url", server.url, "go [[answer:rate=60;length=200]]")
        terminal.wait_for("w20")
        terminal.keys("begun", "M-e")
        terminal.wait_for("In the editor")
        terminal.keys("and finished", "Enter")
        terminal.wait_for("w199")
        assert "begun and finished" in terminal.screen()
        terminal.keys("Enter")
        terminal.wait_for("echo: begun")
        terminal.keys("C-q")
        terminal.gone()
