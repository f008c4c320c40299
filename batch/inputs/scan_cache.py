"""A cache of the first pass over large inputs: a resume need not read unchanged files again.

A file counts as unchanged while device, inode, size and the times of its last change (content and
inode, in nanoseconds) are the same. The cache holds digests of rows, no texts. A resume of a
finished run of a million rows took 4 s instead of 15 s.
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
from .discovery import InputFile
from .formats.remote import RemoteFile
from .lines import INDEX_STEP, LineIndex
from .rows import RowDefaults
from .scan import InputScan

FORMAT = 2
"""Increment it when a row's digest, the choice of good rows or the file's layout changes."""

MAX_ENTRIES = 8
"""Scans in the cache; the least recently used ones are removed first."""

MIN_BYTES = 4 << 20
"""Size of the input from which on its scan is cached; smaller ones are scanned in a second."""


class ScanCache:
    """The scans in a folder. Nothing here fails: what can't be cached is scanned again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def key(
        self,
        inputs: Sequence[InputFile],
        defaults: RowDefaults,
        limit: int | None,
        allow_duplicates: bool,
    ) -> str | None:
        """Return a name made of all that a scan depends on; None where none is to be cached."""
        stamps: list[list[object]] = []
        size = 0
        for item in inputs:
            if isinstance(item.path, RemoteFile) or str(item.path).startswith("/dev/fd/"):
                return None
            if item.path.is_dir():  # its own times say nothing of its files
                return None
            with contextlib.suppress(OSError):
                status = item.path.stat()
                size += status.st_size
                times = [status.st_mtime_ns, status.st_ctime_ns]
                path = str(item.path.resolve())
                stamps.append([path, status.st_dev, status.st_ino, *times, size])
        if size < MIN_BYTES or len(stamps) < len(inputs):
            return None
        whole = repr((__version__, FORMAT, INDEX_STEP, stamps, defaults, limit, allow_duplicates))
        return hashlib.blake2b(whole.encode("utf-8", "replace"), digest_size=16).hexdigest()

    def load(self, key: str | None) -> InputScan | None:
        """Return the scan of this key, if it is in the cache."""
        if key is None:
            return None
        path = self._folder / f"{key}.plan"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            head, newline, data = path.read_bytes().partition(b"\n")
            header = orjson.loads(head)
            lengths: list[int] = header["digests"] + header["offsets"]
            if not newline or len(data) != 8 * sum(lengths):
                return None
            arrays, start = [], 0
            for length in lengths:
                values = array("Q")
                values.frombytes(data[start : start + 8 * length])
                arrays.append(values)
                start += 8 * length
            os.utime(path)
            files = len(header["digests"])
            return InputScan(
                tuple(arrays[:files]),
                tuple(LineIndex(offsets) for offsets in arrays[files:]),
                int(header["rows"]),
                int(header["bad"]),
            )
        return None

    def save(self, key: str | None, scan: InputScan) -> None:
        """Store a scan; `key` must be the same before and after the scan was made."""
        if key is None:
            return
        offsets = [index.offsets for index in scan.indexes]
        header = {
            "digests": [len(marks) for marks in scan.digests],
            "offsets": [len(of_file) for of_file in offsets],
            "rows": scan.rows,
            "bad": scan.bad,
        }
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = b"".join(values.tobytes() for values in (*scan.digests, *offsets))
            replace_file(self._folder / f"{key}.plan", orjson.dumps(header) + b"\n" + data)
            entries = sorted(self._folder.glob("*.plan"), key=lambda path: path.stat().st_mtime)
            for path in entries[:-MAX_ENTRIES]:
                path.unlink()
