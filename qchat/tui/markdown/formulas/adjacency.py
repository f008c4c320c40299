"""What stands beside what in a row: which items touch, as factors of a product do, and which are
apart."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from .tree import (
    EMPTY,
    Accent,
    Arrow,
    Boxed,
    Fenced,
    Fraction,
    Kind,
    Matrix,
    Node,
    Root,
    Script,
    Space,
    Stack,
    Symbol,
    Text,
)

NO_SPACE: Final = -1
APART: Final = 2  # cells of space that part two items
TAG_GAP: Final = 4  # cells before the number of an equation
PREFIXED: Final = frozenset(
    [Kind.BINARY, Kind.RELATION, Kind.OPEN, Kind.PUNCTUATION, Kind.LARGE, Kind.FUNCTION]
)


class Atom(NamedTuple):
    """An item of a row and the space before it: `NO_SPACE`, 0 for space in the source alone, or
    cells."""

    node: Node
    space: int


def atoms_of(items: Sequence[Node]) -> list[Atom]:
    """Return the items that are no spaces, each with the space before it."""
    atoms: list[Atom] = []
    space = NO_SPACE
    for item in items:
        if isinstance(item, Space):
            space = max(space, 0) + item.cells
        elif item != EMPTY:
            atoms.append(Atom(item, space))
            space = NO_SPACE
    return atoms


def kind_of(node: Node | None) -> Kind:
    """Return the class that a node has as a neighbour."""
    if isinstance(node, Symbol):
        return node.kind
    if isinstance(node, Script | Stack):
        inner = kind_of(node.base)
        return inner if inner not in (Kind.OPEN, Kind.NUMBER) else Kind.ORDINARY
    if isinstance(node, Arrow):
        return Kind.RELATION
    return Kind.ORDINARY


def touches_left(node: Node | None) -> bool:
    """Whether a node on the left is a factor of what follows, or divides by it."""
    if isinstance(node, Text):
        return node.text[-1:].isalnum()
    if isinstance(node, Symbol) and node.text in "|‖":
        return False
    if isinstance(node, Symbol) and node.text in ("÷", "∕", "⁄", ":", "mod"):
        return True
    kinds = (Kind.ORDINARY, Kind.NUMBER, Kind.FUNCTION, Kind.CLOSE)
    return node is not None and kind_of(node) in kinds


def touches_right(node: Node | None) -> bool:
    """Whether a node on the right is a factor of what stands before it, or divides it."""
    if isinstance(node, Text):
        return node.text[:1].isalnum()
    if isinstance(node, Symbol) and node.text in ("!", ":"):
        return True
    if isinstance(node, Symbol) and node.text in "|‖":
        return False
    kinds = (Kind.ORDINARY, Kind.NUMBER, Kind.FUNCTION, Kind.LARGE, Kind.OPEN)
    return node is not None and kind_of(node) in kinds


def is_number(node: Node | None) -> bool:
    """Whether a node is a number without a script."""
    return isinstance(node, Symbol) and node.kind is Kind.NUMBER


def is_number_fraction(node: Node) -> bool:
    """Whether a node is a fraction of two numbers, which after a number makes a mixed one."""
    return (
        isinstance(node, Fraction)
        and not node.word
        and is_number(node.numerator)
        and is_number(node.denominator)
    )


def is_tight(node: Node) -> bool:
    """Whether a node on one line needs no parentheses as part of a fraction."""
    if isinstance(node, Symbol):
        return node.kind in (Kind.ORDINARY, Kind.NUMBER)
    if isinstance(node, Text):
        return node.text.removeprefix("∂").isalnum()
    if isinstance(node, Script):
        return kind_of(node) not in (Kind.FUNCTION, Kind.LARGE)
    if isinstance(node, Fraction):
        return bool(node.word)
    if isinstance(node, Matrix):
        return bool(node.left and node.right)
    if isinstance(node, Fenced):
        return bool(node.left and node.right)
    return isinstance(node, Root | Accent | Boxed)


def open_sides(node: Node) -> tuple[bool, bool]:
    """Whether the rows and columns of a node end on the left, on the right, at no delimiter."""
    if isinstance(node, Matrix):
        return not node.left, not node.right
    if isinstance(node, Fenced) and any(open_sides(node.body)):
        return not node.left, not node.right
    return False, False


def needs_fence(atoms: Sequence[Atom], index: int) -> bool:
    """Whether a neighbour on one line would look like a part of an atom's first or last row."""
    left, right = open_sides(atoms[index].node)
    return (left and index > 0) or (right and _is_followed(atoms[index + 1 :]))


def _is_followed(atoms: Sequence[Atom]) -> bool:
    """Whether there is more than the end of a sentence and the number of an equation."""
    for node, space in atoms:
        if isinstance(node, Text) and node.text.startswith(("(", "（")) and space >= TAG_GAP:
            return False
        if not _is_mark(node):
            return True
    return False


def _is_mark(node: Node) -> bool:
    if isinstance(node, Symbol):
        return node.kind is Kind.PUNCTUATION or node.text == "."
    return isinstance(node, Text) and not any(map(str.isalnum, node.text))


def gap_before(atoms: Sequence[Atom], index: int, *, stacked: bool, tight: bool) -> int:
    """Return the cells between an atom and the one before it."""
    node, space = atoms[index]
    if space > 1:
        return space
    if not index:
        return max(0, space)
    left = atoms[index - 1].node
    if stacked and (open_sides(left)[1] or open_sides(node)[0]) and not _is_mark(node):
        return APART
    if (isinstance(left, Text) and left.text.endswith(" ")) or (
        isinstance(node, Text) and node.text.startswith(" ")
    ):
        return 0
    for at in (index, index - 1):
        kind = kind_of(atoms[at].node)
        if kind is Kind.RELATION:
            return 1 if not tight or _is_word(atoms[at].node) else 0
        if kind is Kind.BINARY and _is_sign(atoms, at):
            return 0 if tight or at != index else _gap_before_sign(left, space)
        if kind is Kind.BINARY:
            return 0 if tight else int(_is_spaced(atoms, at))
    if _needs_gap(left, node, stacked=stacked):
        return 1
    if stacked and Fraction in (type(left), type(node)):  # bars of fractions must not meet
        return int(touches_left(left) and touches_right(node))
    if kind_of(left) is Kind.OPEN or kind_of(node) in (Kind.CLOSE, Kind.PUNCTUATION):
        return 0
    return 1 if space == 1 or (space == 0 and not tight and not _closes_up(left, node)) else 0


def _gap_before_sign(left: Node, space: int) -> int:
    if kind_of(left) in (Kind.BINARY, Kind.PUNCTUATION):
        return int(space >= 0)
    return int(kind_of(left) in (Kind.FUNCTION, Kind.RELATION))


def _is_sign(atoms: Sequence[Atom], at: int) -> bool:
    """Whether a binary operator has nothing on its left or right that it could combine."""
    if at == 0 or at + 1 >= len(atoms):
        return True
    return kind_of(atoms[at - 1].node) in PREFIXED


def _is_spaced(atoms: Sequence[Atom], at: int) -> bool:
    return atoms[at].space >= 0 or atoms[at + 1].space >= 0


def _needs_gap(left: Node, node: Node, *, stacked: bool) -> bool:
    """Whether two nodes would look like another formula, or be hard to read, without a gap."""
    if kind_of(left) is Kind.FUNCTION:
        opens = isinstance(node, Fenced) or kind_of(node) in (Kind.OPEN, Kind.CLOSE)
        fraction = not stacked and isinstance(node, Fraction)
        return not (opens or fraction or kind_of(node) is Kind.PUNCTUATION)
    if kind_of(node) is Kind.FUNCTION:
        return touches_left(left) and kind_of(left) is not Kind.OPEN
    if kind_of(left) is Kind.LARGE:
        return isinstance(left, Script)
    if is_number(left) and is_number_fraction(node):
        return not stacked
    if isinstance(node, Script) and node.base == EMPTY:
        return touches_left(left)
    if _mark_of(left) and _mark_of(left) == _mark_of(node):
        return True
    is_command = isinstance(left, Symbol) and left.text.startswith("\\")
    return is_command and kind_of(left) is not Kind.OPEN and _is_word(node)


def _closes_up(left: Node, node: Node) -> bool:
    """Whether a space in the source between two nodes is left out."""
    return isinstance(left, Symbol) and left.text == "/" and not isinstance(node, Text)


def _mark_of(node: Node) -> str:
    if isinstance(node, Script):
        return _mark_of(node.base)
    return node.mark if isinstance(node, Accent) else ""


def _is_word(node: Node) -> bool:
    return isinstance(node, Symbol | Text) and node.text[:1].isalnum()
