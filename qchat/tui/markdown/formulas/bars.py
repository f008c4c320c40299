"""Bars of absolute values and norms: TeX writes the same sign on both sides, and between others."""

from collections.abc import Sequence
from typing import Final

from .adjacency import PREFIXED, kind_of
from .tree import Fenced, Kind, Node, Row, Script, Space, Symbol, row

BARS: Final = frozenset("|‖")


def paired(items: Sequence[Node]) -> Sequence[Node]:
    """Return the items of a row with what stands between two bars as one item.

    A bar after an operator opens; after an operand it closes one that is open, or else opens. One
    that finds no other, as in P(A|B), stays as it is.
    """
    if not any(_bar_of(item) for item in items):
        return items
    out: list[Node] = []
    opened: list[list[int]] = [[]]  # where bars are open, for each bracket around
    for number, item in enumerate(items):
        bar = _bar_of(item)
        kind = kind_of(item)
        start = opened[-1][-1] if opened[-1] else None
        if not bar:
            if kind is Kind.OPEN:
                opened.append([])
            elif kind is Kind.CLOSE and item != Symbol("!", Kind.CLOSE):
                opened = opened[:-1] or [[]]
        elif start is not None and _bar_of(out[start]) == bar and _closes(item, out):
            body = row(out[start + 1 :])
            del out[start:]
            opened[-1].pop()
            out.append(_with_base(item, Fenced(bar, body, bar)))
            continue
        elif isinstance(item, Symbol) and _opens(items, number, out):
            opened[-1].append(len(out))
        out.append(item)
    return out


def _bar_of(node: Node) -> str:
    """Return the bar that a node is, maybe with scripts; '' for any other node."""
    base = node.base if isinstance(node, Script) else node
    if not isinstance(base, Symbol) or base.text not in BARS:
        return ""
    return "" if base.kind in (Kind.RELATION, Kind.PUNCTUATION) else base.text


def _closes(bar: Node, before: Sequence[Node]) -> bool:
    """Whether a bar after these nodes, of which one is an open bar, closes that one."""
    if kind_of(bar) in (Kind.OPEN, Kind.CLOSE):
        return kind_of(bar) is Kind.CLOSE
    return _ends_operand(before)


def _opens(items: Sequence[Node], number: int, before: Sequence[Node]) -> bool:
    """Whether a bar that closes none opens; with space around it, it may stand between two."""
    kind = kind_of(items[number])
    if kind in (Kind.OPEN, Kind.CLOSE):
        return kind is Kind.OPEN
    around = items[max(0, number - 1) : number + 2]
    is_apart = len(around) == 3 and isinstance(around[0], Space) and isinstance(around[2], Space)
    return not (is_apart and _bar_of(items[number]) == "|" and _ends_operand(before))


def _ends_operand(nodes: Sequence[Node]) -> bool:
    last = next((node for node in reversed(nodes) if not isinstance(node, Space)), None)
    return last is not None and not _bar_of(last) and kind_of(last) not in PREFIXED


def is_clear(bar: str, body: Node, text: str) -> bool:
    """Whether a body drawn as `text` can stand between two bars without a fence."""
    only = paired((body,) if not isinstance(body, Row) else body.items)
    doubled = len(only) == 1 and isinstance(only[0], Fenced) and only[0].left == bar
    return bar not in BARS or doubled or not has_outside(text, bar)


def has_outside(text: str, character: str) -> bool:
    """Whether a character stands in a text outside of all brackets."""
    depth = 0
    for each in text:
        if each == character and depth <= 0:
            return True
        depth += (each in "([{⟮⟨⌈⌊⟦") - (each in ")]}⟯⟩⌉⌋⟧")
    return False


def _with_base(bar: Node, base: Node) -> Node:
    return Script(base, bar.sub, bar.sup) if isinstance(bar, Script) else base
