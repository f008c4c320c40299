"""Opens and closes the pieces of a text, one at a time: the lower half of `BlockScanner`."""

from dataclasses import replace

from . import block_rules as rules
from .piece import Piece, PieceKind


class PieceWriter:
    """The open piece, and the list items around it.

    `_marker` is that of a list item without text so far.
    """

    __slots__ = ("_after_blank", "_items", "_last_piece", "_marker", "_piece")

    def __init__(self) -> None:
        self._piece: Piece | None = None
        self._items: list[rules.ListItem] = []
        self._last_piece: Piece | None = None
        self._after_blank = False
        self._marker = ""

    def copy_to(self, copy: "PieceWriter") -> None:
        """Copy the state and the open piece; closed pieces are shared."""
        for name in PieceWriter.__slots__:
            setattr(copy, name, getattr(self, name))
        copy._items = list(self._items)
        if self._piece is not None:
            piece = self._piece
            copy._piece = replace(piece, lines=list(piece.lines), raw=list(piece.raw))

    def open_piece(self, kind: PieceKind, out: list[Piece], info: str = "") -> Piece:
        """Close the open piece, and open one at the current place: after the marker, if any."""
        self.close_piece(out)
        indent = self._items[-1].cells if self._items else 0
        blank_around = (
            self._last_piece is not None
            and self._last_piece.kind in rules.BLANK_AROUND
            and not self._marker
        )
        piece = Piece(kind, indent, self._marker, self._after_blank or blank_around, info)
        self._marker, self._after_blank, self._piece = "", False, piece
        return piece

    def close_piece(self, out: list[Piece]) -> None:
        """Close the open piece, if any: it is the last of its block."""
        piece, self._piece = self._piece, None
        if piece is not None:
            piece.is_closed = piece.is_block_end = True
            out.append(piece)
            self._last_piece = piece

    def continue_block(self, out: list[Piece]) -> None:
        """Close the open piece and continue its block in a new one."""
        piece = self._piece
        assert piece is not None
        piece.is_closed = True
        out.append(piece)
        self._last_piece = piece
        more = Piece(piece.kind, piece.indent, info=piece.info)
        more.head, more.previous = piece.head or piece, piece
        self._piece = more
