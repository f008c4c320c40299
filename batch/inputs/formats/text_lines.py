"""Plain text: every line that is not blank is a prompt."""

from typing import BinaryIO

import orjson

from ....i18n import _
from ..lines import BadLineError, LineSource, NextLine


class TextLines:
    """The lines of a text file as JSON strings."""

    columns = ("text",)
    text_cells = False  # a row is no object

    def __init__(self, file: BinaryIO, encoding: str, next_line: NextLine | None) -> None:
        self._source = LineSource(file, encoding, next_line=next_line)

    @property
    def number(self) -> int:
        """The last line."""
        return self._source.number

    @property
    def offset(self) -> int:
        """Bytes that are read."""
        return self._source.offset

    def __next__(self) -> bytes:
        line = next(self._source)
        try:
            text = line if isinstance(line, str) else line.decode()
        except UnicodeDecodeError as error:
            message = _("not valid UTF-8 at byte {at}; give --encoding, such as gb18030")
            raise BadLineError(message.format(at=error.start + 1)) from None
        return orjson.dumps(text.rstrip("\r\n"))
