"""The branches of a conversation as a tree: pure, from the stored messages to rows of a list."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from ...i18n import _
from ...sanitize import one_line
from ...store import Node, StoredMessage

MOST: Final = 2_000
"""Messages that are listed; the newest of a longer conversation."""
_TEXT_CHARS: Final = 200
_MAX_DEPTH: Final = 8  # a deeper branch is indented no further


class BranchRow(NamedTuple):
    """A message: `depth` counts the branchings above it, `is_shown`: it is on the path shown."""

    message: int
    depth: int
    text: str
    is_shown: bool
    version: tuple[int, int] | None


def branch_rows(
    nodes: Sequence[Node], bodies: Sequence[StoredMessage], path: frozenset[int]
) -> list[BranchRow]:
    """Return the rows of a tree in depth-first order; a chain without branches stays in line."""
    texts = {body.id: _text(body) for body in bodies}
    children: dict[int | None, list[Node]] = {}
    known = {node.id for node in nodes}
    for node in nodes:
        parent = node.parent if node.parent in known else None
        children.setdefault(parent, []).append(node)
    rows: list[BranchRow] = []
    stack = [(node, 0) for node in reversed(children.get(None, []))]
    while stack:
        node, depth = stack.pop()
        version = (node.sibling + 1, node.siblings) if node.siblings > 1 else None
        text = texts.get(node.id, "")
        rows.append(BranchRow(node.id, depth, text, node.id in path, version))
        below = children.get(node.id, [])
        deeper = min(_MAX_DEPTH, depth + (len(below) > 1))
        stack += [(child, deeper) for child in reversed(below)]
    return rows


def _text(body: StoredMessage) -> str:
    name = {"user": "▌", "assistant": "·"}.get(body.role, body.role)
    text = one_line(body.content[:_TEXT_CHARS]).strip()
    return f"{name} {text or _('(empty)')}"
