"""A terminal behind a slow line: it takes some bytes a second, and answers questions in order.

    python -m tests.tui.slow_line

prints how many bytes come between a key and its echo while an answer streams, with a terminal that
answers and with one that does not.
"""

import tempfile
import time
from pathlib import Path

from ..config_file import write_config
from ..faults import running
from .pty_chat import PtyChat, pty_chat

RATE = 4_000  # bytes a second: less than a busy machine draws
LINE = 30_000  # bytes a second of the line for which the times are printed
_QUESTION = b"\x1b[6n"
_BLINK = 0.5  # seconds between two changes of the cursor
_ROUNDS = 8


class SlowLine:
    """Reads a chat's output at `RATE`; `received` counts bytes. `answers`: to CSI 6n."""

    def __init__(self, chat: PtyChat, *, answers: bool) -> None:
        self._chat = chat
        self._answers = answers
        self._asked = 0
        self.text = b""
        self.received = 0

    def run(self, until: bytes, seconds: float = 60.0) -> int:
        """Receive until a text has come; return how many bytes that took."""
        began, start = time.monotonic(), self.received
        while until not in self.text:
            assert time.monotonic() - began < seconds, (until, self.text[-500:])
            due = int((time.monotonic() - began) * RATE) - (self.received - start)
            if due <= 0:
                time.sleep(0.005)
                continue
            self._receive(min(due, 600))
        took = self.received - start
        self.text = self.text.partition(until)[2]
        return took

    def settle(self, until: bytes) -> None:
        """Receive at once what the start draws, until only its cursor blinks."""
        deadline = time.monotonic() + 60
        drawn_at = time.monotonic()
        while until not in self.text or time.monotonic() - drawn_at < _BLINK * 0.8:
            assert time.monotonic() < deadline, (until, self.text[-500:])
            before = self.received
            self._receive(1 << 16)
            if self.received > before:
                drawn_at = time.monotonic()
        self.text = b""

    def _receive(self, most: int) -> None:
        before = len(self._chat.output)
        self._chat.read(0.02, most)
        data = self._chat.output[before:]
        self.received += len(data)
        self.text += data
        asked = self._chat.output.count(_QUESTION)
        if self._answers and asked > self._asked:
            self._chat.send(b"\x1b[1;3R" * (asked - self._asked))
        self._asked = asked


def bytes_until_echo(*, answers: bool) -> list[int]:
    """Return the bytes between a key and its echo, for some keys during a fast answer."""
    with tempfile.TemporaryDirectory() as folder, running() as server:
        home = Path(folder)
        write_config(home, "[tui]\ntitles = false\n")
        with pty_chat(home, "--base-url", server.base_url, size=(34, 110)) as chat:
            line = SlowLine(chat, answers=answers)
            line.settle(b"sk anything; / for commands")
            chat.send(b"go [[answer:rate=1000;length=30000]]\r")
            line.run(b"Ctrl+C")
            end = time.monotonic() + 4
            while time.monotonic() < end:  # the screen is full, and scrolls
                line._receive(RATE // 50)
                time.sleep(0.02)
            counts = []
            for number in range(_ROUNDS):
                key = "ǀǁǂǃǄǅǆǇǈǉ"[number].encode()
                chat.send(key)
                counts.append(line.run(key))
            return counts


if __name__ == "__main__":
    for answers in (True, False):
        counts = bytes_until_echo(answers=answers)
        times = ", ".join(f"{1000 * count / LINE:.0f}" for count in counts)
        print(f"terminal answers: {answers}; ms until the echo at 30 KB/s: {times}", flush=True)
