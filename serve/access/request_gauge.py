"""Figures of one API server process, in a memory-mapped file that the supervisor reads.

The process counts its own requests there, and copies vLLM's token counters into it. So the
supervisor and `qchat status` know what runs without a request, a key or a line in the access log,
and even while the process or its engine is stopped. In the other direction a second file, the gate,
tells the process to refuse new requests.
"""

import contextlib
import mmap
import os
import struct
import time
from dataclasses import dataclass, fields
from pathlib import Path

VARIABLE = "_QCHAT_GAUGES"
"""Environment variable with the folder of the files; without it nothing is written."""

_PREFIX = "gauge-"
_GATE = "gate"
_WORD = struct.Struct("=q")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one API server process has done, or several of them together.

    `started` and `finished` count requests, those to /health and /metrics excepted; `awaiting` are
    the ones whose body has arrived and whose next part of an answer is due from vLLM: not those
    that wait for a slow client. `chunks` counts the parts of answers that were sent. `last_ns` is
    when a request began or ended, `heartbeat_ns` when the event loop last ran, both in nanoseconds
    of the monotonic clock. The rest is vLLM's: tokens generated and read, requests running and
    waiting in the engine, the share of its KV cache in use (in millionths) and milli-tokens per
    second; `has_engine` is 1 where vLLM counts at all.
    """

    started: int = 0
    finished: int = 0
    awaiting: int = 0
    chunks: int = 0
    last_ns: int = 0
    heartbeat_ns: int = 0
    has_engine: int = 0
    generated: int = 0
    prompt_tokens: int = 0
    engine_running: int = 0
    engine_waiting: int = 0
    kv_millionths: int = 0
    milli_tokens_per_s: int = 0

    @property
    def open(self) -> int:
        """Requests that have begun and not ended."""
        return max(0, self.started - self.finished)


_NAMES = tuple(field.name for field in fields(Figures))
_SIZE = len(_NAMES) * _WORD.size
_LATEST = ("last_ns", "heartbeat_ns", "has_engine")


class RequestGauge:
    """The file of this process, to write: attributes by the names of `Figures`, in place."""

    def __init__(self, folder: Path) -> None:
        """Create the file. Raises `OSError`."""
        descriptor = os.open(
            folder / f"{_PREFIX}{os.getpid()}",
            os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
        try:
            os.ftruncate(descriptor, _SIZE)
            self._words = memoryview(mmap.mmap(descriptor, _SIZE)).cast("q")
        finally:
            os.close(descriptor)
        self._gate = _map(folder / _GATE)

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a figure."""
        self._words[_NAMES.index(name)] += amount

    def set(self, name: str, value: int) -> None:
        """Replace a figure."""
        self._words[_NAMES.index(name)] = value

    def get(self, name: str) -> int:
        """Return a figure."""
        return self._words[_NAMES.index(name)]

    def begin(self) -> None:
        """Count a request that has arrived."""
        self._words[_STARTED] += 1
        self._words[_LAST] = time.monotonic_ns()

    def end(self) -> None:
        """Count a request that has ended."""
        self._words[_FINISHED] += 1
        self._words[_LAST] = time.monotonic_ns()

    def await_vllm(self, amount: int) -> None:
        """Count a request that begins (1) or ceases (-1) to wait for vLLM."""
        self._words[_AWAITING] += amount

    def count_chunk(self) -> None:
        """Count a part of an answer that was sent."""
        self._words[_CHUNKS] += 1

    def is_gate_closed(self) -> bool:
        """Return whether new requests are to be refused."""
        return self._gate is not None and self._gate[0] != 0


_STARTED, _FINISHED, _AWAITING, _CHUNKS, _LAST = (
    _NAMES.index(name) for name in ("started", "finished", "awaiting", "chunks", "last_ns")
)


def _map(path: Path) -> memoryview | None:
    """Return the one number of a file, mapped read-only; None where the file is missing."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), _WORD.size, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        return None
    return memoryview(data).cast("q")


def prepare(folder: Path) -> None:
    """Make `folder` ready for a new server: an open gate, and no figures of earlier processes.
    Raises `OSError`."""
    for path in folder.glob(f"{_PREFIX}*"):
        path.unlink()
    set_gate(folder, closed=False)


def set_gate(folder: Path, *, closed: bool) -> None:
    """Make the server refuse new requests, or take them again. Written in place, because the server
    has the file mapped. Raises `OSError`."""
    descriptor = os.open(folder / _GATE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _WORD.pack(closed), 0)
    finally:
        os.close(descriptor)


def read(folder: Path) -> Figures | None:
    """Return the figures of all API server processes together, of times the latest; None where
    there are none."""
    totals: dict[str, int] = {}
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, struct.error):
            values = struct.unpack(f"={len(_NAMES)}q", path.read_bytes())
            for name, value in zip(_NAMES, values, strict=True):
                if name in _LATEST:
                    totals[name] = max(totals.get(name, 0), value)
                else:
                    totals[name] = totals.get(name, 0) + value
    return Figures(**totals) if totals else None
