"""The whole `qchat tui` in a terminal of its own, after 1,000 exchanges, with a real connection.

    python -m tests.bench.live [--seconds N] [--exchanges N]

A server sends 100 tokens a second. CPU is the chat process's own (user and system), in shares of
one core. Typing latency is the time from the byte going into the terminal to the letter coming out
of it, so it holds the reading thread, the repaint and the writing thread. A frame is 16.6 ms.
"""

import argparse
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

from qchat import settings
from qchat.store import open_store, parse_messages

from . import figures
from .texts import ANSWER, FRAME

RATE = 100
_TICKS = os.sysconf("SC_CLK_TCK")
_KEY_SECONDS = 0.1  # between two letters
_LETTER = 0x4E00  # the first of the letters that are typed: none of them is in the answer


class Terminal:
    """A chat in a pty."""

    def __init__(self, pid: int, end: int) -> None:
        self.pid = pid
        self._end = end
        self.output = b""

    def read(self, seconds: float, until: bytes = b"") -> bool:
        """Read the output for some seconds, or until it contains `until`; whether it did."""
        last = time.perf_counter() + seconds
        while (left := last - time.perf_counter()) > 0:
            if until and until in self.output:
                return True
            if select.select([self._end], [], [], left)[0]:
                self.output = self.output[-4096:] + os.read(self._end, 65536)
        return not until

    def typed(self, letter: str) -> float:
        """Type a letter, and return the seconds until it is in the output."""
        began = time.perf_counter()
        os.write(self._end, letter.encode())
        if not self.read(10.0, letter.encode()):
            raise TimeoutError(self.output[-500:])
        return time.perf_counter() - began

    def cpu(self, seconds: float) -> float:
        """Return the share of a core that the process takes over some seconds."""
        used, began = self._used(), time.perf_counter()
        self.read(seconds)
        return (self._used() - used) / (time.perf_counter() - began)

    def _used(self) -> float:
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS


@contextmanager
def chat(home: str, *arguments: str) -> Iterator[Terminal]:
    """`qchat tui` with these arguments, killed at the end."""
    code = f"import sys; sys.argv = {['qchat', 'tui', *arguments]!r}"
    code += "; from qchat.__main__ import main; main()"
    pid, end = pty.fork()
    if pid == 0:
        os.environ.update(QCHAT_HOME=home, TERM="xterm-256color")
        os.execv(sys.executable, [sys.executable, "-c", code])
    ioctl(end, TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    try:
        yield Terminal(pid, end)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(end)


@contextmanager
def answering(style: str) -> Iterator[str]:
    """A server with a process of its own, for this process reads the clock; its address."""
    line = [sys.executable, "-m", "tests.faults", "--port", "0", "--answers", style]
    line += ["--max-model-len", str(10**7)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def fill(home: str, exchanges: int) -> None:
    """Store one conversation of `exchanges` questions with answers."""
    os.environ["QCHAT_HOME"] = home
    pair = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": ANSWER}]
    with open_store(settings.load().paths.data) as store:
        store.load([parse_messages({"messages": pair * exchanges})])


def main() -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the three")
    options = parser.parse_args()
    length = int(RATE * (2 * options.seconds + 5))
    style = f"rate={RATE};length={length}"
    with tempfile.TemporaryDirectory() as home, answering(style) as url:
        fill(home, options.exchanges)
        arguments = ("--continue", "--base-url", url, "--max-tokens", str(length))
        with chat(home, *arguments) as terminal:
            terminal.read(3.0)
            idle = terminal.cpu(options.seconds)
        with chat(home, *arguments, "Go on") as terminal:
            terminal.read(3.0)
            streaming = terminal.cpu(options.seconds)
            keys = []
            for number in range(int(options.seconds / _KEY_SECONDS)):
                keys.append(terminal.typed(chr(_LETTER + number)))
                terminal.read(_KEY_SECONDS)
    slow = statistics.quantiles(keys, n=20)[-1]
    print(
        f"typing: median {statistics.median(keys) * 1e3:.1f} ms, 95% {slow * 1e3:.1f} ms, ", end=""
    )
    print(f"worst {max(keys) * 1e3:.1f} ms of {len(keys)}")
    return figures.end(
        [
            figures.Figure("chat: CPU at 100 tokens/s", streaming * 100, 40, "%", less=True),
            figures.Figure("chat: typing meanwhile, 95% / a frame", slow / FRAME, 1.0, less=True),
            figures.Figure("chat: CPU at rest", idle * 100, 1.0, "%", less=True),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
