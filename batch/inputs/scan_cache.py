"""The first pass over large inputs, kept: a resume need not read unchanged files once more.

A file is taken for unchanged while device, inode, size and the times of its last change (content
and inode, in nanoseconds) are the same. What is kept holds digests of rows, no texts. A resume of
a finished run of a million rows took 4 s instead of 15 s.
"""

import contextlib
import hashlib
import os
from array import array
from collections.abc import Sequence
from pathlib import Path

import orjson

from ... import __version__
from ...files import replace_file
from .discovery import InputFile, InputScan
from .rows import RowDefaults

FORMAT = 1
"""Counts up with every change of what a row's digest says, or of which rows are good."""

KEPT = 8
"""Plans that are kept; the ones not used for longest go first."""

LEAST = 32 << 20
"""Bytes of input from which on a plan is kept; less is read in half a second."""


class ScanCache:
    """The plans in a folder. Nothing here ever fails: what can't be kept is scanned again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def key(
        self,
        inputs: Sequence[InputFile],
        defaults: RowDefaults,
        limit: int | None,
        duplicates: bool,
    ) -> str | None:
        """What a plan depends on, as a name; None where none should be kept."""
        stamps: list[list[object]] = []
        size = 0
        for item in inputs:
            if str(item.path).startswith("/dev/fd/"):
                return None
            with contextlib.suppress(OSError):
                held = item.path.stat()
                size += held.st_size
                times = [held.st_mtime_ns, held.st_ctime_ns]
                stamps.append([str(item.path.resolve()), held.st_dev, held.st_ino, *times, size])
        if size < LEAST or len(stamps) < len(inputs):
            return None
        whole = repr((__version__, FORMAT, stamps, defaults, limit, duplicates))
        return hashlib.blake2b(whole.encode("utf-8", "replace"), digest_size=16).hexdigest()

    def load(self, key: str | None) -> InputScan | None:
        """The plan of this key, if it is kept."""
        if key is None:
            return None
        path = self._folder / f"{key}.plan"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            head, newline, data = path.read_bytes().partition(b"\n")
            told = orjson.loads(head)
            if not newline or len(data) != 8 * sum(told["lengths"]):
                return None
            digests, start = [], 0
            for length in told["lengths"]:
                marks = array("Q")
                marks.frombytes(data[start : start + 8 * length])
                digests.append(marks)
                start += 8 * length
            os.utime(path)
            return InputScan(tuple(digests), int(told["rows"]), int(told["bad"]))
        return None

    def save(self, key: str | None, plan: InputScan) -> None:
        """Keep a plan; `key` has to be the same before and after the scan that made it."""
        if key is None:
            return
        lengths = [len(marks) for marks in plan.digests]
        head = orjson.dumps({"lengths": lengths, "rows": plan.rows, "bad": plan.bad})
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = b"".join(marks.tobytes() for marks in plan.digests)
            replace_file(self._folder / f"{key}.plan", head + b"\n" + data)
            old = sorted(self._folder.glob("*.plan"), key=lambda path: path.stat().st_mtime)
            for path in old[:-KEPT]:
                path.unlink()
