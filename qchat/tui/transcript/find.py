"""Finds code blocks and text in a conversation."""

from collections.abc import Sequence

from ..markdown import Piece, PieceKind
from .layout import Layout, Position
from .message import Block, Section


def starts_code_block(block: Block) -> bool:
    """Return whether a block is the beginning of a code block."""
    piece = block.piece
    if block.section is not Section.BODY or piece is None or piece.head is not None:
        return False
    return piece.kind is PieceKind.CODE or bool(_code_in(piece))


def find_code_block(layout: Layout, start: tuple[int, int], step: int) -> tuple[int, int] | None:
    """Find the nearest code block after (`step` 1) or before (-1) `start`.

    `start` and the result are the indexes of a message and of a block in it; None where there is no
    code block in that direction.
    """
    views = layout.messages
    stop = -1 if step < 0 else len(views)
    for index in range(min(start[0], len(views) - 1), stop, step):
        text = views[index].message.text
        if views[index].message.role != "assistant" or not _may_have_code(text):
            continue
        layout.draw(Position(index, 0, 0))
        numbers = [
            number
            for number, block in enumerate(views[index].blocks)
            if starts_code_block(block) and ((index, number) > start) == (step > 0)
            if (index, number) != start
        ]
        if numbers:
            return index, numbers[0] if step > 0 else numbers[-1]
    return None


def code_block_text(layout: Layout, index: int, number: int) -> str:
    """Return the whole code of the code block that begins at a block.

    Of a quotation with several it is the last.
    """
    blocks = layout.messages[index].blocks
    head = blocks[number].piece
    if head is not None and head.kind is not PieceKind.CODE:
        return _code_in(head)[-1]
    lines = [
        line
        for block in blocks
        if block.piece is not None and (block.piece is head or block.piece.head is head)
        for line in block.piece.lines
    ]
    return "".join(lines).removesuffix("\n")


def _code_in(piece: Piece) -> list[str]:
    from ..markdown.code_blocks import code_in

    return code_in(piece)


def _may_have_code(text: str) -> bool:
    from ..markdown.code_blocks import may_have_code

    return may_have_code(text)


def find_text(layout: Layout, index: int, terms: Sequence[str]) -> tuple[int, int]:
    """Find the first line of a message that contains one of the terms: its block, and the line.

    Returns the beginning of the message where there is none, as for a term that Markdown draws
    differently from its source.
    """
    layout.draw(Position(index, 0, 0))
    message_start = (1 if len(layout.messages[index].blocks) > 1 else 0, 0)
    for number in range(len(layout.messages[index].blocks)) if terms else ():
        lines = layout.drawn_block(Position(index, number, 0)).lines or []
        for row, line in enumerate(lines):
            if any(term in line.text for term in terms):
                return number, row
    return message_start
