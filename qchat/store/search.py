"""Full-text search over all conversations."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from .database import Database
from .records import Hit
from .text import Marker, Query

# FTS gives the newest first by its row numbers, so that the limit ends the work early.
_MESSAGES: Final = """
SELECT c.id, c.title, c.archived, m.id, m.role, m.created, m.content
FROM message_text CROSS JOIN messages m ON m.id = message_text.rowid
CROSS JOIN conversations c ON c.id = m.conversation
WHERE message_text MATCH ? AND c.deleted IS NULL AND c.archived <= ?
ORDER BY message_text.rowid DESC LIMIT ?
"""
_TITLES: Final = """
SELECT c.id, c.title, c.archived, NULL, NULL, c.updated, c.title
FROM title_text CROSS JOIN conversations c ON c.n = title_text.rowid
WHERE title_text MATCH ? AND c.deleted IS NULL AND c.archived <= ?
ORDER BY title_text.rowid DESC LIMIT ?
"""
_MESSAGES_LITERALLY: Final = """
SELECT c.id, c.title, c.archived, m.id, m.role, m.created, m.content
FROM messages m CROSS JOIN conversations c ON c.id = m.conversation
WHERE instr(m.content, ?) AND c.deleted IS NULL AND c.archived <= ?
ORDER BY m.id DESC LIMIT ?
"""
_TITLES_LITERALLY: Final = """
SELECT c.id, c.title, c.archived, NULL, NULL, c.updated, c.title
FROM conversations c
WHERE instr(c.title, ?) AND c.deleted IS NULL AND c.archived <= ?
ORDER BY c.n DESC LIMIT ?
"""


def search(database: Database, text: str, *, limit: int, archived: bool) -> list[Hit]:
    """See `Store.search`."""
    query = Query.parse(text)
    if query.terms:
        expression, statements = query.for_fts(), (_TITLES, _MESSAGES)
    elif query.literal:
        expression, statements = query.literal, (_TITLES_LITERALLY, _MESSAGES_LITERALLY)
    else:
        return []
    marker = Marker.of(query)
    hits: list[Hit] = []
    with database.read() as c:
        for statement in statements:
            hits += _hits(c, statement, (expression, int(archived), limit - len(hits)), marker)
    return hits


def _hits(
    c: sqlite3.Connection, statement: str, values: tuple[str, int, int], marker: Marker
) -> Iterator[Hit]:
    for key, title, archived, message, role, created, text in c.execute(statement, values):
        snippet, marks = marker.snippet(text)
        yield Hit(key, title, bool(archived), message, role, created / 1000, snippet, marks)
