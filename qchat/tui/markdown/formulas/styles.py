"""The text of a tree, and a tree in another alphabet."""

from dataclasses import replace

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
