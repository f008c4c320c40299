"""Converts a selection of cells to text: whole blocks to their source, parts to their text."""

import re
from collections.abc import Sequence

from rich.cells import cell_len

from ..markdown import Line, Piece, PieceKind
from .layout import Layout, Position
from .message import Block, Section


def selected_text(layout: Layout, start: Position, end: Position) -> str:
    """Return the text between two positions, `end` excluded.

    A block that is selected as a whole gives its Markdown source, any other its text as drawn, with
    soft-wrapped lines joined.
    """
    parts: list[tuple[str, str]] = []  # a separator and the text after it
    previous: tuple[int, Block] | None = None
    for index in range(start.message, end.message + 1):
        layout.draw(Position(index, 0, 0))
        for number, block in enumerate(layout.messages[index].blocks):
            position = Position(index, number, 0)
            if position[:2] < start[:2] or position[:2] > end[:2] or block.piece is None:
                continue
            text = _block_text(layout, position, start, end)
            if text is None:
                continue
            parts.append((_separator(previous, index, block), text))
            previous = index, block
    return "".join(separator + text for separator, text in parts)


def _separator(previous: tuple[int, Block] | None, index: int, block: Block) -> str:
    if previous is None:
        return ""
    message, last = previous
    if message != index or last.section is not block.section:
        return "\n\n"
    piece = block.piece
    assert piece is not None and last.piece is not None
    if last.piece.continues:
        return ""
    blank_before = piece.blank_before or (
        block.section is Section.BODY and piece.kind is PieceKind.CODE and not piece.head
    )
    return "\n\n" if blank_before else "\n"


def _block_text(layout: Layout, position: Position, start: Position, end: Position) -> str | None:
    block = layout.messages[position.message].blocks[position.block]
    assert block.piece is not None
    first = position[:2] == start[:2]
    last = position[:2] == end[:2]
    if not first and not last:
        return block.piece.source
    if block.piece.kind is PieceKind.MATH:
        return block.piece.source  # what is drawn is another form of it
    lines = layout.drawn_block(position).lines or []
    begin = (start.line, start.cell) if first else (0, 0)
    stop = (end.line, end.cell) if last else (len(lines), 0)
    if begin >= stop:
        return None
    if begin <= _text_start(lines) and stop >= _text_end(lines):
        return block.piece.source
    if block.piece.kind is PieceKind.TABLE:
        stop_line = stop[0] + (stop[1] > 0)
        table = _table_source(block.piece, lines[begin[0] : stop_line], alone=first and last)
        if table is not None:
            return table
    text = _join_lines(lines, begin, stop)
    if text is None or not block.piece.continues or stop < _text_end(lines):
        return text
    source = block.piece.source
    return text + source[len(source.rstrip()) :]  # the space at which its last line was split


def _table_source(piece: Piece, lines: Sequence[Line], *, alone: bool) -> str | None:
    """Return the rows of a table that are selected, with its head, as Markdown.

    `alone`: nothing outside of the piece is selected; then None where no more than one row is: a
    reader wants its text.
    """
    rows = sorted({line.row for line in lines if line.row is not None})
    has_head = any(line.row is None and line.content.strip() for line in lines)
    if alone and len(rows) + has_head < 2:
        return None
    source = piece.lines[2:] if piece.head is None else piece.lines
    head = (piece.head or piece).lines[:2] if alone or piece.head is None else []
    return "".join([*head, *(source[row] for row in rows)]).removesuffix("\n")


def _text_start(lines: list[Line]) -> tuple[int, int]:
    for number, line in enumerate(lines):
        if line.text.strip():
            return number, line.lead
    return 0, 0


def _text_end(lines: list[Line]) -> tuple[int, int]:
    for number in range(len(lines) - 1, -1, -1):
        text = lines[number].text.rstrip()
        if text:
            return number, cell_len(text)
    return 0, 0


def _join_lines(lines: list[Line], start: tuple[int, int], stop: tuple[int, int]) -> str | None:
    parts: list[str] = []
    for number in range(start[0], min(stop[0] + 1, len(lines))):
        line = lines[number]
        if line.segments and not line.content:
            continue  # a rule, or the label of a code block
        left = start[1] if number == start[0] else 0
        right = stop[1] if number == stop[0] else cell_len(line.text)
        text = cut_cells(line.text, max(left, line.lead), right)
        parts.append(text.rstrip() if line.soft is None else text)
        parts.append("\n" if line.soft is None else line.soft)
    return "".join(parts[:-1]) if parts else None


def cut_cells(text: str, left: int, right: int) -> str:
    """Return the characters of a line in the cells from `left` to `right`."""
    if text.isascii():
        return text[left:right]
    from rich.cells import split_graphemes

    spans, _total = split_graphemes(text)
    column, parts = 0, []
    for start, end, cells in spans:
        if left <= column < right:
            parts.append(text[start:end])
        column += cells
    return "".join(parts)


def word_span(line: Line, cell: int) -> tuple[int, int]:
    """Return the first cell of the word at a cell of the line, and the cell after it."""
    text = line.text
    for match in re.finditer(r"[\w.@:/+%~-]+|\S", text):
        start = cell_len(text[: match.start()])
        end = start + cell_len(match[0])
        if start <= cell < end:
            return start, end
    return cell, cell + 1
