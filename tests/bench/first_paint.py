"""From the start of the process to the first paint: `qchat tui` against a hello-world Textual app.

    python -m tests.bench.first_paint [ROUNDS]

Both run in a pty; the time ends when their text is in its output. Alternating rounds, medians; the
target is a ratio of at most 1.3. For comparison, the hello-world app with a text area.
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

from . import figures

TARGET = 1.3
_HELLO = """
from textual.app import App
from textual.widgets import Static
class Hello(App):
    def compose(self):
        yield Static("Hello, painted world")
Hello().run()
"""
_FIELD = _HELLO.replace("Static\n", "Static, TextArea\n").replace(
    'painted world")', 'painted world")\n        yield TextArea()'
)
_CHAT = "import sys; sys.argv = ['qchat', 'tui']; from qchat.__main__ import main; main()"


def painted(program: str, marker: bytes, home: str) -> float:
    """Seconds until `marker` is in the output; the process is killed then."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.update(QCHAT_HOME=home, TERM="xterm-256color", PYTHONPYCACHEPREFIX=home)
        os.execv(sys.executable, [sys.executable, "-c", program])
    ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    output = b""
    try:
        while marker not in output:
            if not select.select([terminal], [], [], 30)[0]:
                raise TimeoutError(output[-500:])
            output += os.read(terminal, 65536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def main() -> int:
    """Measure and print; 1 where the target was missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    programs = {
        "a hello-world app": (_HELLO, b"painted"),
        "the same with a TextArea": (_FIELD, b"painted"),
        "qchat tui": (_CHAT, b"127.0.0.1"),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as home:
        for number in range(rounds + 1):
            for name, (program, marker) in programs.items():
                took = painted(program, marker, home)
                if number:  # the first round compiles, as installing does
                    times[name].append(took)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    least = medians["a hello-world app"]
    for name, median in medians.items():
        print(f"{name:26} {median * 1000:4.0f} ms  {median / least:.2f} x")
    ratio = medians["qchat tui"] / least
    return figures.end(
        [figures.Figure("first paint over a hello-world app", ratio, TARGET, less=True)]
    )


if __name__ == "__main__":
    sys.exit(main())
