"""Unpack gzip, Zstandard, bzip2 and xz while reading."""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from ....i18n import _
from ..extras import require
from .source import UnreadableInputError

_CHUNK = 1 << 16  # compressed bytes that are unpacked at once

MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
}
"""The first bytes of the compressions that can be read."""

ENDINGS = (".gz", ".zst", ".bz2", ".xz")
"""Endings of names that say nothing of what is inside."""


class Decompressor(Protocol):
    """What zlib, bz2, lzma and zstandard agree on."""

    @property
    def eof(self) -> bool:
        """Whether the end of a frame was reached."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the frame."""

    def decompress(self, data: bytes) -> bytes:
        """Unpack the next piece."""


def compression_of(head: bytes) -> str | None:
    """Return the name of the compression of a file that begins with `head`, if it is one."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)


def unpack(file: BinaryIO, compression: str) -> io.BufferedReader:
    """Return a stream of what is packed in `file`. Raises `UsageError` where zstandard is missing.

    Reading it raises `UnreadableInputError` where the data is damaged or ends early.
    """
    factories: dict[str, Callable[[], Decompressor]] = {
        "gzip": lambda: zlib.decompressobj(wbits=31),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    }
    if compression == "zstandard":
        zstandard = require("zstandard", _("a .zst file"))
        factories["zstandard"] = lambda: _ZstandardFrame(zstandard)
    return io.BufferedReader(_UnpackedFile(file, factories[compression], compression), 1 << 20)


class _ZstandardFrame:
    """One frame; zstandard's own object tells of neither its end nor the rest."""

    def __init__(self, zstandard: Any) -> None:
        self._frame = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)

    def decompress(self, data: bytes) -> bytes:
        try:
            return bytes(self._frame.decompress(data))
        except Exception as error:  # zstandard.ZstdError, which is known only where it is installed
            raise ValueError(str(error)) from error


class _UnpackedFile(io.RawIOBase):
    """The frames of a compressed file, one after the other."""

    def __init__(self, file: BinaryIO, new: Callable[[], Decompressor], compression: str) -> None:
        self._file = file
        self._new = new
        self._compression = compression
        self._frame: Decompressor | None = None
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._pending:
            piece = self._next_piece()
            if piece is None:
                return 0
            self._pending = memoryview(piece)
        size = min(len(view), len(self._pending))
        view[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def _next_piece(self) -> bytes | None:
        """Return some unpacked bytes; None at the end. Raises `UnreadableInputError`."""
        if self._frame is not None and self._frame.eof:
            data = self._frame.unused_data or self._file.read(_CHUNK)
            if self._compression in ("gzip", "xz"):
                data = data.lstrip(b"\0")  # padding of tapes and blocks
            if not data:
                return None
            self._frame = None
        else:
            data = self._file.read(_CHUNK)
        if not data:
            if self._frame is None:
                return None
            text = _("the {type} data ends early; the file was cut off: copy it again")
            raise UnreadableInputError(text.format(type=self._compression))
        if self._frame is None:
            self._frame = self._new()
        try:
            return self._frame.decompress(data)
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
            text = _("the {type} data is damaged ({reason})")
            reason = str(error)
            raise UnreadableInputError(text.format(type=self._compression, reason=reason)) from None
