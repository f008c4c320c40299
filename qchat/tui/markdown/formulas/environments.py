"""Environments (``\\begin{cases} … \\end{cases}``) and other formulas of several rows."""

import re
from collections.abc import Callable
from typing import Final

from .lexer import FormulaError, Lexer, after_row_end, stripped
from .tree import EMPTY, Grid, Matrix, Node, Space, Symbol, row

_DELIMITERS: Final = {
    "matrix": ("", ""), "pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "Bmatrix": ("{", "}"),
    "vmatrix": ("|", "|"), "Vmatrix": ("‖", "‖"), "smallmatrix": ("", ""), "array": ("", ""),
    "psmallmatrix": ("(", ")"), "bsmallmatrix": ("[", "]"), "Bsmallmatrix": ("{", "}"),
    "vsmallmatrix": ("|", "|"), "Vsmallmatrix": ("‖", "‖"), "darray": ("", ""),
    "subarray": ("", ""), "tabular": ("", ""),
}  # fmt: skip
_CASES: Final = {
    "cases": ("{", ""), "dcases": ("{", ""), "rcases": ("", "}"), "drcases": ("", "}"),
    "numcases": ("{", ""), "subnumcases": ("{", ""),
}  # fmt: skip
_ALIGNED: Final = frozenset(
    """
    align aligned alignat alignedat gather gathered split multline equation eqnarray flalign
    displaymath math multlined
    """.split()  # noqa: SIM905
)
ENVIRONMENTS: Final = (_DELIMITERS.keys() | _CASES.keys() | _ALIGNED) - {"math", "tabular"}
"""Environments that are formulas where they stand alone in a text, without their stars."""
TEX_GRIDS: Final = {
    "matrix": (Grid.CELLS, "", ""), "pmatrix": (Grid.CELLS, "(", ")"),
    "cases": (Grid.CASES, "{", ""), "eqalign": (Grid.ALIGNED, "", ""),
    "displaylines": (Grid.ALIGNED, "", ""),
}  # fmt: skip
"""Commands of plain TeX that take all rows as one argument."""
_PLACED: Final = frozenset(
    """
    array darray subarray tabular aligned alignedat gathered multlined
    """.split()  # noqa: SIM905
)
_PLACES: Final = frozenset(["[t]", "[c]", "[b]"])
_WITH_COLUMNS: Final = frozenset(["array", "darray", "subarray", "tabular"])
_WITH_COUNT: Final = frozenset(["alignat", "alignedat"])
_RULES: Final = frozenset(["\\hline", "\\hdashline", "\\toprule", "\\midrule", "\\bottomrule"])
ROW_ENDS: Final = frozenset(["\\\\", "\\cr", "\\newline", "\\tabularnewline"])
_TEXT_ROWS: Final = frozenset(["\\intertext", "\\shortintertext"])
_FILLS: Final = frozenset(["\\hfill", "\\hfil"])
_PARTIAL_RULES: Final = frozenset(["\\cline", "\\cmidrule", "\\hhline", "\\addlinespace"])
_repeated: Final = re.compile(r"\*\{(\d+)\}\{([^{}]*)\}").sub
_between: Final = re.compile(r"[@!<>]\{[^{}]*\}").sub
_paragraph: Final = re.compile(r"[pmb]\{[^{}]*\}").sub
_match_span: Final = re.compile(r"\\multicolumn\s*\{\s*(\d{1,4})\s*\}\s*\{[^{}]*\}").match
_match_rule: Final = re.compile(r"\s*(?:\[[^\]]*\])?(?:\([lr]*\))?\s*\{[^{}]*\}").match
_name_of: Final = re.compile(r"\\(?:begin|end)\s*\{\s*([^{}]*?)\s*\}").match

Parse = Callable[[str], Node]
"""Parses a source to a tree; raises `FormulaError`."""


def parse_environment(name: str, lexer: Lexer, parse: Parse) -> Node:
    """Parse an environment whose ``\\begin`` was read, up to and including its ``\\end``.

    One that is not known stays as its source. Raises `FormulaError` where it has no end.
    """
    plain = name.rstrip("*")
    known = plain in _DELIMITERS or plain in _CASES or plain in _ALIGNED
    columns, bars = _columns_of(_options(name, plain, lexer)) if known else ("", frozenset())
    before = parse(lexer.raw_group()) if plain.endswith("numcases") else EMPTY
    body = _body(name, lexer)
    if not known:
        source = f"\\begin{{{name}}}{''.join(body)}\\end{{{name}}}"
        return Symbol(" ".join(source.split()))
    rows, rules = _rows(body, parse)
    if plain in _DELIMITERS:
        left, right = _DELIMITERS[plain]
        return Matrix(rows, Grid.CELLS, left, right, columns, rules, bars)
    if plain in _CASES:
        cases = Matrix(rows, Grid.CASES, *_CASES[plain])
        return cases if before == EMPTY else row([before, Space(1), cases])
    if plain == "eqnarray":  # relations have a column of their own there
        rows = tuple((cells[0], row(cells[1:])) if len(cells) > 2 else cells for cells in rows)
    return rows[0][0] if len(rows) == 1 == len(rows[0]) else Matrix(rows, Grid.ALIGNED)


def _options(name: str, plain: str, lexer: Lexer) -> str:
    """Read the arguments of an environment; return the preamble of its columns."""
    if plain in _PLACED and "".join(lexer.tokens[lexer.position : lexer.position + 3]) in _PLACES:
        lexer.raw_option()
    if plain in _WITH_COLUMNS:
        return lexer.raw_group()
    if plain in _WITH_COUNT:
        lexer.raw_group()
    if name != plain and plain in _DELIMITERS:
        return (lexer.raw_option() or "") * 20
    return ""


def _columns_of(preamble: str) -> tuple[str, frozenset[int]]:
    """Return one of "lcr" for each column of an array, and those that a rule stands before."""
    preamble = _repeated(lambda match: match[2] * min(20, int(match[1])), preamble)
    preamble = re.sub("[^lcr|:]", "", _paragraph("l", _between("", preamble)))
    columns, bars = "", set()
    for letter in preamble:
        if letter in "|:":
            bars.add(len(columns))
        else:
            columns += letter
    return columns, frozenset(bars - {0, len(columns)})  # those at the sides part nothing


def tex_grid(name: str, source: str, parse: Parse) -> Node:
    r"""Parse the argument of plain TeX's ``\matrix`` and its like, with ``\cr`` between rows."""
    grid, left, right = TEX_GRIDS[name]

    def parse_cell(cell: str) -> Node:
        return parse(f"\\text{{{cell}}}" if "$" in cell else cell)  # a condition is text there

    return grid_of(source, parse_cell, left, right, grid)


def grid_of(source: str, parse: Parse, left: str, right: str, grid: Grid = Grid.CELLS) -> Node:
    """Parse rows of cells and return them between delimiters."""
    rows, rules = _rows(Lexer(source).tokens, parse)
    return Matrix(rows, grid, left, right, "", rules)


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
        elif token in _FILLS and not "".join(cell).strip():
            continue  # it only moves the cell to the right
        elif depth == 0 and token in _TEXT_ROWS:
            lexer = Lexer("")
            lexer.tokens, lexer.position = tokens, position
            text_row = ["\\\\", "\\text", "{", lexer.raw_group(), "}", "\\\\"]
            tokens, position = [*text_row, *tokens[lexer.position :]], 0
            continue
        elif depth == 0 and token in _PARTIAL_RULES:
            position = _after_rule(tokens, position)
            continue
        elif depth == 0 and (token == "&" or token in ROW_ENDS):
            cells += _cells(stripped("".join(cell)), parse)
            cell = []
            if token != "&":
                position = after_row_end(tokens, position)
                if any(node != EMPTY for node in cells):
                    rows.append(tuple(cells))
                cells = []
        else:
            cell.append(token)
        depth -= token == "}" or token.startswith("\\end{") or token == "\\right"
    if "".join(cell).strip():
        raise FormulaError("a brace is open")
    if not rows:
        if rules:
            return ((Symbol("───"),),), frozenset()
        return ((EMPTY,),), frozenset()
    return tuple(rows), frozenset(rules)


def _cells(source: str, parse: Parse) -> list[Node]:
    """Parse a cell; one across several columns is followed by empty ones."""
    span = _match_span(source)
    if span is None:
        return [parse(source)]
    count = max(1, min(20, int(span[1])))
    return [parse(source[span.end() :]), *[EMPTY] * (count - 1)]


def _after_rule(tokens: list[str], position: int) -> int:
    """Return the position after the arguments of a rule across some columns."""
    match = _match_rule("".join(tokens[position:]))
    size = match.end() if match else 0
    while size > 0:
        size -= len(tokens[position])
        position += 1
    return position


def substack(source: str, parse: Parse) -> Node:
    """Parse the argument of ``\\substack``: rows of one cell."""
    rows, _rules = _rows(Lexer(source).tokens, parse)
    return rows[0][0] if len(rows) == 1 else Matrix(rows)
