"""Read the lines of a file: encodings, blank lines, overlong lines."""

import codecs
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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


class BadLineError(ValueError):
    """A line that can't be used. `raw` is its beginning, at most a few kilobytes."""

    def __init__(self, message: str, raw: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.raw = raw


class BlockingError(BadLineError):
    """The command is wrong rather than this line: the run must not start."""


def plain_encoding(encoding: str) -> str:
    """Return the encoding to read with: a byte order mark is looked for in any text, so that
    `utf-8-sig` is UTF-8. Raises `LookupError` for an unknown one."""
    return "utf-8" if codecs.lookup(encoding).name == "utf-8-sig" else encoding


def check_encoding(encoding: str) -> None:
    """Raise `UsageError` for an unknown encoding, and for one without a newline of one byte.

    UTF-16 and UTF-32 are fine: what is read is converted first.
    """
    try:
        newline = "\n".encode(plain_encoding(encoding))
    except (LookupError, UnicodeError):
        text = _("There is no encoding '{name}'; try utf-8, gb18030 or big5.")
        raise UsageError(text.format(name=encoding)) from None
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    if newline != b"\n" and not wide:
        text = _("Encoding '{name}' is not supported; convert the file: iconv -f {name} -t utf-8.")
        raise UsageError(text.format(name=encoding))


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
    """The lines of a file; blank ones too if `blank`.

    `number` is the number of the last line, from 1, and `offset` the byte at which the next one
    begins. `index` is extended while the file is read. With `next_line`, only the lines that it
    names are returned; the others are skipped, by seeking to a line of `index` where they are many.

    Raises `BadLineError` for a line that is too long or not in the encoding, and continues with
    the next line when it is called again.
    """

    columns = None
    text_cells = False

    def __init__(
        self,
        file: BinaryIO,
        encoding: str = "utf-8",
        limit: int = MAX_LINE,
        *,
        index: LineIndex | None = None,
        next_line: NextLine | None = None,
        blank: bool = False,
    ) -> None:
        self.number = 0
        self.offset = 0
        self._file = file
        # jsonlines decodes UTF-8 itself; decoding here too would be done twice.
        self._encoding = None if encoding.lower().replace("-", "") == "utf8" else encoding
        self._limit = limit
        self._index = index if index is not None else LineIndex()
        self._next_line = next_line
        self._blank = blank

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
            if self._blank or (raw and not raw.isspace()):
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
