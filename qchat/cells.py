"""Text in the cells of a terminal: widths, and lines wrapped to them.

East Asian wide characters take two cells. Lines break at spaces and between Chinese characters,
but neither before closing nor after opening punctuation. No rich here: it costs start-up time
(`qchat.tui.markdown.wrap` has its graphemes).
"""

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_WIDE: Final = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u31a0-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
)
_CLOSING: Final = "、。，．：；？！）］｝〕〉》」』】〗’”…—·％"
_OPENING: Final = "（［｛〔〈《「『【〖‘“"
# Spaces; a wide character with its punctuation; a word with its own; what is left. Options and
# paths have hyphens, so that none breaks at one.
_PIECE: Final = (
    f" +|[{_OPENING}]*[{_WIDE}][{_CLOSING}]*|[{_OPENING}]*[^ {_WIDE}{_OPENING}]+[{_CLOSING}]*|."
)
_escape = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@functools.cache
def _pattern() -> re.Pattern[str]:
    """Compiled when it is first needed: it takes 5 ms, and most commands wrap nothing."""
    return re.compile(_PIECE)


def width(text: str) -> int:
    """Columns that a text takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def visible_width(text: str) -> int:
    """`width` of a text whose colours (escape sequences) take no columns."""
    return width(_escape.sub("", text)) if "\x1b" in text else width(text)


def pad(text: str, columns: int) -> str:
    """The text with spaces after it, up to `columns`."""
    return text + " " * (columns - visible_width(text))


def shortened(text: str, columns: int) -> str:
    """The text, or as much of it as fits into `columns` with an ellipsis at its end."""
    if width(text) <= columns:
        return text
    return text[: _cut(text, columns - 1)] + "…"


def wrap(text: str, columns: int) -> Iterator[str]:
    """Yield the lines of one paragraph, each of at most `columns`; longer words are cut."""
    line, used, gap = "", 0, ""
    for piece in _pattern().findall(text):
        if piece.isspace():
            gap = piece
            continue
        cells = visible_width(piece)
        if line and used + len(gap) + cells > columns:
            yield line
            line, used, gap = "", 0, ""
        gap = gap if line else ""
        line, used, gap = line + gap + piece, used + len(gap) + cells, ""
        while used > columns:
            cut = _cut(line, columns)
            yield line[:cut]
            line = line[cut:]
            used = visible_width(line)
    if line:
        yield line


def _cut(text: str, columns: int) -> int:
    """How many characters fit into `columns`; at least one."""
    used = 0
    for i, character in enumerate(text):
        used += width(character)
        if used > columns:
            return max(i, 1)
    return len(text)
