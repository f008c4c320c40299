"""Wraps styled text to a width in cells.

Lines break at spaces and between Chinese, Japanese and Korean characters, but neither before
closing nor after opening punctuation. A word longer than a line is cut.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len

from .graphemes import graphemes
from .line import Span

_CJK: Final = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u3130-\u318f\u31a0-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
)
_CLOSING_PUNCTUATION: Final = (
    # Closing marks, ASCII's too, then small kana and marks that belong to what stands before.
    "、。，．：；？！）］｝｠〕〉》」』】〗〙〛〟’”…‥—‐–·・／～〜％‼⁇⁈⁉" + r",.:;!?)\]}%"
    "ーぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ々〻ゝゞヽヾ゛゜\u31f0-\u31ff"
    "｡､｣･ｰﾞﾟｧ-ｯ°′″℃℉‰￠"
)
_OPENING_PUNCTUATION: Final = "（［｛｟〔〈《「『【〖〘〚〝｢‘“￥＄￡" + r"(\[{"
_COMBINING: Final = "\u0300-\u036f\u200d\u20d0-\u20f0\u3099\u309a\ufe00-\ufe0f"
_WORD: Final = f"[^ \t{_CJK}]"
_WORD_END: Final = f"[^ \t{_CJK}{_OPENING_PUNCTUATION}]"
_TOKEN: Final = (
    f"[ \t]+|(?:[{_OPENING_PUNCTUATION}]|[\"'](?=[{_CJK}]))*(?![{_OPENING_PUNCTUATION}])[{_CJK}]"
    f"(?:[{_CLOSING_PUNCTUATION}{_COMBINING}]|[\"'](?=[{_CLOSING_PUNCTUATION}]))*"
    f"|[{_OPENING_PUNCTUATION}]*{_WORD_END}(?:{_WORD}*{_WORD_END})?"
    f"[{_CLOSING_PUNCTUATION}{_COMBINING}]*|[{_OPENING_PUNCTUATION}]+|."
)
_JOINER: Final = "\u200d"  # between two emoji; Rich takes any character after it for a part of one
_MEASURE_CHARS: Final = (
    4096  # characters; a longer run is cut in pieces of this before it is measured
)

LineBreak = tuple[int, int, str | None]
"""Start, end, and the white space dropped between this line and the next (None at the end)."""


@functools.cache
def _token() -> re.Pattern[str]:
    """Compiled when it is first needed: it takes 4 ms, and nothing is wrapped before the first
    paint."""
    return re.compile(_TOKEN)


def line_breaks(text: str, columns: int) -> list[LineBreak]:
    """Return where to break a line without newlines so that each part fits into `columns` cells."""
    if len(text) * 2 <= columns or (len(text) <= _MEASURE_CHARS and cell_len(text) <= columns):
        return [(0, len(text), None)]
    return list(_break_line(text, columns))


def _break_line(text: str, columns: int) -> Iterator[LineBreak]:
    start = end = line_cells = (
        0  # the line so far is text[start:end]; spaces wait between end and here
    )
    for match in _token().finditer(text):
        token = match[0]
        if token[0] in " \t":
            continue
        token_start = match.start()
        gap = cell_len(text[end:token_start])
        token_cells = cell_len(token)
        if line_cells + gap + token_cells <= columns and (
            line_cells or gap + token_cells <= columns
        ):
            end, line_cells = match.end(), line_cells + gap + token_cells
            continue
        if end > start:
            yield start, end, text[end:token_start]
            start, end, line_cells = token_start, token_start, 0
        else:
            start = end = token_start  # white space alone, too wide for the line
        if token_cells <= columns:
            end, line_cells = match.end(), token_cells
            continue
        for size, part_cells, last in _cut_word(token, columns):
            end, line_cells = end + size, part_cells
            if not last:
                yield start, end, ""
                start = end
    yield start, max(end, start), None


def _cut_word(word: str, columns: int) -> Iterator[tuple[int, int, bool]]:
    """Yield the parts of a word that is too long: length, width, and whether it is the last."""
    size = cells = 0
    for first in range(0, len(word), _MEASURE_CHARS):
        for length, grapheme_cells in graphemes(word[first : first + _MEASURE_CHARS]):
            if size and cells + grapheme_cells > columns:
                yield size, cells, False
                size = cells = 0
            size, cells = size + length, cells + grapheme_cells
    yield size, cells, True


def wrap(spans: Sequence[Span], columns: int) -> list[tuple[list[Span], str | None]]:
    """Wrap spans to lines of at most `columns` cells, each with its separator to the next line.

    The separator is the white space that the wrap dropped, None where the line ended in the source
    (a newline in a span, or the end).
    """
    spans = _apart(spans)
    text = "".join(part for part, _style in spans)
    lines: list[tuple[list[Span], str | None]] = []
    slicer = _SpanSlicer(spans)
    offset = 0
    for paragraph in text.split("\n"):
        for start, end, separator in line_breaks(paragraph, columns):
            lines.append((slicer.slice(offset + start, offset + end), separator))
        offset += len(paragraph) + 1
    return lines


def _apart(spans: Sequence[Span]) -> Sequence[Span]:
    """Return the spans without joiners between two of them: each is drawn, and measured, alone."""
    if not any(text.endswith(_JOINER) for text, _style in spans[:-1]):
        return spans
    return [(text.rstrip(_JOINER), style) for text, style in spans[:-1]] + [spans[-1]]


class _SpanSlicer:
    """Slices a list of spans by character position; positions must not decrease."""

    __slots__ = ("_index", "_spans", "_start")

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._index = 0
        self._start = 0  # position at which the span at the index begins

    def slice(self, start: int, end: int) -> list[Span]:
        """Return the spans of text[start:end]."""
        result: list[Span] = []
        while self._index < len(self._spans):
            text, style = self._spans[self._index]
            stop = self._start + len(text)
            if stop > start and self._start < end:
                result.append((text[max(0, start - self._start) : end - self._start], style))
            if stop > end:
                break
            self._start = stop
            self._index += 1
        return result
