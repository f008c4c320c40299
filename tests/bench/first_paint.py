"""From the start of the process to the first paint: `qchat tui` against a hello-world Textual app.

    python -m tests.bench.first_paint [ROUNDS]

Both run in a terminal of their own (a pty); the time ends where their text comes out of it.
Alternating rounds, medians; the target is a ratio of at most 1.3.
"""

import os
import pty
import select
import statistics
import struct
import sys
import tempfile
import time
from fcntl import ioctl
from termios import TIOCSWINSZ

TARGET = 1.3
_HELLO = """
from textual.app import App
from textual.widgets import Static
class Hello(App):
    def compose(self):
        yield Static("Hello, painted world")
Hello().run()
"""
_CHAT = "import sys; sys.argv = ['qchat', 'tui']; from qchat.__main__ import main; main()"


def painted(program: str, words: bytes, home: str) -> float:
    """Seconds until the words come out of the terminal; the process is ended then."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(QCHAT_HOME=home, TERM="xterm-256color")
        os.execv(sys.executable, [sys.executable, "-c", program])
    ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    seen = b""
    try:
        while words not in seen:
            if not select.select([terminal], [], [], 30)[0]:
                raise TimeoutError(seen[-500:])
            seen += os.read(terminal, 65536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def main() -> int:
    """Measure and print; 1 where the target was missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    hello: list[float] = []
    chat: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        for number in range(rounds + 1):
            one = painted(_HELLO, b"painted", home)
            two = painted(_CHAT, b"127.0.0.1", home)
            if number:  # the first round warms the file cache
                hello.append(one)
                chat.append(two)
    ratio = statistics.median(chat) / statistics.median(hello)
    print(f"hello world {statistics.median(hello) * 1000:.0f} ms", end=", ")
    print(f"qchat tui {statistics.median(chat) * 1000:.0f} ms: {ratio:.2f} x")
    print(f"{rounds} rounds; target {TARGET} x: {'met' if ratio <= TARGET else 'MISSED'}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
