"""The text of a tree, and a tree in another alphabet."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from .symbols import ALPHABETS
from .tree import (
    Accent,
    Boxed,
    Brace,
    Fenced,
    Fraction,
    Kind,
    Matrix,
    Node,
    Root,
    Row,
    Script,
    Space,
    Stack,
    Symbol,
    Text,
)

FONTS: Final[Mapping[str, dict[int, str]]] = {
    "bf": ALPHABETS["mathbf"], "cal": ALPHABETS["mathcal"], "sf": ALPHABETS["mathsf"],
    "tt": ALPHABETS["mathtt"], "rm": {}, "it": {}, "mit": {},
}  # fmt: skip
"""The alphabets of the commands that switch the font up to the end of the group: ``{\\bf x}``."""


def plain_text(node: Node) -> str | None:
    """Return the text of letters, digits, spaces and punctuation; None for any other tree."""
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Symbol):
        text = "-" if node.text == "−" else node.text
        return None if text.startswith("\\") else text
    if isinstance(node, Space):
        return " " * min(1, node.cells)
    if not isinstance(node, Row):
        return None
    parts = [plain_text(item) for item in node.items]
    return None if None in parts else "".join(part for part in parts if part is not None)


def restyle(node: Node, table: dict[int, str]) -> Node:
    """Return a tree with its letters and digits in another alphabet."""
    if isinstance(node, Symbol):
        if node.text.startswith("\\") or node.kind is Kind.FUNCTION:
            return node
        return Symbol(node.text.translate(table), node.kind)
    if isinstance(node, Text):
        return Text(node.text.translate(table))
    if isinstance(node, Row):
        letters = [item.text for item in node.items if isinstance(item, Symbol)]
        if letters and len(letters) == len(node.items) and "".join(letters).isalpha():
            return Text("".join(letters).translate(table))
        return Row(tuple(restyle(item, table) for item in node.items))
    if isinstance(node, Matrix):
        rows = tuple(tuple(restyle(cell, table) for cell in cells) for cells in node.rows)
        return replace(node, rows=rows)
    if isinstance(node, Fraction):
        upper, lower = restyle(node.numerator, table), restyle(node.denominator, table)
        return replace(node, numerator=upper, denominator=lower)
    if isinstance(node, Accent | Brace | Boxed | Fenced | Root):
        return replace(node, body=restyle(node.body, table))
    if isinstance(node, Script | Stack):  # few alphabets have small characters
        return replace(node, base=restyle(node.base, table))
    return node


def in_font(items: list[Node], start: int, font: str) -> list[Node]:
    """Return items, those from `start` on in a font of `FONTS`; '' is none."""
    table = FONTS[font] if font else {}
    if not table or start >= len(items):
        return items
    styled = restyle(Row(tuple(items[start:])), table)
    return [*items[:start], *(styled.items if isinstance(styled, Row) else (styled,))]
