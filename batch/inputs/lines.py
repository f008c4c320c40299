"""Read the lines of a file: encodings, blank lines, overlong lines, files that are not text."""

import io
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...errors import UsageError
from ...i18n import _

MAX_LINE = 32 * 1024 * 1024
"""Longest line accepted, in bytes: more than any context holds, images as data URLs included."""

INDEX_STEP = 4096
"""Lines from one offset of a `LineIndex` to the next; at most so many are read to find one."""

NextLine = Callable[[int], int | None]
"""Returns the number of the first line to read at or after a line; None where there is none."""


_BOM = b"\xef\xbb\xbf"
_PIECE = 1 << 20  # bytes of a skipped line that are read at once

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PAR1": "Parquet",
}


class BadLineError(ValueError):
    """A line that can't be used. `raw` is its beginning, at most a few kilobytes."""

    def __init__(self, message: str, raw: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.raw = raw


def check_encoding(encoding: str) -> None:
    """Raise `UsageError` for an unknown encoding, and for one without a newline of one byte."""
    try:
        newline = "\n".encode(encoding)
    except (LookupError, UnicodeError):
        text = _("There is no encoding '{name}'; try utf-8, gb18030 or big5.")
        raise UsageError(text.format(name=encoding)) from None
    if newline != b"\n":
        text = _("Encoding '{name}' is not supported; convert the file: iconv -f {name} -t utf-8.")
        raise UsageError(text.format(name=encoding))


def open_text(path: Path) -> io.BufferedReader:
    """Open an input file. Raises `UsageError` when it can't be read as text."""
    name = str(path)
    try:
        if path.is_dir():
            text = _("{path} is a folder; name a .jsonl file in it.")
            raise UsageError(text.format(path=name))
        file: io.BufferedReader = io.BufferedReader(path.open("rb", buffering=0), 1 << 20)
        if file.seekable():
            file.seek(0)  # /dev/fd/N may share its offset with an earlier reader
        head = file.peek(4096)[:4096]
    except FileNotFoundError:
        raise UsageError(_("There is no file {path}.").format(path=name)) from None
    except PermissionError:
        text = _("No permission to read {path}; see 'ls -l {path}'.")
        raise UsageError(text.format(path=name)) from None
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=name, reason=error.strerror)) from None
    for magic, file_type in _MAGIC.items():
        if head.startswith(magic):
            file.close()
            text = _("{path} is a {type} file, not JSON lines; unpack or convert it first.")
            raise UsageError(text.format(path=name, type=file_type))
    if b"\0" in head:
        file.close()
        text = _("{path} is a binary file, not JSON lines in UTF-8.")
        raise UsageError(text.format(path=name))
    return file


@dataclass(frozen=True, slots=True)
class LineIndex:
    """Byte offsets of the lines 1, 1 + `INDEX_STEP`, 1 + 2 * `INDEX_STEP`, ... of a file."""

    offsets: "array[int]" = field(default_factory=lambda: array("Q"))

    def add(self, line: int, offset: int) -> None:
        """Record where a line begins, if it is the next one to record."""
        if line == 1 + INDEX_STEP * len(self.offsets):
            self.offsets.append(offset)

    def last_before(self, line: int) -> tuple[int, int]:
        """Return number and offset of the last recorded line that is not after `line`."""
        at = min((line - 1) // INDEX_STEP, len(self.offsets) - 1)
        return (1, 0) if at < 0 else (1 + INDEX_STEP * at, self.offsets[at])


class LineSource(Iterator[str | bytes]):
    """The non-blank lines of a file.

    `number` is the number of the last line, from 1, and `offset` the byte at which the next one
    begins. `index` is extended while the file is read. With `next_line`, only the lines that it
    names are returned; the others are skipped, by seeking to a line of `index` where they are many.

    Raises `BadLineError` for a line that is too long or not in the encoding, and continues with
    the next line when it is called again.
    """

    def __init__(
        self,
        file: BinaryIO,
        encoding: str = "utf-8",
        limit: int = MAX_LINE,
        *,
        index: LineIndex | None = None,
        next_line: NextLine | None = None,
    ) -> None:
        self.number = 0
        self.offset = 0
        self._file = file
        # jsonlines decodes UTF-8 itself; decoding here too would be done twice.
        self._encoding = None if encoding.lower().replace("-", "") == "utf8" else encoding
        self._limit = limit
        self._index = index if index is not None else LineIndex()
        self._next_line = next_line

    def __next__(self) -> str | bytes:
        while True:
            if self._next_line is not None:
                self._skip_to(self._next_line(self.number + 1))
            raw = self._file.readline(self._limit + 1)
            if not raw:
                raise StopIteration
            if not self.number % INDEX_STEP:
                self._index.add(self.number + 1, self.offset)
            self.number += 1
            self.offset += len(raw)
            if len(raw) > self._limit and not raw.endswith(b"\n"):
                self._skip_rest()
                text = _("longer than {n} MiB; split it or shorten it")
                raise BadLineError(text.format(n=self._limit >> 20), _excerpt(raw))
            if self.number == 1:
                raw = raw.removeprefix(_BOM)
            if not raw.isspace() and raw:
                return raw if self._encoding is None else self._decode(raw)

    def _skip_to(self, line: int | None) -> None:
        """Make `line` the next one to be read. Raises `StopIteration` for None."""
        if line is None:
            raise StopIteration
        if line == self.number + 1:
            return
        indexed, offset = self._index.last_before(line)
        if indexed > self.number + 1:
            self._file.seek(offset)
            self.number, self.offset = indexed - 1, offset
        while self.number + 1 < line and (piece := self._file.readline(_PIECE)):
            self.number += 1
            self.offset += len(piece)
            if not piece.endswith(b"\n"):
                self._skip_rest()

    def _skip_rest(self) -> None:
        while piece := self._file.readline(_PIECE):
            self.offset += len(piece)
            if piece.endswith(b"\n"):
                return

    def _decode(self, raw: bytes) -> str:
        assert self._encoding is not None
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            text = _("not valid {encoding} at byte {at}; is another --encoding right?")
            message = text.format(encoding=self._encoding, at=error.start + 1)
            raise BadLineError(message, _excerpt(raw)) from None


def _excerpt(raw: bytes) -> str:
    return raw[:2000].decode("utf-8", "replace")
