"""How far a start is, from vLLM's own log: pure reading of lines."""

import enum
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..i18n import _
from . import hub_cache as hub


class Phase(enum.IntEnum):
    """The parts of a start, in their order."""

    IMPORT = 0
    ENGINE = 1
    DOWNLOAD = 2
    WEIGHTS = 3
    CACHE = 4
    COMPILE = 5
    API = 6
    READY = 7


def title(phase: Phase) -> str:
    """What a person reads."""
    return {
        Phase.IMPORT: _("Importing vLLM"),
        Phase.ENGINE: _("Starting the engine"),
        Phase.DOWNLOAD: _("Downloading the model"),
        Phase.WEIGHTS: _("Loading weights"),
        Phase.CACHE: _("Making the KV cache"),
        Phase.COMPILE: _("Compiling and warming up"),
        Phase.API: _("Opening the API"),
        Phase.READY: _("Ready"),
    }[phase]


@dataclass(frozen=True, slots=True)
class Step:
    """Where the start stands now, with a number where the log has one."""

    phase: Phase
    detail: str = ""


_Reader = tuple[re.Pattern[str], Phase, Callable[[re.Match[str]], str]]


def _nothing(_match: re.Match[str]) -> str:
    return ""


_SIGNS: tuple[_Reader, ...] = (
    (re.compile(r"Initializing a V1 LLM engine"), Phase.ENGINE, _nothing),
    (
        re.compile(r"checkpoint shards:\s+(\d+)% Completed \| (\d+)/(\d+)"),
        Phase.WEIGHTS,
        lambda m: _("{done} of {all} files").format(done=m[2], all=m[3]),
    ),
    (re.compile(r"Time spent downloading weights"), Phase.WEIGHTS, _nothing),
    (re.compile(r"Starting to load model"), Phase.WEIGHTS, _nothing),
    (
        re.compile(r"Model loading took ([\d.]+) GiB"),
        Phase.CACHE,
        lambda m: _("weights take {n} GiB").format(n=m[1]),
    ),
    (re.compile(r"Loading weights took"), Phase.CACHE, _nothing),
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
    (re.compile(r"init engine \(profile"), Phase.API, _nothing),
    (re.compile(r"Application startup complete"), Phase.READY, _nothing),
)


def read(line: str) -> Step | None:
    """What one line of the log says of the start; None for most."""
    for pattern, phase, detail in _SIGNS:
        found = pattern.search(line)
        if found:
            return Step(phase, detail(found))
    return None


class StartProgress:
    """The present step; a start goes forward only, whatever order lines come in."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.step = Step(Phase.IMPORT)
        self._clock = clock
        self._told = clock()

    def feed(self, lines: list[str]) -> bool:
        """Take lines; whether there is something to show: the step has changed, or it is one in
        which the model may be downloading, and a second has gone."""
        before = self.step
        for line in lines:
            step = read(line)
            if step is not None and step.phase >= self.step.phase:
                same = step.phase == self.step.phase and not step.detail
                self.step = self.step if same else step
        moves = self.step.phase is Phase.WEIGHTS and self._clock() >= self._told + 1.0
        if self.step == before and not moves:
            return False
        self._told = self._clock()
        return True


class LogTail:
    """Whole lines that are added to a file, from an offset in bytes on; from the beginning where
    another file has taken its place, or it was cut."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._rest = b""
        self._file: int | None = None

    def lines(self) -> list[str]:
        """The new ones; a carriage return ends one too, as in progress bars."""
        try:
            with self._path.open("rb") as file:
                held = os.fstat(file.fileno())
                if held.st_size < self._offset or self._file not in (None, held.st_ino):
                    self._offset, self._rest = 0, b""
                self._file = held.st_ino
                file.seek(self._offset)
                data = file.read(1 << 20)
        except OSError:
            return []
        self._offset += len(data)
        parts = re.split(rb"[\r\n]+", self._rest + data)
        self._rest = parts.pop()[-65536:]
        return [part.decode("utf-8", "replace") for part in parts]

    def rest(self) -> list[str]:
        """What came after the last whole line, as one, if anything did."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []


def downloaded(model: str, environ: Mapping[str, str] = os.environ) -> int | None:
    """Bytes of a model in the hub's cache while files of it are incomplete; None otherwise."""
    blobs = hub.folder(model, environ) / "blobs"
    total, partial = 0, False
    try:
        for entry in os.scandir(blobs):
            total += entry.stat().st_size
            partial = partial or entry.name.endswith(".incomplete")
    except OSError:
        return None
    return total if partial else None
