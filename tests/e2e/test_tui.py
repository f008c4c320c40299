"""`qchat tui` in a real terminal: tmux, a server, and a kill in mid-stream."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..faults import running
from .terminal import Terminal

# These type into a real terminal, which tmux is; tests/tui runs the screens without one.
pytestmark = pytest.mark.needs_tool("tmux")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal(tmp_path)
    yield found
    subprocess.run(["tmux", "-S", str(tmp_path / "tmux"), "kill-server"], capture_output=True)


def test_what_came_before_a_kill_is_there_again(terminal: Terminal) -> None:
    with running() as server:
        terminal.start("--base-url", server.url)
        terminal.wait_for("Enter send")
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
        terminal.wait_for("回车 发送")
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
    terminal.wait_for("F5 selects a server")
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
        terminal.wait_for("F5 selects a server")
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
        terminal.wait_for("Try")  # what is typed before belongs to the conversation that is left
        terminal.keys("Something else", "Enter")
        terminal.wait_for("echo: Something else")
        terminal.keys("C-f")
        terminal.wait_for("Search all conversations")
        terminal.keys("图谱")
        terminal.wait_for("echo: About")  # the title, the answer, the question
        terminal.keys("Down", "Enter")
        terminal.wait_until_gone("Search all conversations")
        terminal.wait_until(
            lambda screen: "echo: About 知识图谱" in screen and "Something else" not in screen
        )
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
