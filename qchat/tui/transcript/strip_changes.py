"""Rows of cells: which of them have changed, and a hint over one."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

_JOINING: Final = "\u200d\ufe0e\ufe0f"


def changed_cells(old: Strip, new: Strip) -> tuple[int, int]:
    """Return the first cell in which two rows of one width differ, and the end of the last.

    The two are equal where the rows are. A character of two cells counts as a whole. Where
    characters join, their widths can't be added up, and the whole row counts as changed.
    """
    if any(sign in strip.text for strip in (old, new) for sign in _JOINING):
        return (0, 0) if old == new else (0, new.cell_length)
    first = _equal_cells(list(old), list(new))
    width = new.cell_length
    if first >= width:
        return width, width
    return first, max(first, width - _equal_cells(_reversed(old), _reversed(new)))


def with_hint(strip: Strip, text: str, style: Style) -> Strip:
    """Return a row with a hint over its right end, as it is where there is no room."""
    cells = cell_len(text)
    width = strip.cell_length
    if cells > width:
        return strip
    return Strip.join([strip.crop(0, width - cells), Strip([Segment(text, style)], cells)])


def _reversed(strip: Strip) -> list[Segment]:
    return [Segment(segment.text[::-1], segment.style) for segment in reversed(list(strip))]


def _equal_cells(old: Sequence[Segment], new: Sequence[Segment]) -> int:
    """Return the cells at the beginning of two rows that have the same characters and styles."""
    cells = 0
    for one, other in zip(_characters(old), _characters(new), strict=False):
        if one != other:
            break
        cells += cell_len(one[0])
    return cells


def _characters(segments: Sequence[Segment]) -> Iterator[tuple[str, object]]:
    """Yield each character with its style; what combines with one belongs to it."""
    for text, style, _control in segments:
        start = 0
        for end in range(1, len(text) + 1):
            if end == len(text) or cell_len(text[end]):
                yield text[start:end], style
                start = end
