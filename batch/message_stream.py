"""A stream for messages and progress, whose troubles never end or delay the work."""

import contextlib
import io
import os
import select
from typing import TextIO

from ..files import write_all

WAIT_SECONDS = 1.0
"""How long a write waits for a reader that has stopped reading; later writes then don't wait."""


def open_message_stream(fd: int) -> TextIO:
    """Open a text stream on a copy of `fd` whose methods never raise `OSError`.

    What can't be written is dropped: the reader of a pipe is gone or does not read, the terminal
    is closed or was stopped with Ctrl-S, the disk is full.
    """
    raw = io.BufferedWriter(_BestEffortWriter(os.dup(fd)))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)


class _BestEffortWriter(io.RawIOBase):
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._stalled = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        with contextlib.suppress(OSError):
            # After POLLOUT a pipe takes PIPE_BUF bytes at once; more could block (pipe(7)).
            for start in range(0, len(piece), select.PIPE_BUF):
                self._stalled = not self._poll.poll(0 if self._stalled else WAIT_SECONDS * 1000)
                if self._stalled:
                    break
                write_all(self._fd, piece[start : start + select.PIPE_BUF])
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)
