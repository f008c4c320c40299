"""Keys of the chat in a real terminal: suspending, redrawing, menu, sizes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ..faults import Running, running
from .terminal import Terminal

pytestmark = pytest.mark.needs_tool("tmux")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    yield Terminal(tmp_path)
    subprocess.run(["tmux", "-S", str(tmp_path / "tmux"), "kill-server"], capture_output=True)


def test_ctrl_z_gives_the_shell_and_fg_the_whole_screen(
    terminal: Terminal, server: Running
) -> None:
    terminal.shell("--base-url", server.base_url)
    terminal.wait_for("sk anything; / for commands")
    terminal.keys("hello", "Enter")
    terminal.wait_for("echo: hello")
    terminal.keys("a draft")
    before = terminal.wait_for("a draft")
    terminal.keys("C-z")
    terminal.wait_for("Stopped")
    terminal.keys("clear; echo from the shell", "Enter")
    terminal.wait_for("from the shell")
    terminal.keys("fg", "Enter")
    after = terminal.wait_for("a draft")
    assert body_of(after) == body_of(before)
    terminal.keys("Enter")
    terminal.wait_for("echo: a draft")
    terminal.keys("C-q")
    terminal.wait_for("from the shell")


def test_a_chat_that_was_stopped_from_outside_reads_its_keys_once(
    terminal: Terminal, server: Running
) -> None:
    terminal.shell("--base-url", server.base_url)
    terminal.wait_for("tokens of context")
    (chat,) = psutil.Process(terminal.pid()).children()
    for round_ in ("one", "two"):
        chat.suspend()
        terminal.wait_for("Stopped")
        terminal.keys(f"clear; echo shell {round_}", "Enter")
        terminal.wait_for(f"shell {round_}")
        terminal.keys("fg", "Enter")
        terminal.wait_for("Show me the quadratic formula")  # all of it is drawn
        terminal.keys(f"draft {round_} ")
        terminal.wait_for(f"draft {round_}")
    assert terminal.screen().count("draft one draft two") == 1
    terminal.keys("C-q")
    chat.wait(10)
    terminal.keys("echo the shell re''ads", "Enter")
    terminal.wait_for("the shell reads")


def test_a_key_draws_over_what_another_program_wrote(terminal: Terminal, server: Running) -> None:
    terminal.shell("--base-url", server.base_url)
    terminal.wait_for("tokens of context")  # nothing more is drawn by itself then
    tty = terminal.tmux("display-message", "-p", "#{pane_tty}").strip()
    Path(tty).write_text("\x1b[5;1HNOISE FROM ELSEWHERE\r\n\x1b[12;1HMORE OF IT")
    terminal.wait_for("MORE OF IT")
    terminal.keys("M-l")
    terminal.wait_until(lambda screen: "NOISE" not in screen and "MORE OF IT" not in screen)


def test_the_menu_and_what_follows_it(terminal: Terminal, server: Running) -> None:
    terminal.qchat("ask", "--save", "--base-url", server.base_url, "kept")
    terminal.shell("--base-url", server.base_url, size=(120, 30))
    terminal.wait_for("sk anything; / for commands")
    terminal.wait_for("kept")  # in the list, beside
    terminal.keys("/exp")
    assert "/export [FORMAT] [FILE]" in terminal.wait_for("export this conversation")
    terminal.keys("Tab", "add a draft")
    terminal.wait_for("/export add a draft")
    assert "kept" in terminal.screen()
    assert "kept" in terminal.qchat("chats", "list")


def test_the_end_stays_in_view_in_a_taller_window(terminal: Terminal, server: Running) -> None:
    terminal.start("--base-url", server.base_url, "go [[answer:rate=300;length=900]]")
    terminal.wait_for("w899")
    for rows in ("40", "60", "20", "50"):
        terminal.tmux("resize-window", "-y", rows)
        terminal.wait_until(
            lambda screen, n=int(rows): len(screen.splitlines()) == n and "w899" in screen
        )


def body_of(screen: str) -> list[str]:
    """The rows above the status line, whose figures change."""
    return screen.splitlines()[:-1]
