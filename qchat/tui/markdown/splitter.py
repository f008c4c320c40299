"""Cuts a growing Markdown text into small pieces; a closed piece never changes.

A piece is a paragraph, one item of a list (nested items are pieces of their own), a part of a code
block, table or quotation, or a formula. Whole lines alone decide where a piece ends, so the pieces
of a text are the same however it was chunked, and drawing each piece as it closes draws the text.
"""

from .block_rules import PIECE_CHARS
from .block_scanner import BlockScanner
from .piece import Piece
from .references import References


class Splitter:
    """Splits a text that grows: `closed` pieces are final, those of `tail` may still change.

    `references` holds the link definitions so far.
    """

    def __init__(self) -> None:
        self.closed: list[Piece] = []
        self.references = References()
        self._partial_line = ""
        self._scanner = BlockScanner()

    def feed(self, text: str) -> None:
        """Append text, chunked anywhere."""
        *whole, rest = text.split("\n")
        if whole:
            whole[0] = self._partial_line + whole[0]
            self._partial_line = rest
            for line in whole:
                self._feed_line(line)
        else:
            self._partial_line += rest
        while len(self._partial_line) > PIECE_CHARS:
            part, self._partial_line = _first_part(self._partial_line)
            self._scanner.feed_line(part, self.closed, whole=False)

    def _feed_line(self, line: str) -> None:
        while len(line) > PIECE_CHARS:
            part, line = _first_part(line)
            self._scanner.feed_line(part, self.closed, whole=False)
        if not self._scanner.is_in_code:
            self.references.add_line(line)
        self._scanner.feed_line(line, self.closed)

    def tail(self) -> list[Piece]:
        """Return the pieces after the closed ones as if the text ended here."""
        scanner = self._scanner.copy()
        tail: list[Piece] = []
        if self._partial_line:
            scanner.feed_line(self._partial_line, tail)
        scanner.close(tail)
        return tail

    def finish(self) -> None:
        """Close the last pieces: the text is complete."""
        if self._partial_line:
            line, self._partial_line = self._partial_line, ""
            self._feed_line(line)
        self._scanner.close(self.closed)


def split_text(text: str) -> list[Piece]:
    """Return the pieces of a complete text."""
    splitter = Splitter()
    splitter.feed(text)
    splitter.finish()
    return splitter.closed


def _first_part(line: str) -> tuple[str, str]:
    """Cut a line that is too long, after a space if possible; its first part and the rest."""
    at = line.rfind(" ", PIECE_CHARS // 2, PIECE_CHARS) + 1 or PIECE_CHARS
    return line[:at], line[at:]
