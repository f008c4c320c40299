"""Puts boxes into rows and columns: matrices, cases and aligned equations."""

from collections.abc import Sequence
from typing import Final

from .adjacency import atoms_of, gap_before, kind_of
from .bars import paired
from .box import Box, beside, pad, stack, text_box
from .tree import Grid, Kind, Node, Row

_OPERATORS: Final = (Kind.RELATION, Kind.BINARY)


def widen(box: Box, width: int, align: str) -> Box:
    """Pad each line of a box to a width in cells."""
    return Box(tuple(pad(line, width, align) for line in box.lines), box.baseline)


def grid_box(
    rows: Sequence[Sequence[Box]],
    grid: Grid,
    columns: str,
    rules: frozenset[int],
    bars: frozenset[int],
) -> Box:
    """Return rows of cells as one box, its baseline in the middle."""
    count = max((len(row) for row in rows), default=0)
    if not count:
        return text_box("")
    widths = [max((row[n].width for row in rows if n < len(row)), default=0) for n in range(count)]
    gaps = [_gap(grid, number, bars) if number else "" for number in range(count)]
    lines: list[Box] = []
    for row in rows:
        above = max((cell.baseline for cell in row), default=0)
        below = max((cell.height - cell.baseline for cell in row), default=1)
        parts: list[Box] = []
        for number, width in enumerate(widths):
            parts.append(Box((gaps[number],) * (above + below), above))
            cell = row[number] if number < len(row) else text_box("")
            parts.append(widen(cell, width, _align(grid, number, columns, count)))
        lines.append(beside(parts))
    blank = "".join(gap + " " * width for gap, width in zip(gaps, widths, strict=True))
    rule = blank.replace(" ", "─").replace("│", "┼")
    is_tall = any(line.height > 1 for line in lines)
    boxes: list[Box] = []
    for number, line in enumerate(lines):
        if number and is_tall and number not in rules:
            boxes.append(text_box(blank))
        if number in rules:
            boxes.append(text_box(rule))
        boxes.append(line)
    if len(lines) in rules:
        boxes.append(text_box(rule))
    whole = stack(boxes, 0, "l")
    return whole if len(lines) == 1 else Box(whole.lines, (whole.height - 1) // 2)


def half_gaps(left: Node, right: Node, *, tight: bool) -> tuple[int, int]:
    """Return the cells after the left half of an aligned equation, and before the right one.

    The space around an operator that begins the right half is its own, so that the operators of all
    rows meet; any other is the left half's, so that all right halves begin together.
    """
    before, after = (
        paired(node.items if isinstance(node, Row) else (node,)) for node in (left, right)
    )
    right_atoms = atoms_of(after)
    if not right_atoms:
        return 0, 0
    gap = gap_before(atoms_of([*before, *after]), len(atoms_of(before)), stacked=True, tight=tight)
    first = right_atoms[0]
    drawn = max(0, first.space)  # the right half is drawn with it
    own = int(first.node is after[0] and kind_of(first.node) in _OPERATORS)
    return max(0, gap - drawn - own), own


def _gap(grid: Grid, column: int, bars: frozenset[int]) -> str:
    """Return what stands in front of a column on each line."""
    if grid is Grid.ALIGNED:
        return "" if column % 2 else "   "
    return " │ " if column in bars else "  "


def _align(grid: Grid, column: int, columns: str, count: int) -> str:
    if grid is Grid.ALIGNED:
        return "r" if column % 2 == 0 and count > 1 else "l"
    if grid is Grid.CASES:
        return "l"
    return columns[column] if column < len(columns) else "c"
