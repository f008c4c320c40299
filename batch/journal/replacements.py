"""Answers that take the place of earlier ones in the results file, in one atomic way.

While rows are asked again, the results file stays as it is: each new line is appended to
``NAME.retry.jsonl``, with a digest of the line that it replaces. At the end, or at the next start,
the results are written anew with the new lines in the places of the old ones, in one step, and the
file is removed. So a row has one line at any time, and a crash at any point loses neither the old
answers nor the new ones: merging again what was merged already changes nothing.
"""

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from ...files import replacing, sync_folder
from ...json_types import JsonObject
from ..background import WorkCounter
from ..quality import quality_of_record
from .appender import Appender, cut_torn_line
from .journal import Prepare
from .output_files import OutputFiles
from .records import RowLocation, location_of_result
from .rewriting import AsideFile

FileOf = Callable[[RowLocation], int | None]


@dataclass(slots=True)
class ReopenedRows:
    """The rows whose answers are to be replaced: where their lines are, and their quality.

    `add` and `keep` close a row.
    """

    results: Path
    retry: Path
    mode: int
    _lines: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    _appender: Appender | None = None

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, row: object) -> bool:
        return row in self._lines

    def qualities(self) -> "Counter[str]":
        """Counts of the earlier answers by quality."""
        return Counter(quality for _offset, quality in self._lines.values())

    def find(
        self,
        qualities: Iterable[str],
        prefix: str,
        file_of: FileOf,
        counter: WorkCounter,
    ) -> list[tuple[int, int]]:
        """Look for the rows with an answer of one of these qualities; return file and line of each.

        Raises `OSError`.
        """
        wanted = frozenset(qualities)
        offset = 0
        with self.results.open("rb", buffering=1 << 20) as file:
            for line in file:
                counter.check()
                record = orjson.loads(line)
                location = location_of_result(record, prefix)
                number = None if location is None else file_of(location)
                if location is not None and number is not None:
                    quality = quality_of_record(record, prefix).value
                    if quality in wanted:
                        self._lines[number, location.line] = offset, quality
                offset += len(line)
        return list(self._lines)

    def record(self, row: tuple[int, int]) -> JsonObject:
        """Return the earlier line of a row, as parsed. Raises `OSError`."""
        record: JsonObject = orjson.loads(self._line(row))
        return record

    def add(self, row: tuple[int, int], data: bytes) -> None:
        """Record the new line of a row. Raises `DiskTroubleError` and `OSError`."""
        if self._appender is None:
            self._appender = Appender(self.retry, self.mode)
        name = _name(self._line(row)).encode()
        self._appender.append(b'{"replaces":"%b","line":%b}\n' % (name, data.rstrip(b"\n")))
        del self._lines[row]

    def keep(self, row: tuple[int, int]) -> str:
        """Leave a row with its earlier answer; return the quality of that."""
        return self._lines.pop(row)[1]

    def sync(self) -> None:
        """Make all new lines durable. Raises `DiskTroubleError`."""
        if self._appender is not None:
            self._appender.sync()

    def close(self) -> None:
        """Sync and close. Raises `DiskTroubleError`."""
        if self._appender is not None:
            self._appender.close()

    def _line(self, row: tuple[int, int]) -> bytes:
        with self.results.open("rb") as file:
            file.seek(self._lines[row][0])
            return file.readline()


def merge_replacements(files: OutputFiles, prepare: Prepare, counter: WorkCounter) -> int:
    """Put the new lines in the places of the old ones, and remove their file.

    Damaged lines are moved to the file of those, after a call of `prepare` with it; their rows keep
    the old ones. Returns their number. Raises `OSError` and `WorkCancelledError`, with the results
    as they were or as they are to be.
    """
    if not files.retry.exists():
        return 0
    cut_torn_line(files.retry)
    offsets: dict[str, int] = {}  # the last line for an old one counts
    damaged = array("Q")  # where these lines begin
    with files.retry.open("rb") as new_lines:
        offset = 0
        for line in new_lines:
            match = _replacement(line)
            if match is None:
                damaged.append(offset)
            else:
                offsets[match[1].decode()] = offset
            offset += len(line)
        if damaged:
            prepare((files.damaged,))
            with AsideFile(files.damaged, files.retry.stat().st_mode & 0o777) as aside:
                for start in damaged:
                    new_lines.seek(start)
                    aside.append(new_lines.readline())
        if offsets and files.results.exists():
            _write_merged(files.results, offsets, new_lines.fileno(), counter)
    files.retry.unlink()
    sync_folder(files.retry.parent)
    return len(damaged)


def _replacement(line: bytes) -> re.Match[bytes] | None:
    """Return (name of the old line, new line) of a line as `ReopenedRows.add` writes it; None for
    any other."""
    match = _REPLACEMENT.fullmatch(line)
    try:
        if match is not None:
            orjson.loads(match[2])
    except orjson.JSONDecodeError:
        return None
    return match


_REPLACEMENT = re.compile(rb'\{"replaces":"([0-9a-f]{32})","line":(\{.*\})\}\n')


def _write_merged(results: Path, offsets: dict[str, int], retry: int, counter: WorkCounter) -> None:
    mode = results.stat().st_mode & 0o777
    with (
        results.open("rb", buffering=1 << 20) as old,
        open(retry, "rb", closefd=False) as new_lines,
        replacing(results, mode) as new,
    ):
        for line in old:
            counter.check()
            offset = offsets.get(_name(line))
            if offset is not None:
                new_lines.seek(offset)
                match = _REPLACEMENT.fullmatch(new_lines.readline())
                assert match is not None
                line = match[2] + b"\n"
            new.write(line)


def _name(line: bytes) -> str:
    """Return what a line is known by."""
    return hashlib.blake2b(line, digest_size=16).hexdigest()
