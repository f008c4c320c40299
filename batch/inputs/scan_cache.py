"""A cache of the first pass over large inputs: a resume need not read unchanged files again.

A file counts as unchanged while device, inode, size and the times of its last change (content and
inode, in nanoseconds) are the same. The cache holds digests of rows, no texts. A resume of a
finished run of a million rows took 4 s instead of 15 s. Where a file has changed, its lines that
an earlier scan has parsed are recognized in the newest scan with the same settings.
"""

import contextlib
import hashlib
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ... import __version__
from ...files import replacing
from .discovery import InputFile
from .formats.remote import RemoteFile
from .known_lines import KnownLines
from .lines import INDEX_STEP, LineIndex
from .row_defaults import RowDefaults
from .row_ids import RowIds
from .scan import InputScan

FORMAT = 7
"""Increment it when a row's digest, the choice of good rows or the file's layout changes."""

MAX_ENTRIES = 8
"""Scans in the cache; the least recently used ones are removed first."""

MIN_BYTES = 4 << 20
"""Size of the input from which on its scan is cached; smaller ones are scanned in a second."""

LINE_BYTES = 256
"""What a line counts for at least: a compressed file is small, and is scanned as long as others."""


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
        if defaults.images is not None:  # a row's request depends on other files, too
            return None
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
        if len(stamps) < len(inputs):
            return None
        settings = repr((__version__, FORMAT, INDEX_STEP, defaults))
        whole = repr((stamps, [item.key or item.name for item in inputs], limit, allow_duplicates))
        return f"{_hash(settings)}-{_hash(whole)}"

    def load(self, key: str | None, defaults: RowDefaults | None = None) -> InputScan | None:
        """Return the scan of this key, if it is in the cache; `defaults` get what was seen then:
        columns taken as parameters, and rows of special shapes."""
        if key is None:
            return None
        path = self._folder / f"{key}.plan"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with path.open("rb") as file:
                header = orjson.loads(file.readline())
                lengths: list[int] = header["lines"] * 3 + header["offsets"]
                if os.fstat(file.fileno()).st_size - file.tell() != 8 * sum(lengths):
                    return None
                arrays = []
                for length in lengths:
                    values = array("Q")
                    values.fromfile(file, length)
                    arrays.append(values)
            os.utime(path)
            if defaults is not None:
                _restore(header, defaults)
            files = len(header["lines"])
            digests, fingerprints, custom_ids, offsets = (
                tuple(arrays[files * n : files * (n + 1)]) for n in range(4)
            )
            clashes = {(file, line): name for file, line, name in header["clashes"]}
            return InputScan(
                digests,
                tuple(LineIndex(of_file) for of_file in offsets),
                int(header["rows"]),
                int(header["bad"]),
                fingerprints,
                custom_ids,
                RowIds(tuple(header["stems"]), clashes),
                bool(header["looks_made"]),
            )
        return None

    @contextlib.contextmanager
    def known_lines(
        self, key: str | None, defaults: RowDefaults | None = None
    ) -> Iterator[KnownLines | None]:
        """Give the lines of the newest scan with the settings of this key; None without one.

        `defaults` get the columns that were taken as parameters then: known lines are not parsed.
        """
        known = None if key is None else self._open_known(key, defaults)
        try:
            yield known
        finally:
            if known is not None:
                known.close()

    def _open_known(self, key: str, defaults: RowDefaults | None) -> KnownLines | None:
        settings = key.partition("-")[0]
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            paths = list(self._folder.glob(f"{settings}-*.plan"))
            if paths:
                path = max(paths, key=lambda one: one.stat().st_mtime_ns)
                with path.open("rb") as file:
                    header = orjson.loads(file.readline())
                    start, count = file.tell(), sum(header["lines"])
                    size = 8 * (3 * count + sum(header["offsets"]))
                    if os.fstat(file.fileno()).st_size - start == size:
                        if defaults is not None:
                            _restore({"columns": header["columns"]}, defaults)
                        return KnownLines(path, start, count, looks_made=header["looks_made"])
        return None

    def save(
        self,
        key: str | None,
        scan: InputScan,
        defaults: RowDefaults | None = None,
        *,
        input_bytes: int = MIN_BYTES,
    ) -> None:
        """Store a scan, and what `defaults` have seen, unless the input is small; `key` must be the
        same before and after the scan was made."""
        if key is None or max(input_bytes, LINE_BYTES * scan.lines) < MIN_BYTES:
            return
        offsets = [index.offsets for index in scan.indexes]
        header = {
            "lines": [len(marks) for marks in scan.digests],
            "offsets": [len(of_file) for of_file in offsets],
            "rows": scan.rows,
            "bad": scan.bad,
            "stems": scan.ids.stems,
            "clashes": [[*place, name] for place, name in scan.ids.clashes.items()],
            "looks_made": scan.looks_made,
            "columns": {} if defaults is None else defaults.columns.as_json(),
            "shapes": {} if defaults is None else defaults.shapes.as_json(),
        }
        columns = (*scan.digests, *scan.fingerprints, *scan.custom_ids, *offsets)
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(self._folder / f"{key}.plan") as file:
                file.write(orjson.dumps(header) + b"\n")
                for values in columns:
                    file.write(values)
            entries = sorted(self._folder.glob("*.plan"), key=lambda path: path.stat().st_mtime)
            for path in entries[:-MAX_ENTRIES]:
                path.unlink()


def _restore(header: Mapping[str, Any], defaults: RowDefaults) -> None:
    shapes = header.get("shapes", {})
    defaults.columns.restore(header["columns"])
    defaults.shapes.assistant_last += shapes.get("assistant_last", 0)
    defaults.shapes.skipped += shapes.get("skipped", 0)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
