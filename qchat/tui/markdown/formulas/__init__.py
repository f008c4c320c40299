"""LaTeX formulas as Unicode text: on one line, or stacked as on paper.

Public functions: `to_line` and `to_lines`. Both take any source and never raise.
"""

from typing import Final

from .draw import Drawer
from .lexer import FormulaError
from .parser import parse
from .tree import Node

MAX_CHARS: Final = 4_000
"""Longest source that is drawn, in characters."""


def to_line(source: str) -> str | None:
    """Draw a formula, given without its delimiters, on one line.

    Rows are separated by two spaces. Returns None where the source is no formula (a brace is open,
    an argument is missing) or is longer than `MAX_CHARS`. A command that is not known stays as its
    source, alone. Different formulas give different lines.
    """
    lines = _drawn(source, stacked=False)
    if lines is None:
        return None
    return "  ".join(line.strip() for line in lines if line.strip()) or None


def to_lines(source: str, columns: int) -> list[str] | None:
    """Draw a formula stacked: fractions, limits and matrices take several lines.

    Where that is wider than `columns` cells, or very large, each row gets one line, and the caller
    wraps it. None as for `to_line`.
    """
    from rich.cells import cell_len

    lines = _drawn(source, stacked=True)
    if lines is None or any(cell_len(line) > columns for line in lines):
        lines = _drawn(source, stacked=False)
    if lines is None:
        return None
    lines = [line.rstrip() for line in lines]
    return lines if any(lines) else None


def _drawn(source: str, *, stacked: bool) -> list[str] | None:
    if len(source) > MAX_CHARS:
        return None
    try:
        tree: Node = parse(source)
        return Drawer(stacked=stacked).lines(tree)
    except (FormulaError, RecursionError):  # what nests without braces is not counted: |+|+|x|+|+|
        return None
