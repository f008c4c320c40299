"""The line scanner behind `Splitter`: it decides where pieces begin and end.

Lists are taken as people and models write them: an item is nested when its marker stands two or
more columns to the right of the outer one, and blank lines stay where they were written.
"""

import re
from dataclasses import replace

from . import block_rules as rules
from .math_block import MathBlock, open_math, open_math_after
from .piece import CODE_INDENT, Piece, PieceKind, dedent, indentation, is_indented_code
from .piece_writer import PieceWriter


class BlockScanner(PieceWriter):
    """The state between two lines: the open piece, and what it is part of."""

    __slots__ = ("_blank_lines", "_fence", "_fence_column", "_in_note", "_line_end", "_math")

    def __init__(self) -> None:
        super().__init__()
        self._blank_lines: list[str] = []  # within indented code, until it goes on
        self._fence = ""
        self._fence_column = 0
        self._in_note = False  # a footnote, whose paragraphs are indented
        self._math: MathBlock | None = None  # the open formula
        self._line_end = "\n"  # of the current line, "" where only a part of it was fed

    def copy(self) -> "BlockScanner":
        """Copy the state and the open piece; closed pieces are shared."""
        copy = BlockScanner()
        self.copy_to(copy)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy._blank_lines = list(self._blank_lines)
        if self._math is not None:
            copy._math = replace(self._math)
        return copy

    def close(self, out: list[Piece]) -> None:
        """Close what is open: the text is complete."""
        while self._math is not None:
            self._abandon_math(out)
        self._blank_lines.clear()
        if self._marker:
            self.open_piece(PieceKind.FLOW, out).add("", "")
        self.close_piece(out)

    def feed_line(self, raw: str, out: list[Piece], *, whole: bool = True) -> None:
        """Scan a line, given without its newline; `whole` is False where the rest of it follows."""
        continues_line = not self._line_end
        self._line_end = "\n" if whole else ""
        if continues_line and self._piece is not None and (self._fence or not raw.strip(" \t")):
            if len(self._piece.lines) >= rules.CODE_LINES:
                self.continue_block(out)
            self._piece.add(raw, raw, self._line_end)
        elif self._fence:
            self._code_line(raw, out)
        elif self._math is not None:
            self._math_line(raw, out)
        elif not raw.strip(" \t"):
            if whole and is_indented_code(self._piece):
                self._blank_lines.append(raw)
                return
            self.close_piece(out)
            self._after_blank = True
        else:
            column, rest = indentation(raw)
            if self._blank_lines:
                self._end_blank_lines(column, out)
            self._text_line(raw, column, rest, out)

    @property
    def is_in_code(self) -> bool:
        """Whether the next line is one of a fenced code block, or its end."""
        return bool(self._fence)

    def _end_blank_lines(self, column: int, out: list[Piece]) -> None:
        """Add the blank lines to the indented code that goes on after them, or end it."""
        blank, self._blank_lines = self._blank_lines, []
        if column < CODE_INDENT:
            self.close_piece(out)
            self._after_blank = True
            return
        assert self._piece is not None
        for raw in blank:
            self._piece.add(raw, raw)

    def _code_line(self, raw: str, out: list[Piece]) -> None:
        piece = self._piece
        assert piece is not None
        column, rest = indentation(raw)
        ends = rest.rstrip(" \t")
        is_fence = ends.startswith(self._fence) and not ends.strip(self._fence[0])
        if is_fence and column < self._fence_column + 4:  # deeper, it belongs to the code
            piece.raw.append(raw + self._line_end)
            self._fence = ""
            self.close_piece(out)
            return
        full = len(piece.lines) >= rules.CODE_LINES
        if full or (len(piece.lines) >= rules.CODE_LINES // 2 and not piece.lines[-1].strip()):
            self.continue_block(out)
            piece = self._piece
            assert piece is not None
        piece.add(raw, dedent(raw, self._fence_column), self._line_end)

    def _math_line(self, raw: str, out: list[Piece]) -> None:
        """Scan a line within a formula: it may end it, or show that there is none."""
        math, piece = self._math, self._piece
        assert math is not None and piece is not None
        if math.is_broken_by(raw):
            line_end = self._line_end
            self._abandon_math(out)
            self.feed_line(raw, out, whole=bool(line_end))
            return
        end = math.end_in(raw)
        if end < 0:
            piece.add(raw, raw.strip(), self._line_end)
            return
        self._math = None
        is_whole = math.takes(raw[end:])
        formula = raw if is_whole else raw[:end]
        piece.add(formula, formula.strip(), self._line_end if is_whole else "")
        if math.text_lines:
            self._part_formula(math, out)
        self.close_piece(out)
        if not is_whole:
            self.open_piece(PieceKind.FLOW, out)
            self._add_text(raw[end:], raw[end:].lstrip())

    def _part_formula(self, math: MathBlock, out: list[Piece]) -> None:
        """Close the text at whose end a formula began, and open a piece of the formula."""
        text = self._piece
        assert text is not None
        first = math.text_lines - 1
        lines, raw = text.lines[first:], text.raw[first:]
        at, raw_at = lines[0].rindex(math.opening), raw[0].rindex(math.opening)
        text.lines[first:], text.raw[first:] = [lines[0][:at].rstrip()], [raw[0][:raw_at]]
        formula = self.open_piece(PieceKind.MATH, out)
        lines[0], raw[0] = lines[0][at:], raw[0][raw_at:]
        formula.lines, formula.raw = lines, raw

    def _abandon_math(self, out: list[Piece]) -> None:
        """Scan the lines of the open formula again as ordinary Markdown: it has no end."""
        math, piece = self._math, self._piece
        assert math is not None and piece is not None
        self._math = None
        lines = piece.raw
        if math.text_lines:  # the line on which it began is text already
            lines = piece.raw[math.text_lines :]
            piece.char_count -= sum(map(len, piece.lines[math.text_lines :]))
            del piece.raw[math.text_lines :], piece.lines[math.text_lines :]
        else:
            self._piece = None
            self._marker, self._after_blank = math.marker, math.after_blank
        for number, raw in enumerate(lines):
            self._line_end = "\n" if raw.endswith("\n") else ""
            text = raw.removesuffix("\n")
            if number or math.text_lines:
                self.feed_line(text, out, whole=raw.endswith("\n"))
            else:
                column, rest = indentation(text)
                line = rest if math.marker else dedent(text, self._margin(column))
                self._flow_line(text, rest if not math.marker else math.text, line, out)

    def _margin(self, column: int) -> int:
        """Return the column at which the text around a line begins; the line's is `column`."""
        margin = self._items[-1].content if self._items else 0
        is_note = self._in_note and column >= margin + CODE_INDENT
        return margin + CODE_INDENT if is_note else margin

    def _text_line(self, raw: str, column: int, rest: str, out: list[Piece]) -> None:
        if self._piece is None and column < CODE_INDENT:
            self._in_note = False
        if self._is_literal(column, rest):
            self._flow_line(raw, rest, raw, out)
            return
        piece = self._piece
        marker = None if rules.match_rule(rest) else rules.match_marker(rest)
        if (
            marker
            and piece is not None
            and piece.kind is PieceKind.FLOW
            and not self._interrupts(column, marker, rest)
        ):
            marker = None
        starts_block = bool(
            marker or rules.match_fence(rest) or rules.match_heading(rest) or rest[0] == ">"
        )
        starts_block = starts_block or bool(
            rules.match_rule(rest) and not self._underlines(column, rest)
        )
        if piece is None or starts_block:
            while self._items and column < self._items[-1].marker + 2:
                if marker and column >= self._items[-1].marker:
                    break
                self.close_piece(out)
                self._close_item(out)
        if marker:
            self._list_item(raw, column, marker, rest, out)
            return
        self._content_line(raw, rest, dedent(raw, self._margin(column)), out)

    def _is_literal(self, column: int, rest: str) -> bool:
        """Whether a line is indented so far that it is code or goes on a quotation, and no list
        item, heading or quotation, as it would be with less."""
        piece = self._piece
        if column < CODE_INDENT or self._items or self._in_note or rules.match_fence(rest):
            return False
        if piece is None:
            return rest[0] == ">"
        if piece.kind is PieceKind.QUOTE:
            return bool(piece.lines[-1].strip())
        return is_indented_code(piece)

    def _interrupts(self, column: int, marker: "re.Match[str]", rest: str) -> bool:
        """Return whether a list marker interrupts the open paragraph."""
        if marker.end() == len(rest):
            return bool(self._items) and not self._underlines(column, rest)
        return bool(self._items) or marker[1] in "-*+•" or marker[1][:-1] == "1"

    def _underlines(self, column: int, rest: str) -> bool:
        """Return whether the line is a setext underline of the open paragraph."""
        piece = self._piece
        if self._items and column < self._items[-1].marker + 2:
            return False
        return bool(
            piece
            and piece.kind is PieceKind.FLOW
            and piece.lines[-1].strip()
            and rules.match_setext(rest)
        )

    def _close_item(self, out: list[Piece]) -> None:
        if self._marker:
            self.open_piece(PieceKind.FLOW, out).add("", "")
            self.close_piece(out)
        self._items.pop()

    def _list_item(
        self, raw: str, column: int, marker: "re.Match[str]", rest: str, out: list[Piece]
    ) -> None:
        self.close_piece(out)
        if self._marker:  # an item directly within an item: "- 1. text"
            self.open_piece(PieceKind.FLOW, out).add("", "")
            self.close_piece(out)
        delimiter = marker[1][-1]
        number = int(marker[1][:-1]) if marker[1][:-1] else 0
        if self._items and column < self._items[-1].marker + 2:
            previous = self._items.pop()
            if previous.delimiter == delimiter and marker[1][:-1]:
                number = previous.number + 1
        text = rest[marker.end() :]
        task = rules.match_task(text)
        if task:
            label = "☐" if task[1] == " " else "☑"
            text = text[task.end() :]
        elif marker[1][:-1]:
            label = f"{number}{delimiter}"
        else:
            label = "•◦▪"[min(2, sum(item.delimiter in "-*+•" for item in self._items))]
        content_offset = marker.end() if len(marker[2].expandtabs(4)) < 5 else len(marker[1]) + 1
        outer = self._items[-1].cells if self._items else 0
        cells = outer + max(2, len(label) + 1)
        self._items.append(
            rules.ListItem(column, column + content_offset, cells, delimiter, number)
        )
        self._marker = label
        if not text.strip():
            self.open_piece(PieceKind.FLOW, out).add(raw, "", self._line_end)
            return
        inner = len(raw) - len(text)
        nested = None if rules.match_rule(text) else rules.match_marker(text)
        if nested and not task and len(self._items) < rules.ITEMS_ON_LINE:
            self._list_item(raw, column + content_offset, nested, text, out)
        else:
            self._content_line(raw, text.lstrip(" \t") if inner else text, text, out)

    def _content_line(self, raw: str, rest: str, line: str, out: list[Piece]) -> None:
        """Scan a line that starts no list item.

        `rest` is the line without its indentation, `line` with its indentation within the item.
        """
        piece = self._piece
        if rest[0] == ">":
            self._quote_line(raw, rest, out)
            return
        fence = rules.match_fence(rest)
        if fence and not (fence[1][0] == "`" and "`" in fence[2]):
            piece = self.open_piece(PieceKind.CODE, out, fence[2].strip())
            piece.raw.append(raw + self._line_end)
            self._fence, self._fence_column = fence[1], indentation(raw)[0]
            return
        math = open_math(rest, self._marker, self._after_blank)
        if math is not None:
            self._begin_math(raw, rest, math, out)
            return
        self._flow_line(raw, rest, line, out)

    def _flow_line(self, raw: str, rest: str, line: str, out: list[Piece]) -> None:
        """Scan a line of a paragraph, heading or table, or one that continues a quotation."""
        piece = self._piece
        if piece is not None and piece.kind is PieceKind.QUOTE and piece.lines[-1].strip():
            if not (rules.match_heading(rest) or rules.match_rule(rest)):
                piece.add(raw, rules.lazy_line(rest))
                return
            piece = None
        if piece is not None and piece.kind is PieceKind.TABLE:
            if not (rules.match_heading(rest) or rules.match_rule(rest)):
                self._table_row(raw, rest, out)
                return
            piece = None
        if piece is not None and piece.kind is PieceKind.FLOW and self._begin_table(raw, rest, out):
            return
        if (
            piece is None
            or piece.kind is not PieceKind.FLOW
            or piece.char_count > rules.PIECE_CHARS
        ):
            if piece is not None and piece is self._piece and piece.kind is PieceKind.FLOW:
                self.continue_block(out)
                piece = self._piece
                assert piece is not None
            else:
                piece = self.open_piece(PieceKind.FLOW, out)
        if rules.match_heading(rest) and not piece.lines:
            piece.add(raw, line, self._line_end)
            self.close_piece(out)
        else:
            self._add_text(raw, line)

    def _add_text(self, raw: str, line: str) -> None:
        """Add a line to the open paragraph; a formula may begin at its end."""
        piece = self._piece
        assert piece is not None
        piece.add(raw, line, self._line_end)
        self._in_note = self._in_note or bool(rules.match_note(line))
        if self._line_end:
            self._math = open_math_after(line, len(piece.lines))

    def _begin_math(self, raw: str, rest: str, math: MathBlock, out: list[Piece]) -> None:
        self.open_piece(PieceKind.MATH, out).add(raw, rest.rstrip(), self._line_end)
        if math.is_whole:
            self.close_piece(out)
        else:
            self._math = math

    def _quote_line(self, raw: str, rest: str, out: list[Piece]) -> None:
        piece = self._piece
        text = rest[1:].removeprefix(" ")
        if piece is None or piece.kind is not PieceKind.QUOTE:
            piece = self.open_piece(PieceKind.QUOTE, out)
        elif piece.char_count > rules.PIECE_CHARS and (
            not text.strip() or piece.char_count > 2 * rules.PIECE_CHARS
        ):
            self.continue_block(out)
            piece = self._piece
            assert piece is not None
        piece.add(raw, text, self._line_end)

    def _begin_table(self, raw: str, rest: str, out: list[Piece]) -> bool:
        piece = self._piece
        assert piece is not None
        head = piece.lines[-1].removesuffix("\n")
        if not rules.begins_table(head, rest):
            return False
        head_raw = piece.raw[-1]
        if len(piece.lines) > 1:
            piece.lines.pop()
            piece.raw.pop()
            table = self.open_piece(PieceKind.TABLE, out)
        else:
            table = piece
            table.kind = PieceKind.TABLE
            table.lines, table.raw, table.char_count = [], [], 0
        table.add(head_raw.removesuffix("\n"), head.strip())
        table.add(raw, rest, self._line_end)
        return True

    def _table_row(self, raw: str, rest: str, out: list[Piece]) -> None:
        piece = self._piece
        assert piece is not None
        if len(piece.lines) >= rules.TABLE_ROWS + (2 if piece.head is None else 0):
            self.continue_block(out)
            piece = self._piece
            assert piece is not None
        piece.add(raw, rest, self._line_end)
