"""Accents, lines and strokes over, under and through what they stand on."""

import unicodedata
from typing import Final
from unicodedata import combining

from .box import Box, stack, text_box
from .tree import Node, Row, Space

_OVER: Final = {
    "\u0302": "^", "\u030c": "ˇ", "\u0303": "~", "\u0301": "´", "\u0300": "`", "\u0307": "˙",
    "\u0308": "¨", "\u20db": "˙˙˙", "\u20dc": "¨¨", "\u0306": "˘", "\u030a": "˚",
}  # fmt: skip
_OVER_ALL: Final = {
    "\u0305": "───", "\u0304": "───", "\u20d7": "──→", "\u20d6": "←──", "\u20e1": "←─→",
    "\u20d1": "──⇀", "\u20d0": "↼──", "\u0311": "╭─╮",
}  # fmt: skip
_UNDER_ALL: Final = {
    "\u0332": "───", "\u0331": "───", "\u032e": "╰─╯", "\u20ef": "──→", "\u20ee": "←──",
    "\u034d": "←─→", "\u0330": "~~~",
}  # fmt: skip
"""What stands above or below a tall body: alone, or as ends and middle of a line as wide as it."""

_LINES_BELOW: Final = ("\u0332", "\u0331")


def accented(body: Box, mark: str) -> Box:
    """Put a combining character on each character of a line, or its like on a tall body."""
    if body.height > 1 and mark in _OVER:
        return stack([text_box(_OVER[mark]), body], 1)
    if body.height > 1 and mark in _OVER_ALL:
        return stack([_line(_OVER_ALL[mark], body.width), body], 1)
    if body.height > 1 and mark in _UNDER_ALL:
        return stack([body, _line(_UNDER_ALL[mark], body.width)], 0)
    spared = " " if body.height > 1 else ""
    lines = ("".join(_marked(c, "" if c == spared else mark) for c in line) for line in body.lines)
    return Box(tuple(lines), body.baseline)


def _line(ends: str, width: int) -> Box:
    """Return a line of a width in cells; one cell has the end that shows what it is."""
    if width == 1:
        short = {"╮": "⏜", "╯": "⏝"}.get(ends[2], ends[2])
        return text_box(ends[0] if ends[0] in "←↼" else short)
    return text_box(ends[0] + ends[1] * (width - 2) + ends[2])


def blank_after(body: Node, mark: str) -> int:
    """Return the cells of space at the end of a body that are drawn: a line under them is a blank
    to be filled in."""
    cells = 0
    for item in reversed(body.items if isinstance(body, Row) else (body,)):
        if mark not in _LINES_BELOW or not isinstance(item, Space):
            break
        cells += item.cells
    return cells


def _marked(character: str, mark: str) -> str:
    if character == " " and mark in _LINES_BELOW:
        return "_"
    return character if combining(character) else unicodedata.normalize("NFC", character + mark)
