"""The cells of a table's row."""

import re
from collections.abc import Iterator
from typing import Final

from .math_rules import formula_end

_brackets: Final = re.compile(r"\\[lr]angle|[()\[\]{}]").findall


def split_cells(row: str, count: int = 0) -> list[str]:
    r"""Split a table row into cells; a pipe after a backslash or in a code span is text.

    Where that gives more cells than `count`, and formulas with pipes in them (``$|x|$``) are why,
    a formula is taken whole.
    """
    row = row.strip()
    cells = list(_iter_cells(row, whole_formulas=False))
    if count and len(cells) > count and ("$" in row or "\\(" in row):
        whole = list(_iter_cells(row, whole_formulas=True))
        return whole if len(whole) <= count else cells
    return cells


def _iter_cells(row: str, *, whole_formulas: bool) -> Iterator[str]:
    row = row.removeprefix("|")
    start = position = 0
    in_code_span = False
    while position < len(row):
        character = row[position]
        if whole_formulas and not in_code_span and (end := formula_end(row, position)):
            position = end
            continue
        if character == "\\":
            position += 2
            continue
        if character == "`":
            in_code_span = not in_code_span and row.find("`", position + 1) >= 0
        elif character == "|" and not in_code_span:
            yield _without_escapes(row[start:position].strip())
            start = position + 1
        position += 1
    if row[start:].strip():
        yield _without_escapes(row[start:].strip())


def _without_escapes(cell: str) -> str:
    r"""Return a cell without the backslashes of its pipes, but for those of a norm: ``$\|x\|$``."""
    if "\\|" not in cell:
        return cell
    parts: list[str] = []
    start = position = 0
    while position < len(cell):
        end = formula_end(cell, position)
        if end and _has_norms(cell[position:end]):
            parts += [cell[start:position].replace("\\|", "|"), cell[position:end]]
            start = end
        elif not end and cell[position] == "`":
            end = cell.find("`", position + 1) + 1
        position = end or position + (2 if cell[position] == "\\" else 1)
    return "".join(parts) + cell[start:].replace("\\|", "|")


def _has_norms(formula: str) -> bool:
    r"""Whether all escaped pipes of a formula are the two sides of norms.

    In ``P(A\|B) = P(B\|A)`` they are not, as half a bracket between them shows.
    """
    between = formula.split("\\|")[1::2]
    return formula.count("\\|") % 2 == 0 and all(map(_is_balanced, between))


def _is_balanced(source: str) -> bool:
    depth = 0
    for bracket in _brackets(source):
        depth += 1 if bracket in ("(", "[", "{", "\\langle") else -1
        if depth < 0:
            return False
    return not depth
