"""Environments (``\\begin{cases} … \\end{cases}``) and other formulas of several rows."""

import re
from collections.abc import Callable
from typing import Final

from .lexer import FormulaError, Lexer
from .tree import EMPTY, Grid, Matrix, Node, Symbol, row

_DELIMITERS: Final = {
    "matrix": ("", ""), "pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "Bmatrix": ("{", "}"),
    "vmatrix": ("|", "|"), "Vmatrix": ("‖", "‖"), "smallmatrix": ("", ""), "array": ("", ""),
    "darray": ("", ""), "subarray": ("", ""), "tabular": ("", ""),
}  # fmt: skip
_CASES: Final = {
    "cases": ("{", ""), "dcases": ("{", ""), "rcases": ("", "}"), "drcases": ("", "}"),
    "numcases": ("{", ""),
}  # fmt: skip
_ALIGNED: Final = frozenset(
    """
    align aligned alignat alignedat gather gathered split multline equation eqnarray flalign
    displaymath math multlined
    """.split()  # noqa: SIM905
)
_WITH_COLUMNS: Final = frozenset(["array", "darray", "subarray", "tabular"])
_WITH_COUNT: Final = frozenset(["alignat", "alignedat"])
_RULES: Final = frozenset(["\\hline", "\\hdashline", "\\toprule", "\\midrule", "\\bottomrule"])
_ROW_ENDS: Final = frozenset(["\\\\", "\\\\*", "\\cr", "\\newline"])
_name_of: Final = re.compile(r"\\(?:begin|end)\s*\{\s*([^{}]*?)\s*\}").match

Parse = Callable[[str], Node]
"""Parses a source to a tree; raises `FormulaError`."""


def parse_environment(name: str, lexer: Lexer, parse: Parse) -> Node:
    """Parse an environment whose ``\\begin`` was read, up to and including its ``\\end``.

    Raises `FormulaError` for one that is not known or has no end.
    """
    plain = name.rstrip("*")
    columns = ""
    if plain in _WITH_COLUMNS:
        lexer.raw_option()
        columns = re.sub(r"@\{[^}]*\}|[^lcr]", "", lexer.raw_group())
    elif plain in _WITH_COUNT:
        lexer.raw_group()
    elif name != plain and plain in _DELIMITERS:
        columns = (lexer.raw_option() or "") * 20
    elif plain in ("aligned", "gathered"):
        lexer.raw_option()
    body = _body(name, lexer)
    rows, rules = _rows(body, parse)
    if plain in _DELIMITERS:
        left, right = _DELIMITERS[plain]
        return Matrix(rows, Grid.CELLS, left, right, columns, rules)
    if plain in _CASES:
        left, right = _CASES[plain]
        return Matrix(rows, Grid.CASES, left, right)
    if plain == "eqnarray":  # relations have a column of their own there
        rows = tuple((cells[0], row(cells[1:])) if len(cells) > 2 else cells for cells in rows)
    if plain in _ALIGNED:
        return rows[0][0] if len(rows) == 1 == len(rows[0]) else Matrix(rows, Grid.ALIGNED)
    raise FormulaError(f"the environment {name} is not known")


def lines_of(lines: list[Node]) -> Node:
    """Return rows that ``\\\\`` separated, those without anything left out."""
    kept = tuple((line,) for line in lines if line != EMPTY)
    return kept[0][0] if len(kept) == 1 else Matrix(kept, Grid.ALIGNED)


def _body(name: str, lexer: Lexer) -> list[str]:
    """Return the tokens up to the end of the environment, which is read."""
    start, depth = lexer.position, 1
    while token := lexer.next():
        if token.startswith("\\begin"):
            depth += 1
        elif token.startswith("\\end"):
            depth -= 1
            if not depth:
                match = _name_of(token)
                if match is None or match[1] != name:
                    raise FormulaError(f"{name} is ended by {token}")
                return lexer.tokens[start : lexer.position - 1]
    raise FormulaError(f"{name} has no end")


def _rows(tokens: list[str], parse: Parse) -> tuple[tuple[tuple[Node, ...], ...], frozenset[int]]:
    rows: list[tuple[Node, ...]] = []
    cells: list[Node] = []
    cell: list[str] = []
    rules: set[int] = set()
    depth = position = 0
    tokens = [*tokens, "\\\\"]
    while position < len(tokens):
        token = tokens[position]
        position += 1
        depth += token == "{" or token.startswith("\\begin{") or token == "\\left"
        if depth == 0 and token in _RULES and not "".join(cell).strip() and not cells:
            rules.add(len(rows))
        elif depth == 0 and (token == "&" or token in _ROW_ENDS):
            cells.append(parse("".join(cell).strip()))
            cell = []
            if token != "&":
                position = _after_option(tokens, position)
                if any(node != EMPTY for node in cells):
                    rows.append(tuple(cells))
                cells = []
        else:
            cell.append(token)
        depth -= token == "}" or token.startswith("\\end{") or token == "\\right"
    if not rows:
        if rules:
            return ((Symbol("───"),),), frozenset()
        return ((EMPTY,),), frozenset()
    return tuple(rows), frozenset(rules)


def _after_option(tokens: list[str], position: int) -> int:
    """Return the position after the length in brackets that may follow the end of a row."""
    if tokens[position : position + 1] != ["["]:
        return position
    end = tokens.index("]", position) + 1 if "]" in tokens[position:] else position
    inside = "".join(tokens[position + 1 : end - 1])
    return end if re.fullmatch(r"\s*-?[\d.]+\s*[a-z]{2}\s*", inside) else position


def substack(source: str, parse: Parse) -> Node:
    """Parse the argument of ``\\substack``: rows of one cell."""
    rows, _rules = _rows(Lexer(source).tokens, parse)
    return rows[0][0] if len(rows) == 1 else Matrix(rows)
