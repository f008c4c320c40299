"""A piece of a message, and helpers for indentation."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

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
