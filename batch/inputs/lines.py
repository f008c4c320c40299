"""Bytes in, lines out: encodings, blank lines, lines without end, files that are no text."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...errors import UsageError
from ...i18n import _

MAX_LINE = 32 * 1024 * 1024
"""Longest line taken, in bytes: more than any context holds, images as data URLs included."""

_BOM = b"\xef\xbb\xbf"

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PAR1": "Parquet",
}


class BadLineError(ValueError):
    """A line that can't be used. `raw` is what was read of it, at most a few kilobytes."""

    def __init__(self, message: str, raw: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.raw = raw


def check_encoding(encoding: str) -> None:
    """Raise `UsageError` unless lines of this encoding end in the byte of a newline."""
    try:
        newline = "\n".encode(encoding)
    except (LookupError, UnicodeError):
        text = _("There is no encoding '{name}'; try utf-8, gb18030 or big5.")
        raise UsageError(text.format(name=encoding)) from None
    if newline != b"\n":
        text = _("Encoding '{name}' is not supported; convert the file: iconv -f {name} -t utf-8.")
        raise UsageError(text.format(name=encoding))


def open_text(path: Path) -> io.BufferedReader:
    """Open an input file. Raises `UsageError` with a sentence when it can't be read as text."""
    name = str(path)
    try:
        if path.is_dir():
            text = _("{path} is a folder; name a .jsonl file in it.")
            raise UsageError(text.format(path=name))
        file: io.BufferedReader = io.BufferedReader(path.open("rb", buffering=0), 1 << 20)
        if file.seekable():
            file.seek(0)  # /dev/fd/N may share its offset with an earlier reading
        head = file.peek(4096)[:4096]
    except FileNotFoundError:
        raise UsageError(_("There is no file {path}.").format(path=name)) from None
    except PermissionError:
        text = _("No permission to read {path}; see 'ls -l {path}'.")
        raise UsageError(text.format(path=name)) from None
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=name, reason=error.strerror)) from None
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            file.close()
            text = _("{path} is a {what} file, not JSON lines; unpack or convert it first.")
            raise UsageError(text.format(path=name, what=what))
    if b"\0" in head:
        file.close()
        text = _("{path} is a binary file, not JSON lines in UTF-8.")
        raise UsageError(text.format(path=name))
    return file


class LineSource(Iterator[str | bytes]):
    """The non-blank lines of a file; `number` is the number of the last one, from 1.

    Raises `BadLineError` for a line that is too long or not in the encoding, and goes on with the
    next line when asked again.
    """

    def __init__(self, file: BinaryIO, encoding: str = "utf-8", limit: int = MAX_LINE) -> None:
        self.number = 0
        self._file = file
        # jsonlines decodes UTF-8 itself; decoding here too would be done twice.
        self._encoding = None if encoding.lower().replace("-", "") == "utf8" else encoding
        self._limit = limit

    def __next__(self) -> str | bytes:
        while True:
            raw = self._file.readline(self._limit + 1)
            if not raw:
                raise StopIteration
            self.number += 1
            if len(raw) > self._limit and not raw.endswith(b"\n"):
                self._skip_rest()
                text = _("longer than {n} MiB; split it or shorten it")
                raise BadLineError(text.format(n=self._limit >> 20), _excerpt(raw))
            if self.number == 1:
                raw = raw.removeprefix(_BOM)
            if not raw.isspace() and raw:
                return raw if self._encoding is None else self._decode(raw)

    def _skip_rest(self) -> None:
        while (piece := self._file.readline(1 << 20)) and not piece.endswith(b"\n"):
            pass

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
