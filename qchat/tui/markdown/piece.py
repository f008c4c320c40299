"""A piece of a message, and helpers for indentation and table cells."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from .math_rules import formula_end

CODE_INDENT: Final = 4
"""Columns of indentation from which text is code."""


class PieceKind(Enum):
    """The kind of Markdown that a piece contains."""

    FLOW = auto()  # paragraphs, headings, rules, HTML
    CODE = auto()
    TABLE = auto()
    QUOTE = auto()
    MATH = auto()


@dataclass(slots=True, eq=False)
class Piece:
    """A part of a message.

    `source` is its source text, `body` the text to draw, without the indentation of the list around
    it. `indent` counts the cells to its left, at whose end `marker` is drawn. `info` is the info
    string of a fence. Where a block is split over several pieces, `head` is the first of them and
    `previous` the one before, both None in the first; `is_block_end` marks the last.

    `raw` and `lines` are the lines of `source` and `body`, each with its newline; an entry without
    one continues in the next entry or the next piece, because the line was too long for one piece.
    """

    kind: PieceKind
    indent: int = 0
    marker: str = ""
    blank_before: bool = False
    info: str = ""
    head: "Piece | None" = None
    previous: "Piece | None" = None
    lines: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    char_count: int = 0
    is_closed: bool = False
    is_block_end: bool = False  # the block ends here: a fence was closed, or something else began

    @property
    def body(self) -> str:
        """The text to draw."""
        return "".join(self.lines).removesuffix("\n")

    @property
    def source(self) -> str:
        """The source text, without the last newline."""
        return "".join(self.raw).removesuffix("\n")

    @property
    def continues(self) -> bool:
        """Whether the last line continues in the next piece."""
        return bool(self.raw) and not self.raw[-1].endswith("\n")

    def add(self, raw: str, line: str, end: str = "\n") -> None:
        """Append a line, or with ``end=""`` a part of one."""
        self.raw.append(raw + end)
        self.lines.append(line + end)
        self.char_count += len(line) + 1


def is_indented_code(piece: Piece | None) -> bool:
    """Return whether a piece is code by its indentation alone, at the margin of the text."""
    return (
        piece is not None
        and piece.kind is PieceKind.FLOW
        and not piece.indent
        and bool(piece.lines)
        and indentation(piece.lines[0])[0] >= CODE_INDENT
        and all(
            indentation(line)[0] >= CODE_INDENT
            for line in (piece.lines[-1], *piece.lines[-2:-1])
            if line.strip()
        )
    )


def indentation(raw: str) -> tuple[int, str]:
    """Return the columns of leading white space (tab stops every four), and the rest."""
    rest = raw.lstrip(" \t")
    whitespace = raw[: len(raw) - len(rest)]
    return len(whitespace.expandtabs(4)) if whitespace else 0, rest


def dedent(raw: str, margin: int) -> str:
    """Remove up to `margin` columns of indentation from a line."""
    position = column = 0
    while column < margin and raw[position : position + 1] in (" ", "\t"):
        column += 4 - column % 4 if raw[position] == "\t" else 1
        position += 1
    return " " * (column - margin) + raw[position:]


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
            yield row[start:position].strip().replace("\\|", "|")
            start = position + 1
        position += 1
    if row[start:].strip():
        yield row[start:].strip().replace("\\|", "|")
