"""Tables: column widths, wrapped cells, and rows as records where the columns do not fit."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len

from .line import Line, Span, make_line
from .palette import Palette
from .wrap import wrap

Cell = list[Span]

GAP: Final = 3  # cells between columns: a bar with a space on each side
_MIN_COLUMN: Final = 5  # cells to which any column may shrink
_MAX_WORD: Final = 16  # cells; a longer word does not keep its column from shrinking


def column_widths(rows: Sequence[Sequence[Cell]], count: int, available: int) -> list[int] | None:
    """Return the width of each column in cells, or None where the table does not fit."""
    space = available - GAP * (count - 1)
    natural = [max(1, *(_natural_width(row[i]) for row in rows)) for i in range(count)]
    if sum(natural) <= space:
        return natural
    minimum = [
        min(width, max(_MIN_COLUMN, min(_MAX_WORD, *(max(_longest_word(row[i]) for row in rows),))))
        for i, width in enumerate(natural)
    ]
    if sum(minimum) > space:
        minimum = [min(width, _MIN_COLUMN) for width in natural]
    if sum(minimum) > space:
        return None
    return _distribute(natural, minimum, space)


def _distribute(natural: list[int], minimum: list[int], space: int) -> list[int]:
    """Give narrow columns their natural width, and share the rest evenly among the wide ones."""
    low, high = 1, max(natural)
    while low < high:
        middle = (low + high + 1) // 2
        if (
            sum(
                max(lower, min(width, middle))
                for width, lower in zip(natural, minimum, strict=True)
            )
            <= space
        ):
            low = middle
        else:
            high = middle - 1
    widths = [max(lower, min(width, low)) for width, lower in zip(natural, minimum, strict=True)]
    for i, width in enumerate(natural):
        if sum(widths) >= space:
            break
        widths[i] += widths[i] < width
    return widths


def _natural_width(cell: Cell) -> int:
    text = "".join(part for part, _style in cell)
    return max(map(cell_len, text.split("\n")))


def _longest_word(cell: Cell) -> int:
    text = "".join(part for part, _style in cell)
    return max((cell_len(word) for word in text.split()), default=1)


def grid_lines(
    head: Sequence[Cell] | None,
    rows: Sequence[Sequence[Cell]],
    widths: Sequence[int],
    aligns: Sequence[str],
    palette: Palette,
    *,
    ruled: bool,
) -> Iterator[Line]:
    """Yield the lines of a table; `ruled` draws dim rules between rows of several lines."""
    if head is not None:
        yield from _row(head, widths, aligns, palette)
        yield _rule(widths, "─", "┼", palette)
    for number, row in enumerate(rows):
        if ruled and (number or head is None):
            yield _rule(widths, "┈", "┼", palette)
        for line in _row(row, widths, aligns, palette):
            yield line._replace(row=number)


def needs_wrapping(rows: Sequence[Sequence[Cell]], widths: Sequence[int]) -> bool:
    """Return whether some cell needs more than one line."""
    return any(
        _natural_width(cell) > width or any("\n" in text for text, _style in cell)
        for row in rows
        for cell, width in zip(row, widths, strict=True)
    )


def _rule(widths: Sequence[int], dash: str, cross: str, palette: Palette) -> Line:
    text = f"{dash}{cross}{dash}".join(dash * width for width in widths)
    return make_line([], [(text, palette.rule)])


def _row(
    row: Sequence[Cell], widths: Sequence[int], aligns: Sequence[str], palette: Palette
) -> Iterator[Line]:
    wrapped = [
        [spans for spans, _soft in wrap(cell, width)]
        for cell, width in zip(row, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        spans: list[Span] = []
        for i, (lines, width, align) in enumerate(zip(wrapped, widths, aligns, strict=True)):
            if i:
                spans.append((" │ ", palette.rule))
            line = lines[number] if number < len(lines) else []
            padding = max(0, width - sum(cell_len(text) for text, _style in line))
            indent = {"right": padding, "center": padding // 2}.get(align, 0)
            spans += [(" " * indent, None), *line, (" " * (padding - indent), None)]
        yield make_line(spans)


def record_lines(
    head: Sequence[Cell], rows: Sequence[Sequence[Cell]], available: int, palette: Palette
) -> Iterator[Line]:
    """Yield each row as a list of ``name: value`` lines, for a table too wide for the screen."""
    for number, row in enumerate(rows):
        yield make_line([], [("─" * min(available, 12), palette.rule)])
        for name, cell in zip(head, row, strict=True):
            label: Cell = [*name, (": ", palette.dim)] if name else []
            for spans, soft in wrap([*label, *cell], available):
                yield make_line(spans, soft=soft)._replace(row=number)
