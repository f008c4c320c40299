"""Results to standard output (`-o -`), failures to a function; no resume."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from ...console import json_text
from ...errors import EngineError
from ...files import write_all
from ...i18n import _
from ...json_types import JsonObject
from ...signals import Interrupted
from ..background import WorkCounter
from ..histogram import LogHistogram


class StalledError(EngineError):
    """A signal came while a write to standard output was blocked."""


@dataclass(slots=True)
class StdoutSink:
    """Writes results to a file descriptor and failures to a function; no resume.

    `writing` is true during a write, which blocks while nobody reads.
    """

    fd: int
    warn: Callable[[str], None]
    answered: int = 0
    failed: int = 0
    qualities: "Counter[str]" = field(default_factory=Counter)
    latency: LogHistogram = field(default_factory=LogHistogram)
    writing: bool = False
    stalled: StalledError | None = None
    _written: dict[int, bytearray] = field(default_factory=dict)  # a byte a line, by file

    def earlier(self, file: int, line: int) -> JsonObject | None:
        """None: there was no earlier run."""
        return None

    def keep_earlier(self, file: int, line: int) -> bool:
        """False: there was no earlier run."""
        return False

    def start(self) -> None:
        """Do nothing."""

    def number(self, file: int) -> int:
        """Return the number of an input in this run."""
        return file

    def is_open(self, file: int, line: int) -> bool:
        """Whether the row has no line yet; an engine that is replaced reads the rows again."""
        written = self._written.get(file, b"")
        return line >= len(written) or not written[line]

    def next_open(self, file: int, line: int) -> int | None:
        """Return the first line from `line` on without a written row; it may be blank."""
        written = self._written.get(file, b"")
        at = written.find(0, line)
        return at if at >= 0 else max(line, len(written))

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Write the line. Raises `BrokenPipeError` when the reader is gone, `StalledError` when a
        signal ended the wait for a reader."""
        if os.isatty(self.fd):  # escape sequences in an answer must not reach the terminal
            data = f"{json_text(orjson.loads(data))}\n".encode()
        if self.stalled is not None:  # other answers were complete already
            raise self.stalled
        self.writing = True
        try:
            write_all(self.fd, data)
        except Interrupted:
            self.stalled = StalledError(_("Nobody reads standard output."))
            raise self.stalled from None
        finally:
            self.writing = False
        self.answered += 1
        self._mark(file, line)

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Report file, line and error message."""
        row = orjson.loads(data)
        name = row.get("_qchat", row)["file"]
        text = _("{file} line {line}: {message}")
        self.warn(text.format(file=name, line=line, message=row["error"]["message"]))
        self.failed += 1
        self._mark(file, line)

    def _mark(self, file: int, line: int) -> None:
        written = self._written.setdefault(file, bytearray())
        if line >= len(written):
            written.extend(bytes(max(1024, 2 * line) - len(written)))
        written[line] = 1

    def sync(self) -> None:
        """Do nothing."""

    def close(self, state: str, counter: WorkCounter) -> None:
        """Do nothing."""
