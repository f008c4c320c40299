"""A piece of a message, and the columns and cells of its lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto


class PieceKind(Enum):
    """What a piece is."""

    FLOW = auto()  # paragraphs, headings, rules, HTML: what has no inner pieces
    CODE = auto()
    TABLE = auto()
    QUOTE = auto()
    MATH = auto()


@dataclass(slots=True, eq=False)
class Piece:
    """A part of a message.

    `source` is the text as it came, `body` what is to be drawn (without the indentation of the
    list around it). `indent` counts cells to the left, `marker` stands at their end. `gap`: a
    blank line stands before. `info` is the language of code. A piece whose block began in an
    earlier one has that in `head`, and the one just before in `before`. `raw` and `lines` are the
    source and what is drawn, each line with its newline; without one the line goes on, in the
    next entry or the next piece: it was too long for one.
    """

    kind: PieceKind
    indent: int = 0
    marker: str = ""
    gap: bool = False
    info: str = ""
    head: "Piece | None" = None
    before: "Piece | None" = None
    lines: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    chars: int = 0
    closed: bool = False
    ended: bool = False  # the block ends here: a fence was closed, or something else began

    @property
    def body(self) -> str:
        """What is drawn."""
        return "".join(self.lines).removesuffix("\n")

    @property
    def source(self) -> str:
        """The text as it came, without the last newline."""
        return "".join(self.raw).removesuffix("\n")

    @property
    def goes_on(self) -> bool:
        """Whether the last line goes on in the next piece."""
        return bool(self.raw) and not self.raw[-1].endswith("\n")

    def add(self, raw: str, line: str, end: str = "\n") -> None:
        """One more line, or with ``end=""`` a part of one."""
        self.raw.append(raw + end)
        self.lines.append(line + end)
        self.chars += len(line) + 1


def indentation(raw: str) -> tuple[int, str]:
    """Columns of white space before the text (a tab goes to the next fourth), and the text."""
    rest = raw.lstrip(" \t")
    before = raw[: len(raw) - len(rest)]
    return len(before.expandtabs(4)) if before else 0, rest


def dedent(raw: str, margin: int) -> str:
    """The line without `margin` columns of its indentation, or without all of a smaller one."""
    at = column = 0
    while column < margin and raw[at : at + 1] in (" ", "\t"):
        column += 4 - column % 4 if raw[at] == "\t" else 1
        at += 1
    return " " * (column - margin) + raw[at:]


def cells(row: str) -> list[str]:
    """The cells of a table's row; a pipe after a backslash or in a code span is text."""
    return list(_cells(row.strip()))


def _cells(row: str) -> Iterator[str]:
    row = row.removeprefix("|")
    start = at = 0
    ticks = False
    while at < len(row):
        character = row[at]
        if character == "\\":
            at += 2
            continue
        if character == "`":
            ticks = not ticks and row.find("`", at + 1) >= 0
        elif character == "|" and not ticks:
            yield row[start:at].strip().replace("\\|", "|")
            start = at + 1
        at += 1
    if row[start:].strip():
        yield row[start:].strip().replace("\\|", "|")
