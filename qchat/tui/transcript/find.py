"""Finding code and words in a conversation."""

from collections.abc import Sequence

from ..markdown import PieceKind
from .layout import Layout, Position
from .message import Block, Part


def begins_code(block: Block) -> bool:
    """Whether a block is the first of a block of code."""
    piece = block.piece
    return (
        block.part is Part.BODY
        and piece is not None
        and piece.kind is PieceKind.CODE
        and piece.head is None
    )


def code_from(layout: Layout, start: tuple[int, int], step: int) -> tuple[int, int] | None:
    """The nearest beginning of code after (`step` 1) or before (-1) a message and its block."""
    views = layout.messages
    last = -1 if step < 0 else len(views)
    for index in range(min(start[0], len(views) - 1), last, step):
        text = views[index].message.text
        if views[index].message.role != "assistant" or not ("```" in text or "~~~" in text):
            continue
        layout.draw(Position(index, 0, 0))
        numbers = [
            number
            for number, block in enumerate(views[index].blocks)
            if begins_code(block) and ((index, number) > start) == (step > 0)
            if (index, number) != start
        ]
        if numbers:
            return index, numbers[0] if step > 0 else numbers[-1]
    return None


def code_at(layout: Layout, index: int, number: int) -> str:
    """The whole of the code that begins there."""
    blocks = layout.messages[index].blocks
    head = blocks[number].piece
    lines = [
        line
        for block in blocks
        if block.piece is not None and (block.piece is head or block.piece.head is head)
        for line in block.piece.lines
    ]
    return "".join(lines).removesuffix("\n")


def line_with(layout: Layout, index: int, words: Sequence[str]) -> tuple[int, int]:
    """The block of a message, and the line of it, where the first of the words stands.

    Words that are not drawn as they are written may not be found: then the message's beginning.
    """
    layout.draw(Position(index, 0, 0))
    first = (1 if len(layout.messages[index].blocks) > 1 else 0, 0)
    for number in range(len(layout.messages[index].blocks)) if words else ():
        lines = layout.block(Position(index, number, 0)).lines or []
        for row, line in enumerate(lines):
            if any(word in line.text for word in words):
                return number, row
    return first
