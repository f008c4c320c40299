"""Finds code blocks and text in a conversation."""

from collections.abc import Sequence

from ..markdown import PieceKind
from .layout import Layout, Position
from .message import Block, Section


def starts_code_block(block: Block) -> bool:
    """Return whether a block is the beginning of a code block."""
    piece = block.piece
    return (
        block.section is Section.BODY
        and piece is not None
        and piece.kind is PieceKind.CODE
        and piece.head is None
    )


def find_code_block(layout: Layout, start: tuple[int, int], step: int) -> tuple[int, int] | None:
    """Find the nearest code block after (`step` 1) or before (-1) `start`.

    `start` and the result are the indexes of a message and of a block in it; None where there is no
    code block in that direction.
    """
    views = layout.messages
    stop = -1 if step < 0 else len(views)
    for index in range(min(start[0], len(views) - 1), stop, step):
        text = views[index].message.text
        if views[index].message.role != "assistant" or not ("```" in text or "~~~" in text):
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
    """Return the whole code of the code block that begins at a block."""
    blocks = layout.messages[index].blocks
    head = blocks[number].piece
    lines = [
        line
        for block in blocks
        if block.piece is not None and (block.piece is head or block.piece.head is head)
        for line in block.piece.lines
    ]
    return "".join(lines).removesuffix("\n")


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
