"""JSON that is not one value a line: an array of rows, and values printed over several lines."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from ....i18n import _
from ..lines import MAX_LINE, BadLineError, NextLine
from .source import SequentialSource, UnreadableInputError

_CHUNK = 1 << 20  # bytes that are read at once
_SPACE = re.compile(r"[ \t\r\n]*")


def json_values(
    file: BinaryIO, *, is_array: bool, next_line: NextLine | None
) -> SequentialSource[str]:
    """Return the elements of an array, or the values that follow one another, counted from 1.
    Where one array follows the other, their elements are counted through.

    A fault ends the reading with `UnreadableInputError`: what follows it can't be told apart.
    """
    return SequentialSource(_elements(file, is_array), str.encode, next_line)


def _elements(file: BinaryIO, is_array: bool) -> Iterator[tuple[int, str | BadLineError, int]]:
    text = _Text(file)
    number = 0
    while sign := text.peek():
        if is_array:  # one array, or those of several files that were put together
            if sign != "[":
                reason = _("the array ends before line {line}, which begins no other array")
                raise UnreadableInputError(reason.format(line=text.position(text.at)[0]))
            text.at += 1
        for value in _values(text, is_array):
            number += 1
            yield number, value, text.offset


def _values(text: "_Text", is_array: bool) -> Iterator[str]:
    """Yield the values up to the end of an array, which is read too, or of the file."""
    # A decoder of the standard library: it tells where a value ends.
    decode = json.JSONDecoder().raw_decode
    is_first = True
    while (sign := text.peek()) and not (is_array and sign == "]"):
        if sign == "," and is_array and not is_first:
            text.at += 1
            text.peek()
        while True:
            try:
                _value, end = decode(text.buffer, text.at)
            except RecursionError:
                raise UnreadableInputError(_("a value is nested too deeply")) from None
            except json.JSONDecodeError as error:
                if not text.ended and len(text.buffer) - text.at <= MAX_LINE:
                    text.extend()
                    continue
                raise UnreadableInputError(_describe(error, text)) from None
            # The digits of a number may go on in the next piece.
            if end < len(text.buffer) or text.buffer[end - 1] in '}]"' or text.ended:
                break
            text.extend()
        is_first = False
        yield text.buffer[text.at : end]
        text.at = end
    if is_array:
        if not sign:
            raise UnreadableInputError(_("the array has no end; the file was cut off"))
        text.at += 1


def _describe(error: json.JSONDecodeError, text: "_Text") -> str:
    is_open = error.msg.startswith("Unterminated string")
    if text.ended and (is_open or error.pos >= len(text.buffer.rstrip())):
        return _("the file ends inside a value")
    line, column = text.position(error.pos)
    reason = _("not valid JSON at line {line}, column {column}: {reason}")
    return reason.format(line=line, column=column, reason=error.msg)


class _Text:
    """The text of a file, decoded piece by piece: `buffer` from `at` on is not used up yet."""

    def __init__(self, file: BinaryIO) -> None:
        self.buffer = ""
        self.at = 0
        self.ended = False
        self.offset = 0
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines = 0  # newlines before the buffer
        self._columns = 0  # characters after the last of them

    def peek(self) -> str:
        """Skip white space; return the next character, or '' at the end."""
        while True:
            match = _SPACE.match(self.buffer, self.at)
            assert match is not None
            self.at = match.end()
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if self.ended:
                return ""
            self.extend()

    def extend(self) -> None:
        """Drop what is used up, and read on: as much again as is in the buffer."""
        used = self.buffer[: self.at]
        self._lines += used.count("\n")
        tail = used.rpartition("\n")
        self._columns = len(tail[2]) + (0 if tail[1] else self._columns)
        self.buffer, self.at = self.buffer[self.at :], 0
        data = self._file.read(max(_CHUNK, len(self.buffer)))
        if self.offset == 0:
            data = data.removeprefix(codecs.BOM_UTF8)
        self.ended = not data
        try:
            self.buffer += self._decoder.decode(data, final=self.ended)
        except UnicodeDecodeError as error:
            text = _("not valid UTF-8 at byte {at}; give --encoding, such as gb18030")
            raise UnreadableInputError(text.format(at=self.offset + error.start + 1)) from None
        self.offset += len(data)

    def position(self, at: int) -> tuple[int, int]:
        """Return line and column, from 1, of a place in the buffer."""
        head, newline, tail = self.buffer[:at].rpartition("\n")
        line = 1 + self._lines + (head.count("\n") + 1 if newline else 0)
        return line, 1 + len(tail) + (0 if newline else self._columns)
