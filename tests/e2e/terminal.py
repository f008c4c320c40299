"""A real terminal, which tmux is."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from qchat.settings import private_dir

ENTRY = "import sys; sys.argv[0] = 'qchat'; from qchat.__main__ import main; main()"


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
        command += [sys.executable, "-c", ENTRY, "tui", *args]
        self.tmux("new-session", "-d", "-x", "80", "-y", "24", *command)

    def shell(self, *args: str, size: tuple[int, int] = (80, 24)) -> None:
        """Start the chat from a shell with job control, as a person does."""
        environ = {"QCHAT_HOME": str(self._home), "TERM": "screen-256color", "PS1": "$ "}
        columns, rows = map(str, size)
        self.tmux(
            "new-session",
            "-d",
            "-x",
            columns,
            "-y",
            rows,
            "env",
            "-u",
            "TMUX",
            *(f"{name}={value}" for name, value in environ.items()),
            "bash",
            "--norc",
            "--noprofile",
            "-i",
        )
        line = shlex.join([sys.executable, "-c", ENTRY, "tui", *args])
        self.tmux("send-keys", "-l", line)
        self.keys("Enter")

    def qchat(self, *args: str) -> str:
        """A command in the same home."""
        environ = {**os.environ, "QCHAT_HOME": str(self._home)}
        command = [sys.executable, "-c", ENTRY, *args]
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, check=True
        ).stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def pid(self) -> int:
        return int(self.tmux("display-message", "-p", "#{pane_pid}"))

    def wait_until_gone(self, words: str, seconds: float = 60.0) -> None:
        """Wait until words are on the screen no more."""
        end = time.monotonic() + seconds
        while words in (screen := self.screen()):
            assert time.monotonic() < end, screen
            time.sleep(0.1)

    def wait_for(self, words: str, seconds: float = 60.0) -> str:
        end = time.monotonic() + seconds
        while words not in (screen := self.screen()):
            assert time.monotonic() < end, screen
            time.sleep(0.1)
        return screen

    def wait_until(self, condition: Callable[[str], bool], seconds: float = 60.0) -> None:
        """Wait for a screen that meets the condition."""
        end = time.monotonic() + seconds
        while not condition(screen := self.screen()):
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
