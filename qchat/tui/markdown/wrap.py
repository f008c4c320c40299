"""Breaking styled text into lines of a width counted in cells.

Lines break at spaces and between Chinese, Japanese and Korean characters (not before closing
punctuation, not after opening); a word longer than a line is cut.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len, split_graphemes

from .line import Span

_CJK: Final = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u3130-\u318f\u31a0-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
)
_CLOSING: Final = "、。，．：；？！）］｝〕〉》」』】〗’”…—·ー％"
_OPENING: Final = "（［｛〔〈《「『【〖‘“"
_JOINED: Final = "\u0300-\u036f\u200d\u20d0-\u20f0\u3099\u309a\ufe00-\ufe0f"
_token = re.compile(
    f"[ \t]+|[{_OPENING}]*[{_CJK}][{_JOINED}]*[{_CLOSING}{_JOINED}]*"
    f"|[^ \t{_CJK}]+[{_CLOSING}{_JOINED}]*|."
).finditer
_LONG: Final = 4096  # characters; a longer run is cut in pieces of this before it is measured

Broken = tuple[int, int, str | None]
"""Start, end, and what was dropped between this line and the next (None: the text ends)."""


def width(text: str) -> int:
    """Cells that a text takes on the screen."""
    return cell_len(text)


def breaks(text: str, columns: int) -> list[Broken]:
    """Where one line without newlines is broken so that each part fits into `columns`."""
    if len(text) * 2 <= columns or (len(text) <= _LONG and cell_len(text) <= columns):
        return [(0, len(text), None)]
    return list(_broken(text, columns))


def _broken(text: str, columns: int) -> Iterator[Broken]:
    start = end = used = 0  # the line so far is text[start:end]; spaces wait between end and here
    for match in _token(text):
        token = match[0]
        if token[0] in " \t":
            continue
        at = match.start()
        gap = cell_len(text[end:at])
        cells = cell_len(token)
        if used + gap + cells <= columns and (used or gap + cells <= columns):
            end, used = match.end(), used + gap + cells
            continue
        if end > start:
            yield start, end, text[end:at]
            start, end, used = at, at, 0
        else:
            start = end = at  # white space alone, too wide for the line
        if cells <= columns:
            end, used = match.end(), cells
            continue
        for size, part_cells, last in _cut(token, columns):
            end, used = end + size, part_cells
            if not last:
                yield start, end, ""
                start = end
    yield start, max(end, start), None


def _cut(word: str, columns: int) -> Iterator[tuple[int, int, bool]]:
    """Lengths and widths of the parts of a word that is too long, and whether it is the last."""
    size = cells = 0
    for begin in range(0, len(word), _LONG):
        spans, _total = split_graphemes(word[begin : begin + _LONG])
        for left, right, wide in spans:
            if size and cells + wide > columns:
                yield size, cells, False
                size = cells = 0
            size, cells = size + right - left, cells + wide
    yield size, cells, True


def wrap(spans: Sequence[Span], columns: int) -> list[tuple[list[Span], str | None]]:
    """Lines of spans, each no wider than `columns`, with what was dropped after each.

    A newline in a span ends a line for good. White space at the end of a broken line is dropped.
    """
    text = "".join(part for part, _style in spans)
    lines: list[tuple[list[Span], str | None]] = []
    runs = _Runs(spans)
    base = 0
    for hard in text.split("\n"):
        for start, end, dropped in breaks(hard, columns):
            lines.append((runs.slice(base + start, base + end), dropped))
        base += len(hard) + 1
    return lines


class _Runs:
    """Slices of a list of spans by position; positions must not go back."""

    __slots__ = ("_at", "_index", "_spans")

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._index = 0
        self._at = 0  # where the span at the index begins

    def slice(self, start: int, end: int) -> list[Span]:
        """The spans of text[start:end]."""
        found: list[Span] = []
        while self._index < len(self._spans):
            text, style = self._spans[self._index]
            stop = self._at + len(text)
            if stop > start and self._at < end:
                found.append((text[max(0, start - self._at) : end - self._at], style))
            if stop > end:
                break
            self._at = stop
            self._index += 1
        return found
