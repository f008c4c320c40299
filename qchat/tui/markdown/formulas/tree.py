"""The tree of a formula: what the parser makes and the two renderers draw.

Groups (``{ab}``) are rows; one that carries no script is spliced into the row around it, so that
``{a}{b}`` and ``ab`` are one tree. Spaces of the source are kept as `Space` of width 0.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Kind(Enum):
    """TeX's classes of atoms, as far as they decide about spacing and parentheses."""

    ORDINARY = auto()
    NUMBER = auto()
    FUNCTION = auto()  # sin, lim: an upright name in front of its argument
    LARGE = auto()  # ∑, ∫: operators that take limits
    BINARY = auto()
    RELATION = auto()
    OPEN = auto()
    CLOSE = auto()
    PUNCTUATION = auto()


@dataclass(frozen=True, slots=True)
class Symbol:
    """One atom, drawn as its text."""

    text: str
    kind: Kind = Kind.ORDINARY


@dataclass(frozen=True, slots=True)
class Text:
    """Upright text; its spaces are kept."""

    text: str


@dataclass(frozen=True, slots=True)
class Space:
    """Horizontal space in cells; 0 is a space in the source, which TeX ignores."""

    cells: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Items side by side."""

    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Script:
    """Sub- and superscript; `limits` puts them below and above where there is room."""

    base: "Node"
    sub: "Node | None" = None
    sup: "Node | None" = None
    limits: bool = False


@dataclass(frozen=True, slots=True)
class Fraction:
    """A fraction, or with `word` (such as "choose") two things above each other without a bar."""

    numerator: "Node"
    denominator: "Node"
    word: str = ""
    left: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    """A root; `degree` is None for the square root."""

    body: "Node"
    degree: "Node | None" = None


@dataclass(frozen=True, slots=True)
class Accent:
    """A combining character over, under or through each character of the body."""

    body: "Node"
    mark: str


@dataclass(frozen=True, slots=True)
class Brace:
    """A horizontal brace or bracket, above the body or below it."""

    body: "Node"
    above: bool
    square: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """A base with something set above or below it, which is no script."""

    base: "Node"
    above: "Node | None" = None
    below: "Node | None" = None


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow as long as the texts above and below it."""

    symbol: str
    above: "Node | None" = None
    below: "Node | None" = None


@dataclass(frozen=True, slots=True)
class Fenced:
    """A body between delimiters that grow with it; a delimiter may be ''."""

    left: str
    body: "Node"
    right: str


@dataclass(frozen=True, slots=True)
class Boxed:
    """A body in a frame."""

    body: "Node"


class Grid(Enum):
    """How the columns of a `Matrix` belong together."""

    CELLS = auto()  # matrix, array: columns apart
    CASES = auto()  # a value and its condition
    ALIGNED = auto()  # pairs of columns meet at the relation


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of cells. `columns` has one of "lcr" for each column, as far as it was given; `rules`
    the numbers of rows that a horizontal rule stands above, `bars` those of columns that a vertical
    one stands before."""

    rows: "tuple[tuple[Node, ...], ...]"
    grid: Grid = Grid.CELLS
    left: str = ""
    right: str = ""
    columns: str = ""
    rules: frozenset[int] = frozenset()
    bars: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Phantom:
    """The empty space that its body would take."""

    body: "Node"


Node = (
    Symbol
    | Text
    | Space
    | Row
    | Script
    | Fraction
    | Root
    | Accent
    | Brace
    | Stack
    | Arrow
    | Fenced
    | Boxed
    | Matrix
    | Phantom
)

EMPTY: Final = Row(())


def row(items: "list[Node] | tuple[Node, ...]") -> Node:
    """Return the items as one node; a row of one item is that item."""
    trimmed = list(items)
    while trimmed and trimmed[0] == Space():
        trimmed.pop(0)
    while trimmed and trimmed[-1] == Space():
        trimmed.pop()
    return trimmed[0] if len(trimmed) == 1 else Row(tuple(trimmed))


def node_count(node: Node) -> int:
    """Return how many nodes a tree has; one that stands in several places counts in each."""
    count = 0
    parts: list[object] = [node]
    while parts:
        part = parts.pop()
        if isinstance(part, tuple):
            parts.extend(part)
        elif isinstance(part, Node):
            count += 1
            parts.extend(getattr(part, name) for name in part.__slots__)
    return count
