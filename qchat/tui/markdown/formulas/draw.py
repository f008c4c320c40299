"""Draws the tree of a formula: on one line, or stacked as on paper.

On one line two different formulas never look the same: what stacking would show, parentheses show
there. Whether a fraction or a root needs them is decided by its neighbours: ``1/2 + x`` but
``(1/2)x``.
"""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from .accents import accented, blank_after
from .adjacency import (
    APART,
    atoms_of,
    gap_before,
    is_number,
    is_number_fraction,
    is_tight,
    needs_fence,
    open_sides,
    touches_left,
    touches_right,
)
from .bars import has_outside, is_clear, paired
from .box import Box, beside, brace, enclose, frame, pad, stack, text_box
from .grid import grid_box, half_gaps
from .lexer import FormulaError
from .symbols import SUBSCRIPTS, SUPERSCRIPTS
from .tree import (
    EMPTY,
    Accent,
    Arrow,
    Boxed,
    Brace,
    Fenced,
    Fraction,
    Grid,
    Matrix,
    Node,
    Phantom,
    Root,
    Row,
    Script,
    Space,
    Stack,
    Symbol,
    Text,
    row,
)

MAX_DRAWN: Final = 20_000
"""Most characters of a drawing: columns as wide as their widest cell multiply what they hold."""

Drawn = dict[tuple[int, bool, bool, bool], tuple[Node, Box]]
"""What was drawn of a formula, by the node's identity, `stacked`, `tight` and `closed`; the node is
kept with it, so that its identity stays its own."""

_ROOTS: Final = {"3": "∛", "4": "∜"}
_FENCE: Final = ("⟮", "⟯")
"""Encloses, on one line, rows and columns without delimiters of their own, and bars in bars."""
_BOX: Final = ("▕", "▏")
_LEFTWARDS: Final = "←⇐↩↞↼↽"


class Drawer:
    """Draws nodes as boxes; with `stacked` False every box has one line, but for rows of lines.

    `tight` leaves out the spaces around operators, as scripts do. Each node is drawn once in each
    way, however often its parents ask for it: in nested ones the times would multiply. Raises
    `FormulaError` where a box has more than `MAX_DRAWN` characters.
    """

    def __init__(self, *, stacked: bool, tight: bool = False, drawn: Drawn | None = None) -> None:
        self._stacked = stacked
        self._tight = tight
        self._drawn: Drawn = {} if drawn is None else drawn

    def draw(self, node: Node) -> Box:
        """Return a node as a box."""
        return self._node(node) if isinstance(node, Row) else self._row((node,))

    def _on_line(self, *, tight: bool = True) -> "Drawer":
        return Drawer(stacked=False, tight=tight, drawn=self._drawn)

    def _row(self, items: Sequence[Node], *, closed: bool = False) -> Box:
        """Draw items side by side; `closed` says that more rows or columns are around them."""
        atoms = atoms_of(paired(items))
        boxes: list[Box] = []
        for index, atom in enumerate(atoms):
            before = atoms[index - 1].node if index and atom.space < APART else None
            after = atoms[index + 1] if index + 1 < len(atoms) else None
            right = after.node if after is not None and after.space < APART else None
            if gap := gap_before(atoms, index, stacked=self._stacked, tight=self._tight):
                boxes.append(text_box(" " * gap))
            box = self._item(atom.node, before, right)
            if not self._stacked and (
                needs_fence(atoms, index) or (closed and any(open_sides(atom.node)))
            ):
                box = enclose(box, *_FENCE)
            boxes.append(box)
        return beside(boxes)

    def _item(self, item: Node, before: Node | None, after: Node | None) -> Box:
        """Draw an item between its neighbours, None where it has none that touches it."""
        if self._stacked:
            return self._node(item)
        right = touches_right(after)
        if isinstance(item, Fraction) and not item.word:
            mixed = is_number_fraction(item) and is_number(before)
            box = self._node(item)
            return enclose(box, "(", ")") if right or (touches_left(before) and not mixed) else box
        if isinstance(item, Root) and item.degree is not None and touches_left(before):
            return enclose(self._node(item), "(", ")")
        return self._node(item, closed=right)

    def _node(self, node: Node, *, closed: bool = False) -> Box:
        """Draw a node, or return what was drawn; `closed` says that a factor follows it."""
        key = (id(node), self._stacked, self._tight, closed and isinstance(node, Root | Script))
        if key not in self._drawn:
            box = self._drawing(node, closed=closed)
            if sum(map(len, box.lines)) > MAX_DRAWN:
                raise FormulaError("too large")
            self._drawn[key] = (node, box)
        return self._drawn[key][1]

    def _drawing(self, node: Node, *, closed: bool) -> Box:
        if isinstance(node, Symbol | Text):
            return text_box(node.text)
        if isinstance(node, Space):
            return text_box(" " * node.cells)
        if isinstance(node, Row):
            return self._row(node.items)
        if isinstance(node, Script):
            return self._script(node, closed=closed)
        if isinstance(node, Fraction):
            return self._fraction(node)
        if isinstance(node, Root):
            return self._root(node, closed=closed)
        if isinstance(node, Accent):
            blank = text_box(" " * blank_after(node.body, node.mark))
            return accented(beside([self.draw(node.body), blank]), node.mark)
        if isinstance(node, Brace):
            return self._brace(node)
        if isinstance(node, Stack):
            return self._stack(node)
        if isinstance(node, Arrow):
            return self._arrow(node)
        if isinstance(node, Fenced):
            return self._fenced(self.draw(node.body), node)
        if isinstance(node, Boxed):
            body = self.draw(node.body)
            return frame(body) if self._stacked else enclose(body, *_BOX)
        if isinstance(node, Phantom):
            return text_box(" " * self.draw(node.body).width)
        return self._matrix(node)

    def _line(self, node: Node) -> str:
        """Return a node on one line."""
        return self._on_line(tight=self._tight).draw(node).text

    def _compact(self, node: Node) -> str:
        return self._on_line().draw(node).text

    def _fraction(self, node: Fraction) -> Box:
        if self._stacked:
            upper, lower = self.draw(node.numerator), self.draw(node.denominator)
            width = max(upper.width, lower.width)
            if node.word:
                return enclose(stack([upper, text_box(""), lower], 1), node.left, node.right)
            if any("─" * width in box.lines for box in (upper, lower)):
                width += 2  # of two bars the longer one is that of the whole
            return stack([upper, text_box("─" * width), lower], 1)
        if node.word:
            text = f"{self._line(node.numerator)} {node.word} {self._line(node.denominator)}"
            return text_box((node.left or "(") + text + (node.right or ")"))
        parts = [self._operand(part) for part in (node.numerator, node.denominator)]
        return text_box("/".join(parts))

    def _fenced(self, body: Box, node: Fenced | Matrix) -> Box:
        inner = node.body if isinstance(node, Fenced) else node
        if not self._stacked and not is_clear(node.left, inner, body.text):
            body = enclose(body, *_FENCE)
        return enclose(body, node.left, node.right)

    def _operand(self, node: Node) -> str:
        """Return a node on one line, in parentheses where it would come apart."""
        text = self._line(node)
        if any(open_sides(node)):
            return text.join(_FENCE)
        if isinstance(node, Row):
            node = row(list(paired(node.items)))
        return text if is_tight(node) else f"({text})"

    def _root(self, node: Root, *, closed: bool) -> Box:
        degree = "" if node.degree is None else self._compact(node.degree)
        power = _mapped(degree, SUPERSCRIPTS)
        sign = _ROOTS.get(degree) or (f"^({degree})" if power is None else power) + "√"
        if not self._stacked:
            body = self._line(node.body)
            bare = not closed and isinstance(node.body, Symbol) and not body.startswith("\\")
            return text_box(sign + (body if bare else f"({body})"))
        inner = self.draw(node.body)
        if inner.height == 1:
            line = "_" * inner.width
            return beside([Box((" " * len(sign), sign), 1), Box((line, inner.text), 1)])
        side = ["┌", *["│"] * (inner.height - 1)]
        left = [*(pad(line, len(sign), "r") for line in side), sign]
        lines = ("─" * inner.width, *inner.lines)
        return beside([Box(tuple(left), inner.baseline + 1), Box(lines, inner.baseline + 1)])

    def _script(self, node: Script, *, closed: bool) -> Box:
        if self._stacked and node.limits and (node.sub or node.sup):
            return self._limits(node)
        base = self._base(node.base)
        low = "" if node.sub is None else _mapped(self._compact(node.sub), SUBSCRIPTS)
        high = "" if node.sup is None else _mapped(self._compact(node.sup), SUPERSCRIPTS)
        if low is not None and high is not None:
            if base.height > 1 and not node.limits:
                return beside([base, _corners(base, low, high)])
            return beside([base, text_box(low + high)])
        if self._stacked:
            return self._raised(base, node)
        text = base.text
        if node.sub is not None:
            marked = self._marked("_", node.sub, closed=closed or node.sup is not None)
            text += marked if low is None else low
        if node.sup is not None:
            text += self._marked("^", node.sup, closed=closed) if high is None else high
        return text_box(text)

    def _marked(self, mark: str, node: Node, *, closed: bool) -> str:
        text = self._line(node)
        return mark + (text if len(text) == 1 and not closed else f"({text})")

    def _base(self, node: Node) -> Box:
        if not self._stacked and any(open_sides(node)):
            return enclose(self._node(node), *_FENCE)
        if self._stacked and not isinstance(node, Row | Fraction | Script | Root):
            return self._node(node)
        if node == EMPTY or not isinstance(node, Row | Fraction | Script | Root):
            return self._node(node)
        if isinstance(node, Fraction) and node.word and node.left:
            return self._node(node)
        return enclose(self.draw(node), "(", ")")

    def _limits(self, node: Script) -> Box:
        base = self._base(node.base)
        parts: list[Box] = []
        if node.sup is not None:
            parts.append(self._on_line(tight=False).draw(node.sup))
        parts.append(base)
        if node.sub is not None:
            parts.append(self._small(node.sub))
        return stack(parts, 0 if node.sup is None else 1)

    def _small(self, node: Node) -> Box:
        """Draw a limit: on one line, but rows of lines stacked."""
        if isinstance(node, Matrix):
            return self.draw(node)
        return self._on_line().draw(node)

    def _raised(self, base: Box, node: Script) -> Box:
        drawer = self._on_line()
        upper = None if node.sup is None else drawer.draw(node.sup)
        lower = None if node.sub is None else drawer.draw(node.sub)
        width = max(box.width for box in (upper, lower) if box is not None)
        blank = text_box(" " * width)
        lines = [
            *([pad(line, width, "l") for line in upper.lines] if upper else []),
            *([blank.text] * base.height),
            *([pad(line, width, "l") for line in lower.lines] if lower else []),
        ]
        above = upper.height if upper else 0
        return beside([base, Box(tuple(lines), above + base.baseline)])

    def _brace(self, node: Brace) -> Box:
        body = self.draw(node.body)
        if not self._stacked:
            sign = brace(1, above=node.above, square=node.square)
            return text_box(self._operand(node.body) + sign)
        line = text_box(brace(body.width, above=node.above, square=node.square))
        return stack([line, body], 1) if node.above else stack([body, line], 0)

    def _stack(self, node: Stack) -> Box:
        base = self.draw(node.base)
        if not self._stacked:
            text = base.text if len(base.text) == 1 else self._operand(node.base)
            for part, mark in ((node.above, "⇡"), (node.below, "⇣")):
                if part is not None:
                    label = self._compact(part)
                    text += mark + (label if len(label) == 1 else f"({label})")
            return text_box(text)
        parts = [base]
        if node.above is not None:
            parts.insert(0, self._small(node.above))
        if node.below is not None:
            parts.append(self._small(node.below))
        return stack(parts, 0 if node.above is None else 1)

    def _arrow(self, node: Arrow) -> Box:
        above = "" if node.above is None else self._compact(node.above)
        below = "" if node.below is None else self._compact(node.below)
        if not above and not below:
            return text_box(node.symbol)
        shaft = "═" if node.symbol in "⇒⇐⇔=" else "─"
        if self._stacked:
            shaft *= max(cell_len(above), cell_len(below)) + 1
        else:
            above = above.join(_FENCE) if has_outside(above, ";") else above
            label = f"({above}; {below})" if below else f"({above})"
            shaft = label + shaft if node.symbol in _LEFTWARDS else shaft + label
        arrow = text_box(node.symbol + shaft if node.symbol in _LEFTWARDS else shaft + node.symbol)
        if not self._stacked:
            return arrow
        labels = [text_box(above)] if above else []
        return stack([*labels, arrow, *([text_box(below)] if below else [])], len(labels))

    def _matrix(self, node: Matrix) -> Box:
        if not self._stacked:
            return self._fenced(text_box("; ".join(self._row_lines(node, closed=True))), node)
        columns = max(map(len, node.rows), default=0)
        if 3 * len(node.rows) * columns > MAX_DRAWN:  # a cell with its gap has three or more
            raise FormulaError("too large")
        rows: list[list[Box]] = []
        for cells in node.rows:
            boxes = [self.draw(cell) for cell in cells]
            if node.grid is Grid.ALIGNED:
                for number in range(1, len(cells), 2):
                    gaps = half_gaps(cells[number - 1], cells[number], tight=self._tight)
                    before, after = (text_box(" " * gap) for gap in gaps)
                    boxes[number - 1] = beside([boxes[number - 1], before])
                    boxes[number] = beside([after, boxes[number]])
            rows.append(boxes)
        grid = grid_box(rows, node.grid, node.columns, node.rules, node.bars)
        return enclose(grid, node.left, node.right)

    def _row_lines(self, node: Matrix, *, closed: bool) -> list[str]:
        """Return the rows of a matrix, a line each; `closed` as for `_row`."""
        if node.grid is Grid.ALIGNED:
            return [self._row(_joined(cells), closed=closed).text for cells in node.rows]
        rows = [[self._cell(cell) for cell in cells] for cells in node.rows]
        if all(len(cells) == 1 for cells in rows):  # a comma would look like two columns
            rows = [[_enclosed(cells[0], ",")] for cells in rows]
        has_commas = any(has_outside(cell, ",") for cells in rows for cell in cells)
        gap = "  " if has_commas else ", "
        return [_with_gaps(cells, gap, node.bars) for cells in rows]

    def _cell(self, node: Node) -> str:
        items = node.items if isinstance(node, Row) else (node,)
        return _enclosed(self._row(items, closed=True).text, ";")

    def lines(self, node: Node) -> list[str]:
        """Return a whole formula: its rows where it has several, else all of its lines."""
        if isinstance(node, Matrix) and node.grid is Grid.ALIGNED and not self._stacked:
            return self._row_lines(node, closed=False)
        return list(self.draw(node).lines)


def _with_gaps(cells: Sequence[str], gap: str, bars: frozenset[int]) -> str:
    text = ""
    for number, cell in enumerate(cells):
        text += (" | " if number in bars else gap if number else "") + cell
    return text


def _enclosed(cell: str, separator: str) -> str:
    """Enclose a cell in which a separator stands, which at its end is punctuation."""
    return cell.join(_FENCE) if has_outside(cell[:-1], separator) else cell


def _joined(cells: Sequence[Node]) -> Sequence[Node]:
    """Return the items of an aligned row; pairs of columns are apart."""
    items: list[Node] = []
    for number, cell in enumerate(cells):
        if number:
            items.append(Space(3) if number % 2 == 0 else Space())
        items.extend(cell.items if isinstance(cell, Row) else (cell,))
    return items


def _corners(base: Box, low: str, high: str) -> Box:
    """Return scripts in small characters at the corners of a tall box."""
    width = max(cell_len(low), cell_len(high))
    lines = [high, *[""] * (base.height - 2), low]
    return Box(tuple(pad(line, width, "l") for line in lines), base.baseline)


def _mapped(text: str, table: dict[str, str]) -> str | None:
    """Return a text in small characters; None where one of its characters has none."""
    if any(character not in table for character in text):
        return None
    return "".join(table[character] for character in text)
