"""Cuts a growing Markdown text into small pieces; a piece that is closed never changes.

A piece is a paragraph with what belongs to it, one item of a list (nested items are pieces of
their own), a part of a block of code, of a table or of a quotation, or a formula. Where a piece
ends is decided by whole lines alone, so the pieces of a text are the same however it came in, and
drawing them one by one as they close is drawing the text.

Lists are taken as people and models write them: an item is nested when its marker stands two or
more columns to the right of the outer one, and blank lines are kept where they were written.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from .piece import Piece, PieceKind, cells, dedent, indentation

PIECE_CHARS: Final = 8_000
"""Longest paragraph or line, in characters, that stays in one piece."""
CODE_LINES: Final = 32
"""Most lines of code in one piece."""
TABLE_ROWS: Final = 32
"""Most rows of a table in one piece; the columns' widths come from the first piece."""
MATH_LINES: Final = 40

_marker = re.compile(r"([-*+•]|\d{1,9}[.)])([ \t]+|$)").match
_fence = re.compile(r"(`{3,}|~{3,})[ \t]*(.*)$").match
_rule = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}$").match
_heading = re.compile(r"#{1,6}(?:[ \t]|$)").match
_setext = re.compile(r"(?:=+|-+)[ \t]*$").match
_delimiter = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$").match
_task = re.compile(r"\[([ xX])\](?=[ \t]|$)[ \t]*").match
_math_open = re.compile(r"(\$\$|\\\[|\\begin\{(?:equation|align|gather|aligned)\*?\})").match
_definition = re.compile(r" {0,3}\[([^\]\n]+)\]:[ \t]*\S").match


_APART: Final = (
    PieceKind.CODE,
    PieceKind.TABLE,
    PieceKind.MATH,
)  # a blank line follows, written or not


@dataclass(frozen=True, slots=True)
class _Item:
    """A list item that is open: columns of its marker and its text, cells where text stands."""

    marker: int
    content: int
    cells: int
    sign: str  # "-", "." or ")"
    number: int


class Splitter:
    """Feed it the text as it comes; `closed` grows, `tail` is what may still change."""

    def __init__(self) -> None:
        self.closed: list[Piece] = []
        self.references: dict[str, str] = {}
        self._line = ""
        self._scan = _Scan()

    def feed(self, text: str) -> None:
        """More text, cut anywhere."""
        *whole, rest = text.split("\n")
        if whole:
            whole[0] = self._line + whole[0]
            self._line = rest
            for line in whole:
                self._whole_line(line)
        else:
            self._line += rest
        while len(self._line) > PIECE_CHARS:
            part, self._line = _first_part(self._line)
            self._scan.line(part, self.closed, whole=False)

    def _whole_line(self, line: str) -> None:
        while len(line) > PIECE_CHARS:
            part, line = _first_part(line)
            self._scan.line(part, self.closed, whole=False)
        self._scan.line(line, self.closed)
        if _definition(line):
            self._note_reference(line)

    def _note_reference(self, line: str) -> None:
        found = _definition(line)
        if found:
            self.references.setdefault(" ".join(found[1].split()).casefold(), line)

    def tail(self) -> list[Piece]:
        """The pieces after the closed ones, if the text ended here."""
        scan = self._scan.copy()
        found: list[Piece] = []
        if self._line:
            scan.line(self._line, found)
        scan.close(found)
        return found

    def finish(self) -> None:
        """The text ends."""
        if self._line:
            line, self._line = self._line, ""
            self._whole_line(line)
        self._scan.close(self.closed)


def pieces(text: str) -> list[Piece]:
    """The pieces of a whole text."""
    splitter = Splitter()
    splitter.feed(text)
    splitter.finish()
    return splitter.closed


def _first_part(line: str) -> tuple[str, str]:
    """A line that is too long: its first part, cut after a space where there is one, and the
    rest."""
    at = line.rfind(" ", PIECE_CHARS // 2, PIECE_CHARS) + 1 or PIECE_CHARS
    return line[:at], line[at:]


class _Scan:
    """Where the reading stands: the piece that is open, the items around it."""

    __slots__ = ("_blank", "_fence", "_items", "_last", "_marker", "_newline", "_open", "_until")

    def __init__(self) -> None:
        self._open: Piece | None = None
        self._items: list[_Item] = []
        self._last: Piece | None = None
        self._blank = False
        self._marker = ""  # of an item whose text has not begun
        self._fence = ""
        self._until = ""  # what ends a formula
        self._newline = "\n"  # of the line that is read, empty where only a part of it is

    def copy(self) -> "_Scan":
        """A reading of its own from here; what is open is copied, closed pieces are shared."""
        twin = _Scan()
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin._items = list(self._items)
        if self._open is not None:
            mine = self._open
            twin._open = replace(mine, lines=list(mine.lines), raw=list(mine.raw))
        return twin

    def close(self, out: list[Piece]) -> None:
        """The text ends."""
        if self._marker:
            self._begin(PieceKind.FLOW, out).add("", "")
        self._end(out)

    def line(self, raw: str, out: list[Piece], *, whole: bool = True) -> None:
        """One line, without its newline; or a part of one, the rest of which comes next."""
        goes_on = not self._newline
        self._newline = "\n" if whole else ""
        if goes_on and self._open is not None and (self._fence or not raw.strip(" \t")):
            if len(self._open.lines) >= CODE_LINES:
                self._go_on(out)
            self._open.add(raw, raw, self._newline)
        elif self._fence:
            self._code_line(raw, out)
        elif self._until:
            self._math_line(raw, out)
        elif not raw.strip(" \t"):
            self._end(out)
            self._blank = True
        else:
            column, rest = indentation(raw)
            self._text_line(raw, column, rest, out)

    def _begin(self, kind: PieceKind, out: list[Piece], info: str = "") -> Piece:
        self._end(out)
        indent = self._items[-1].cells if self._items else 0
        apart = self._last is not None and self._last.kind in _APART and not self._marker
        piece = Piece(kind, indent, self._marker, self._blank or apart, info)
        self._marker, self._blank, self._open = "", False, piece
        return piece

    def _end(self, out: list[Piece]) -> None:
        piece, self._open = self._open, None
        if piece is not None:
            piece.closed = piece.ended = True
            out.append(piece)
            self._last = piece

    def _go_on(self, out: list[Piece]) -> None:
        """Close the open piece, its block goes on in another."""
        piece = self._open
        assert piece is not None
        piece.closed = True
        out.append(piece)
        self._last = piece
        more = Piece(piece.kind, piece.indent, info=piece.info)
        more.head, more.before = piece.head or piece, piece
        self._open = more

    def _code_line(self, raw: str, out: list[Piece]) -> None:
        piece = self._open
        assert piece is not None
        _column, rest = indentation(raw)
        ends = rest.rstrip(" \t")
        if ends.startswith(self._fence) and not ends.strip(self._fence[0]):
            piece.raw.append(raw + self._newline)
            self._fence = ""
            self._end(out)
            return
        full = len(piece.lines) >= CODE_LINES
        if full or (len(piece.lines) >= CODE_LINES // 2 and not piece.lines[-1].strip()):
            self._go_on(out)
            piece = self._open
            assert piece is not None
        margin = self._items[-1].content if self._items else 0
        piece.add(raw, dedent(raw, margin), self._newline)

    def _math_line(self, raw: str, out: list[Piece]) -> None:
        piece = self._open
        assert piece is not None
        piece.add(raw, raw.strip(), self._newline)
        if raw.rstrip().endswith(self._until) or len(piece.lines) >= MATH_LINES:
            self._until = ""
            self._end(out)

    def _text_line(self, raw: str, column: int, rest: str, out: list[Piece]) -> None:
        piece = self._open
        marker = None if _rule(rest) else _marker(rest)
        if (
            marker
            and piece is not None
            and piece.kind is PieceKind.FLOW
            and not self._interrupts(column, marker, rest)
        ):
            marker = None
        starts = bool(marker or _fence(rest) or _heading(rest) or rest[0] == ">")
        starts = starts or bool(_rule(rest) and not self._underlines(column, rest))
        if piece is None or starts:
            while self._items and column < self._items[-1].marker + 2:
                if marker and column >= self._items[-1].marker:
                    break
                self._end(out)
                self._leave(out)
        if marker:
            self._item(raw, column, marker, rest, out)
            return
        margin = self._items[-1].content if self._items else 0
        self._plain_line(raw, rest, dedent(raw, margin), out)

    def _interrupts(self, column: int, marker: "re.Match[str]", rest: str) -> bool:
        """Whether a marker within a paragraph starts a list."""
        if marker.end() == len(rest):
            return bool(self._items) and not self._underlines(column, rest)
        return bool(self._items) or marker[1] in "-*+•" or marker[1][:-1] == "1"

    def _underlines(self, column: int, rest: str) -> bool:
        """Whether the line makes a heading of the paragraph above it."""
        piece = self._open
        if self._items and column < self._items[-1].marker + 2:
            return False
        return bool(
            piece and piece.kind is PieceKind.FLOW and piece.lines[-1].strip() and _setext(rest)
        )

    def _leave(self, out: list[Piece]) -> None:
        if self._marker:
            self._begin(PieceKind.FLOW, out).add("", "")
            self._end(out)
        self._items.pop()

    def _item(
        self, raw: str, column: int, marker: "re.Match[str]", rest: str, out: list[Piece]
    ) -> None:
        self._end(out)
        if self._marker:  # an item right in an item: "- 1. text"
            self._begin(PieceKind.FLOW, out).add("", "")
            self._end(out)
        sign = marker[1][-1]
        number = int(marker[1][:-1]) if marker[1][:-1] else 0
        if self._items and column < self._items[-1].marker + 2:
            before = self._items.pop()
            if before.sign == sign and marker[1][:-1]:
                number = before.number + 1
        text = rest[marker.end() :]
        task = _task(text)
        if task:
            shown = "☐" if task[1] == " " else "☑"
            text = text[task.end() :]
        elif marker[1][:-1]:
            shown = f"{number}{sign}"
        else:
            shown = "•◦▪"[min(2, sum(item.sign in "-*+•" for item in self._items))]
        gap = marker.end() if len(marker[2].expandtabs(4)) < 5 else len(marker[1]) + 1
        outer = self._items[-1].cells if self._items else 0
        cells = outer + max(2, len(shown) + 1)
        self._items.append(_Item(column, column + gap, cells, sign, number))
        self._marker = shown
        if not text.strip():
            self._begin(PieceKind.FLOW, out).add(raw, "", self._newline)
            return
        inner = len(raw) - len(text)
        nested = None if _rule(text) else _marker(text)
        if nested and not task:
            self._item(raw, column + gap, nested, text, out)
        else:
            self._plain_line(raw, text.lstrip(" \t") if inner else text, text, out)

    def _plain_line(self, raw: str, rest: str, line: str, out: list[Piece]) -> None:
        """A line that starts no item. `rest` has no indentation, `line` that within the item."""
        piece = self._open
        if rest[0] == ">":
            self._quote_line(raw, rest, out)
            return
        fence = _fence(rest)
        if fence and not (fence[1][0] == "`" and "`" in fence[2]):
            piece = self._begin(PieceKind.CODE, out, fence[2].strip())
            piece.raw.append(raw + self._newline)
            self._fence = fence[1]
            return
        math = _math_open(rest)
        if math and self._math_begins(raw, rest, math[1], out):
            return
        if piece is not None and piece.kind is PieceKind.QUOTE and piece.lines[-1].strip():
            if not (_heading(rest) or _rule(rest)):
                piece.add(raw, rest)  # a paragraph of the quotation goes on without its sign
                return
            piece = None
        if piece is not None and piece.kind is PieceKind.TABLE:
            if not (_heading(rest) or _rule(rest)):
                self._row(raw, rest, out)
                return
            piece = None
        if (
            piece is not None
            and piece.kind is PieceKind.FLOW
            and self._table_begins(raw, rest, out)
        ):
            return
        if piece is None or piece.kind is not PieceKind.FLOW or piece.chars > PIECE_CHARS:
            if piece is not None and piece is self._open and piece.kind is PieceKind.FLOW:
                self._go_on(out)
                piece = self._open
                assert piece is not None
            else:
                piece = self._begin(PieceKind.FLOW, out)
        piece.add(raw, line, self._newline)
        if _heading(rest) and len(piece.lines) == 1:
            self._end(out)

    def _math_begins(self, raw: str, rest: str, sign: str, out: list[Piece]) -> bool:
        until = {"$$": "$$", "\\[": "\\]"}.get(sign) or sign.replace("begin", "end")
        text = rest.rstrip()
        inside = text[len(sign) :]
        whole = inside.endswith(until) and len(inside) > len(until)
        if not whole and until in inside:
            return False  # a formula within a sentence
        self._begin(PieceKind.MATH, out).add(raw, text, self._newline)
        if whole:
            self._end(out)
        else:
            self._until = until
        return True

    def _quote_line(self, raw: str, rest: str, out: list[Piece]) -> None:
        piece = self._open
        text = rest[1:].removeprefix(" ")
        if piece is None or piece.kind is not PieceKind.QUOTE:
            piece = self._begin(PieceKind.QUOTE, out)
        elif piece.chars > PIECE_CHARS and (not text.strip() or piece.chars > 2 * PIECE_CHARS):
            self._go_on(out)
            piece = self._open
            assert piece is not None
        piece.add(raw, text, self._newline)

    def _table_begins(self, raw: str, rest: str, out: list[Piece]) -> bool:
        piece = self._open
        assert piece is not None
        head = piece.lines[-1].removesuffix("\n")
        if "|" not in head or not _delimiter(rest) or len(cells(head)) != len(cells(rest)):
            return False
        head_raw = piece.raw[-1]
        if len(piece.lines) > 1:
            piece.lines.pop()
            piece.raw.pop()
            table = self._begin(PieceKind.TABLE, out)
        else:
            table = piece
            table.kind = PieceKind.TABLE
            table.lines, table.raw, table.chars = [], [], 0
        table.add(head_raw.removesuffix("\n"), head.strip())
        table.add(raw, rest, self._newline)
        return True

    def _row(self, raw: str, rest: str, out: list[Piece]) -> None:
        piece = self._open
        assert piece is not None
        if len(piece.lines) >= TABLE_ROWS + (2 if piece.head is None else 0):
            self._go_on(out)
            piece = self._open
            assert piece is not None
        piece.add(raw, rest, self._newline)
