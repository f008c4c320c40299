"""The rules by which lines begin blocks, and the limits of a piece."""

import re
from dataclasses import dataclass
from typing import Final

from .piece import PieceKind
from .table_cells import split_cells

PIECE_CHARS: Final = 8_000
"""Longest paragraph or line, in characters, that stays in one piece."""
CODE_LINES: Final = 32
"""Most lines of code in one piece."""
ITEMS_ON_LINE: Final = 30
"""Most list items open where a line goes on with another one within them: ``1. 1. 1. text``."""
TABLE_ROWS: Final = 32
"""Most rows of a table in one piece; the columns' widths come from the first piece."""

match_marker = re.compile(r"([-*+•]|\d{1,9}[.)])([ \t]+|$)").match
match_fence = re.compile(r"(`{3,}|~{3,})[ \t]*(.*)$").match
match_rule = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}$").match
match_note = re.compile(r" {0,3}\[\^[^\]\[\n]+\][:：]").match
match_heading = re.compile(r"#{1,6}(?:[ \t]|$)").match
match_setext = re.compile(r"(?:=+|-+)[ \t]*$").match
match_table_delimiter = re.compile(
    r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$"
).match
match_task = re.compile(r"\[([ xX])\](?=[ \t]|$)[ \t]*").match

BLANK_AROUND: Final = (
    PieceKind.CODE,
    PieceKind.TABLE,
    PieceKind.MATH,
)  # a blank line follows, written or not


@dataclass(frozen=True, slots=True)
class ListItem:
    """An open list item: columns of its marker and content, and the cells before its text."""

    marker: int
    content: int
    cells: int
    delimiter: str  # "-", "." or ")"
    number: int


def lazy_line(rest: str) -> str:
    """Return a line that goes on the paragraph of a quotation without its mark, so that it is text:
    neither the underline of a heading nor a list item."""
    if match_setext(rest) or rest[0] in "-*+":
        return f"\\{rest}"
    return rest


def begins_table(head: str, rest: str) -> bool:
    """Return whether a line and the one after it are the head and the delimiter of a table."""
    if "|" not in head or not match_table_delimiter(rest):
        return False
    count = len(split_cells(rest))
    return len(split_cells(head, count)) == count
