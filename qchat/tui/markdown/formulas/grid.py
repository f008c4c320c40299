"""Puts boxes into rows and columns: matrices, cases and aligned equations."""

from collections.abc import Sequence

from .box import Box, beside, pad, stack, text_box
from .tree import Grid


def widen(box: Box, width: int, align: str) -> Box:
    """Pad each line of a box to a width in cells."""
    return Box(tuple(pad(line, width, align) for line in box.lines), box.baseline)


def grid_box(rows: Sequence[Sequence[Box]], grid: Grid, columns: str, rules: frozenset[int]) -> Box:
    """Return rows of cells as one box, its baseline in the middle."""
    count = max((len(row) for row in rows), default=0)
    if not count:
        return text_box("")
    widths = [max((row[n].width for row in rows if n < len(row)), default=0) for n in range(count)]
    lines: list[Box] = []
    for row in rows:
        parts: list[Box] = []
        for number, width in enumerate(widths):
            if number:
                parts.append(text_box(" " * _gap(grid, number)))
            cell = row[number] if number < len(row) else text_box("")
            parts.append(widen(cell, width, _align(grid, number, columns, count)))
        lines.append(beside(parts))
    is_tall = any(line.height > 1 for line in lines)
    boxes: list[Box] = []
    for number, line in enumerate(lines):
        if number and is_tall and number not in rules:
            boxes.append(text_box(""))
        if number in rules:
            boxes.append(text_box("─" * line.width))
        boxes.append(line)
    if len(lines) in rules:
        boxes.append(text_box("─" * lines[0].width))
    whole = stack(boxes, 0, "l")
    return whole if len(lines) == 1 else Box(whole.lines, (whole.height - 1) // 2)


def _gap(grid: Grid, column: int) -> int:
    """Return the cells in front of a column."""
    if grid is Grid.ALIGNED:
        return 0 if column % 2 else 3
    return 2


def _align(grid: Grid, column: int, columns: str, count: int) -> str:
    if grid is Grid.ALIGNED:
        return "r" if column % 2 == 0 and count > 1 else "l"
    if grid is Grid.CASES:
        return "l"
    return columns[column] if column < len(columns) else "c"
