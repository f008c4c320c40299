"""The code in a piece: what a reader copies as a block of code."""

from .piece import Piece, PieceKind, dedent, is_indented_code
from .splitter import split_text


def code_in(piece: Piece) -> list[str]:
    """Return each block of code of a piece that is no fenced block itself, without its indentation.

    That is code by indentation, and all code within a quotation.
    """
    if is_indented_code(piece):
        return [_dedented(piece.body)]
    if piece.kind is not PieceKind.QUOTE or not may_have_code(piece.body):
        return []
    blocks: list[list[str]] = []
    for part in split_text(piece.body):
        if part.kind is PieceKind.CODE:
            if part.head is None:
                blocks.append([])
            blocks[-1] += part.lines
        else:
            blocks += [[code] for code in code_in(part)]
    return ["".join(lines).removesuffix("\n") for lines in blocks]


def may_have_code(text: str) -> bool:
    """Return whether a text may have a block of code; a quick check."""
    return "```" in text or "~~~" in text or "    " in text or "\t" in text


def _dedented(text: str) -> str:
    return "\n".join(dedent(line, 4) for line in text.rstrip().split("\n"))
