"""Text that is not UTF-8: recognised by its byte order mark or its zero bytes, read as UTF-8."""

import codecs
import io
from typing import Any, BinaryIO

from ....i18n import _
from .source import UnreadableInputError

UTF8_BOM = codecs.BOM_UTF8

_CHUNK = 1 << 18  # bytes that are converted at once

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def wide_encoding(head: bytes) -> str | None:
    """Return the encoding of a text in UTF-16 or UTF-32 that begins with `head`; None for others.

    Without a byte order mark, the first character must be one of ASCII and the head must decode.
    """
    for bom, encoding in _BOMS:
        if head.startswith(bom) and head[len(bom) :]:
            return encoding
    if len(head) < 4 or b"\0" not in head[:2]:
        return None
    encoding = "utf-16-be" if head[0] == 0 else "utf-16-le"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head[:4096])
    except UnicodeDecodeError:
        return None
    return encoding if text and "\0" not in text and text[0].isprintable() else None


def begins_with_bom(head: bytes) -> bool:
    """Whether a text begins with a byte order mark."""
    return head.startswith((UTF8_BOM, *(bom for bom, _encoding in _BOMS)))


def as_utf8(file: BinaryIO, encoding: str) -> io.BufferedReader:
    """Return the text of `file` as a stream of UTF-8, without a byte order mark.

    Reading it raises `UnreadableInputError` where the text is not valid.
    """
    return io.BufferedReader(_ConvertedFile(file, encoding), 1 << 20)


class _ConvertedFile(io.RawIOBase):
    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._pending = memoryview(b"")
        self._offset = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._pending and not self._ended:
            self._pending = memoryview(self._convert(self._file.read(_CHUNK)))
        size = min(len(view), len(self._pending))
        view[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def _convert(self, data: bytes) -> bytes:
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            reason = _("not valid {encoding} at byte {at}")
            at = self._offset + error.start + 1
            raise UnreadableInputError(
                reason.format(encoding=self._encoding.upper(), at=at)
            ) from None
        if self._offset == 0:
            text = text.removeprefix("\ufeff")
        self._offset += len(data)
        return text.encode()
