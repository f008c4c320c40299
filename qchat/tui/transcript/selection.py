"""What a selection of cells means as text: whole blocks as their source, parts as their words."""

import re

from rich.cells import cell_len

from ..markdown import Line, PieceKind
from .layout import Layout, Position
from .message import Block, Part


def selected_text(layout: Layout, start: Position, end: Position) -> str:
    """The text between two places, `end` excluded.

    A block that is selected as a whole gives its Markdown source; of one that is not, the words
    as they are shown, joined where only the width of the screen had broken them.
    """
    parts: list[tuple[str, str]] = []  # what stands before it, and the text
    before: tuple[int, Block] | None = None
    for index in range(start.message, end.message + 1):
        layout.draw(Position(index, 0, 0))
        for number, block in enumerate(layout.messages[index].blocks):
            here = Position(index, number, 0)
            if here[:2] < start[:2] or here[:2] > end[:2] or block.piece is None:
                continue
            text = _block_text(layout, here, start, end)
            if text is None:
                continue
            parts.append((_joint(before, index, block), text))
            before = index, block
    return "".join(joint + text for joint, text in parts)


def _joint(before: tuple[int, Block] | None, index: int, block: Block) -> str:
    if before is None:
        return ""
    message, last = before
    if message != index or last.part is not block.part:
        return "\n\n"
    piece = block.piece
    assert piece is not None and last.piece is not None
    if last.piece.goes_on:
        return ""
    apart = piece.gap or (
        block.part is Part.BODY and piece.kind is PieceKind.CODE and not piece.head
    )
    return "\n\n" if apart else "\n"


def _block_text(layout: Layout, here: Position, start: Position, end: Position) -> str | None:
    block = layout.messages[here.message].blocks[here.block]
    assert block.piece is not None
    first = here[:2] == start[:2]
    last = here[:2] == end[:2]
    if not first and not last:
        return block.piece.source
    lines = layout.block(here).lines or []
    begin = (start.line, start.cell) if first else (0, 0)
    stop = (end.line, end.cell) if last else (len(lines), 0)
    if begin >= stop:
        return None
    if begin <= _begins(lines) and stop >= _ends(lines):
        return block.piece.source
    words = _words(lines, begin, stop)
    if words is None or not block.piece.goes_on or stop < _ends(lines):
        return words
    source = block.piece.source
    return words + source[len(source.rstrip()) :]  # the space at which its last line was cut


def _begins(lines: list[Line]) -> tuple[int, int]:
    for number, line in enumerate(lines):
        if line.text.strip():
            return number, line.lead
    return 0, 0


def _ends(lines: list[Line]) -> tuple[int, int]:
    for number in range(len(lines) - 1, -1, -1):
        text = lines[number].text.rstrip()
        if text:
            return number, cell_len(text)
    return 0, 0


def _words(lines: list[Line], begin: tuple[int, int], stop: tuple[int, int]) -> str | None:
    found: list[str] = []
    for number in range(begin[0], min(stop[0] + 1, len(lines))):
        line = lines[number]
        if line.segments and not line.words:
            continue  # a rule or a label
        left = begin[1] if number == begin[0] else 0
        right = stop[1] if number == stop[0] else cell_len(line.text)
        text = cut(line.text, max(left, line.lead), right)
        found.append(text.rstrip() if line.soft is None else text)
        found.append("\n" if line.soft is None else line.soft)
    return "".join(found[:-1]) if found else None


def cut(text: str, left: int, right: int) -> str:
    """The characters of a line that stand in the cells from `left` to `right`."""
    if text.isascii():
        return text[left:right]
    from rich.cells import split_graphemes

    spans, _total = split_graphemes(text)
    at, found = 0, []
    for begin, end, wide in spans:
        if left <= at < right:
            found.append(text[begin:end])
        at += wide
    return "".join(found)


def word_at(line: Line, cell: int) -> tuple[int, int]:
    """The cells of the word that covers a cell of the line."""
    text = line.text
    for match in re.finditer(r"[\w.@:/+%~-]+|\S", text):
        begin = cell_len(text[: match.start()])
        end = begin + cell_len(match[0])
        if begin <= cell < end:
            return begin, end
    return cell, cell + 1
