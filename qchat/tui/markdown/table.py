"""Tables: columns as wide as they need, shrunk sensibly, cells wrapped, rows as a list at worst."""

from collections.abc import Iterator, Sequence
from typing import Final

from .line import Line, Span, line_of
from .palette import Palette
from .wrap import width as cells_of
from .wrap import wrap

Cell = list[Span]

GAP: Final = 3  # cells between columns: a bar with a space at either side
_LEAST: Final = 5  # cells of a column that had to shrink
_WORD: Final = 16  # a column is not shrunk below its longest word, up to this


def columns(rows: Sequence[Sequence[Cell]], count: int, available: int) -> list[int] | None:
    """The width of each column in cells; None where the table can't stand in this width."""
    room = available - GAP * (count - 1)
    wanted = [max(1, *(_natural(row[i]) for row in rows)) for i in range(count)]
    if sum(wanted) <= room:
        return wanted
    least = [
        min(want, max(_LEAST, min(_WORD, *(max(_longest(row[i]) for row in rows),))))
        for i, want in enumerate(wanted)
    ]
    if sum(least) > room:
        least = [min(want, _LEAST) for want in wanted]
    if sum(least) > room:
        return None
    return _shared(wanted, least, room)


def _shared(wanted: list[int], least: list[int], room: int) -> list[int]:
    """Narrow columns keep what they want; the wide ones share the rest evenly."""
    low, high = 1, max(wanted)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(max(lo, min(want, middle)) for want, lo in zip(wanted, least, strict=True)) <= room:
            low = middle
        else:
            high = middle - 1
    found = [max(lo, min(want, low)) for want, lo in zip(wanted, least, strict=True)]
    for i, want in enumerate(wanted):
        if sum(found) >= room:
            break
        found[i] += found[i] < want
    return found


def _natural(cell: Cell) -> int:
    text = "".join(part for part, _style in cell)
    return max(map(cells_of, text.split("\n")))


def _longest(cell: Cell) -> int:
    text = "".join(part for part, _style in cell)
    return max((cells_of(word) for word in text.split()), default=1)


def grid(
    head: Sequence[Cell] | None,
    rows: Sequence[Sequence[Cell]],
    widths: Sequence[int],
    aligns: Sequence[str],
    palette: Palette,
    *,
    ruled: bool,
) -> Iterator[Line]:
    """The lines of a table. `ruled`: faint lines between the rows, for rows of several lines."""
    if head is not None:
        yield from _row(head, widths, aligns, palette)
        yield _rule(widths, "─", "┼", palette)
    for number, row in enumerate(rows):
        if ruled and (number or head is None):
            yield _rule(widths, "┈", "┼", palette)
        yield from _row(row, widths, aligns, palette)


def wraps(rows: Sequence[Sequence[Cell]], widths: Sequence[int]) -> bool:
    """Whether some cell needs more than one line."""
    return any(
        _natural(cell) > wide or any("\n" in text for text, _style in cell)
        for row in rows
        for cell, wide in zip(row, widths, strict=True)
    )


def _rule(widths: Sequence[int], dash: str, cross: str, palette: Palette) -> Line:
    text = f"{dash}{cross}{dash}".join(dash * wide for wide in widths)
    return line_of([], [(text, palette.rule)])


def _row(
    row: Sequence[Cell], widths: Sequence[int], aligns: Sequence[str], palette: Palette
) -> Iterator[Line]:
    wrapped = [
        [spans for spans, _soft in wrap(cell, wide)] for cell, wide in zip(row, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        spans: list[Span] = []
        for i, (lines, wide, align) in enumerate(zip(wrapped, widths, aligns, strict=True)):
            if i:
                spans.append((" │ ", palette.rule))
            part = lines[number] if number < len(lines) else []
            free = max(0, wide - sum(cells_of(text) for text, _style in part))
            left = {"right": free, "center": free // 2}.get(align, 0)
            spans += [(" " * left, None), *part, (" " * (free - left), None)]
        yield line_of(spans)


def records(
    head: Sequence[Cell], rows: Sequence[Sequence[Cell]], available: int, palette: Palette
) -> Iterator[Line]:
    """Each row as a list of its named cells: for a table that is wider than any screen."""
    for row in rows:
        yield line_of([], [("─" * min(available, 12), palette.rule)])
        for name, cell in zip(head, row, strict=True):
            label: Cell = [*name, (": ", palette.dim)] if name else []
            for spans, soft in wrap([*label, *cell], available):
                yield line_of(spans, soft=soft)
