"""`qchat tui` on a pseudo-terminal: what it sends, byte for byte."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ENTRY = "import sys; sys.argv[0] = 'qchat'; from qchat.__main__ import main; main()"


class PtyChat:
    """A chat in a terminal of its own. `output` is all that it has sent."""

    def __init__(self, home: Path, *args: str, size: tuple[int, int], **environ: str) -> None:
        """`size` is rows and columns; `environ` is added to the environment."""
        self._main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "QCHAT_", "TMUX", "STY", "VTE_"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ENTRY, "tui", *args],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**clean, "QCHAT_HOME": str(home), "TERM": "xterm-256color", **environ},
            start_new_session=True,
        )
        os.close(terminal)
        self.output = b""

    def send(self, data: bytes) -> None:
        """Type: all of it arrives in one read."""
        os.write(self._main, data)

    def send_all(self, data: bytes) -> None:
        """Type much, reading what the chat draws meanwhile."""
        os.set_blocking(self._main, False)
        while data:
            try:
                data = data[os.write(self._main, data[:65_536]) :]
            except BlockingIOError:
                readable, _writable, _ = select.select([self._main], [self._main], [], 1)
                if readable:
                    self.read()
        os.set_blocking(self._main, True)

    def read(self, seconds: float = 0.0, most: int = 1 << 16) -> bool:
        """Read what is there, waiting up to `seconds` for it; False at the end of the output."""
        if select.select([self._main], [], [], seconds)[0]:
            try:
                data = os.read(self._main, most)
            except OSError:
                return False
            self.output += data
            return bool(data)
        return True

    def wait_for(self, *texts: bytes, seconds: float = 60.0) -> bytes:
        """Read until one of the texts has been sent since the last call; return all since then."""
        start = time.monotonic()
        while not any(text in self.output for text in texts):
            assert time.monotonic() - start < seconds, (texts, self.output[-2_000:])
            assert self.read(0.1), (texts, self.output[-2_000:])
        output, self.output = self.output, b""
        return output

    def end(self) -> int:
        """Read to the end of the output, and return the exit code."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.read(0.1):
            if self.process.poll() is not None:
                break
        return self.process.wait(10)

    def close(self) -> None:
        """Kill what is left."""
        self.process.kill()
        self.process.wait()
        os.close(self._main)


@contextmanager
def pty_chat(
    home: Path, *args: str, size: tuple[int, int] = (24, 80), **environ: str
) -> Iterator[PtyChat]:
    """A chat that is killed at the end."""
    chat = PtyChat(home, *args, size=size, **environ)
    try:
        yield chat
    finally:
        chat.close()
