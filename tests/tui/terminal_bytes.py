"""The bytes that an app sends to its terminal, counted on a pseudo-terminal.

    python -m tests.tui.terminal_bytes stream|scroll

runs a transcript into which a paragraph streams, 120 characters a second. With `scroll` the screen
is full before.
"""

import asyncio
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

from textual.app import App, ComposeResult

from qchat.message_state import MessageState
from qchat.tui.transcript.message import Message
from qchat.tui.transcript.transcript import Transcript

ROWS, COLUMNS = 34, 110
SECONDS = 5.0
RATE = 120  # characters a second
_WORDS = "the batch engine keeps its journal on disk and answers every row of the file once "


class StreamApp(App[None]):
    """Streams one paragraph; two titles of the terminal mark its beginning and its end."""

    CSS = "Transcript { height: 1fr; }"

    def __init__(self, *, full: bool) -> None:
        super().__init__()
        self._full = full

    def compose(self) -> ComposeResult:
        yield Transcript()

    async def on_mount(self) -> None:
        self.run_worker(self._stream())

    async def _stream(self) -> None:
        transcript = self.query_one(Transcript)
        if self._full:
            transcript.load([Message("user", "line\n" * 60)])
        index = transcript.append(Message("assistant", "", state=MessageState.STREAMING))
        await asyncio.sleep(1)
        self._mark("begin")
        began, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < SECONDS:
            due = int(elapsed * RATE)
            transcript.stream(index, (_WORDS * 99)[sent:due])
            sent = due
            await asyncio.sleep(1 / 60)
        await asyncio.sleep(0.3)
        self._mark("end")
        await asyncio.sleep(0.3)
        self.exit()

    def _mark(self, name: str) -> None:
        assert self._driver is not None
        self._driver.write(f"\x1b]2;{name}\x07")
        self._driver.flush()


def count(scenario: str) -> int:
    """Run a scenario in a process with a terminal of its own; return its bytes while it streams."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tui.terminal_bytes", scenario],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        start_new_session=True,
    )
    os.close(terminal)
    output = b""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if select.select([main], [], [], 0.2)[0]:
                try:
                    output += os.read(main, 1 << 16)
                except OSError:  # the other side is closed
                    break
    finally:
        process.kill()
        process.wait()
        os.close(main)
    _before, begin, rest = output.partition(b"\x1b]2;begin\x07")
    streamed, end, _after = rest.partition(b"\x1b]2;end\x07")
    assert begin and end, output[-500:]
    return len(streamed)


if __name__ == "__main__":
    StreamApp(full=sys.argv[1] == "scroll").run()
