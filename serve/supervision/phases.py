"""The progress of a start, read from vLLM's log."""

import enum
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...engine.models import hub_cache
from ...i18n import _


class Phase(enum.IntEnum):
    """The phases of a start, in order."""

    IMPORT = 0
    ENGINE = 1
    DOWNLOAD = 2
    WEIGHTS = 3
    CACHE = 4
    COMPILE = 5
    API = 6
    READY = 7


def title(phase: Phase) -> str:
    """Return the label of a phase."""
    return {
        Phase.IMPORT: _("Importing vLLM"),
        Phase.ENGINE: _("Starting the engine"),
        Phase.DOWNLOAD: _("Downloading the model"),
        Phase.WEIGHTS: _("Loading weights"),
        Phase.CACHE: _("Allocating the KV cache"),
        Phase.COMPILE: _("Compiling and warming up"),
        Phase.API: _("Opening the API"),
        Phase.READY: _("Ready"),
    }[phase]


@dataclass(frozen=True, slots=True)
class Step:
    """The current phase, with a figure where the log has one."""

    phase: Phase
    detail: str = ""


_Reader = tuple[re.Pattern[str], Phase, Callable[[re.Match[str]], str]]


def _no_detail(_match: re.Match[str]) -> str:
    return ""


_PATTERNS: tuple[_Reader, ...] = (
    (re.compile(r"Initializing a V1 LLM engine"), Phase.ENGINE, _no_detail),
    (
        re.compile(r"checkpoint shards:\s+(\d+)% Completed \| (\d+)/(\d+)"),
        Phase.WEIGHTS,
        lambda m: _("{done} of {all} files").format(done=m[2], all=m[3]),
    ),
    (re.compile(r"Time spent downloading weights"), Phase.WEIGHTS, _no_detail),
    (re.compile(r"Starting to load model"), Phase.WEIGHTS, _no_detail),
    (
        re.compile(r"Model loading took ([\d.]+) GiB"),
        Phase.CACHE,
        lambda m: _("{n} GiB of weights").format(n=m[1]),
    ),
    (re.compile(r"Loading weights took"), Phase.CACHE, _no_detail),
    (
        re.compile(r"KV cache size: ([\d,]+) tokens"),
        Phase.COMPILE,
        lambda m: _("KV cache of {n} tokens").format(n=m[1]),
    ),
    (
        re.compile(r"Capturing CUDA graphs[^:]*:\s+(\d+)%"),
        Phase.COMPILE,
        lambda m: _("CUDA graphs {n}%").format(n=m[1]),
    ),
    (re.compile(r"init engine \(profile"), Phase.API, _no_detail),
    (re.compile(r"Application startup complete"), Phase.READY, _no_detail),
)


def read(line: str) -> Step | None:
    """Return the step that one log line begins; None for most lines."""
    for pattern, phase, detail in _PATTERNS:
        match = pattern.search(line)
        if match:
            return Step(phase, detail(match))
    return None


class StartProgress:
    """The current step; it only advances, whatever the order of the lines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.step = Step(Phase.IMPORT)
        self._clock = clock
        self._last_change = clock()

    def feed(self, lines: list[str]) -> bool:
        """Process log lines. Return whether to refresh the display: when the step has changed, and
        every second while the model may be downloading."""
        before = self.step
        for line in lines:
            step = read(line)
            if step is not None and step.phase >= self.step.phase:
                same = step.phase == self.step.phase and not step.detail
                self.step = self.step if same else step
        is_due = self.step.phase is Phase.WEIGHTS and self._clock() >= self._last_change + 1.0
        if self.step == before and not is_due:
            return False
        self._last_change = self._clock()
        return True


class LogTail:
    """The complete lines that are appended to a file, from a byte offset; from the beginning where
    the file was replaced or truncated."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._rest = b""
        self._inode: int | None = None

    def lines(self) -> list[str]:
        """Return the new lines; a carriage return ends one, too, as in progress bars."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size < self._offset or self._inode not in (None, status.st_ino):
                    self._offset, self._rest = 0, b""
                self._inode = status.st_ino
                file.seek(self._offset)
                data = file.read(1 << 20)
        except OSError:
            return []
        self._offset += len(data)
        parts = re.split(rb"[\r\n]+", self._rest + data)
        self._rest = parts.pop()[-65536:]
        return [part.decode("utf-8", "replace") for part in parts]

    def rest(self) -> list[str]:
        """Return the text after the last complete line as one line, if there is any."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []


def downloaded(model: str, environ: Mapping[str, str] = os.environ) -> int | None:
    """Return the bytes of a model in the hub's cache; None unless files of it are incomplete."""
    blobs = hub_cache.folder(model, environ) / "blobs"
    total, partial = 0, False
    try:
        for entry in os.scandir(blobs):
            total += entry.stat().st_size
            partial = partial or entry.name.endswith(".incomplete")
    except OSError:
        return None
    return total if partial else None
