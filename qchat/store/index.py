"""Adding to and removing from the search index, within a transaction of the caller."""

import sqlite3

from .text import spaced


def index_message(c: sqlite3.Connection, message: int, content: str) -> None:
    """Add a message to the index."""
    c.execute("INSERT INTO message_text (rowid, content) VALUES (?, ?)", (message, spaced(content)))


def unindex_message(c: sqlite3.Connection, message: int, content: str) -> None:
    """Remove a message from the index; `content` must be what was added."""
    c.execute(
        "INSERT INTO message_text (message_text, rowid, content) VALUES ('delete', ?, ?)",
        (message, spaced(content)),
    )


def index_title(c: sqlite3.Connection, number: int | None, title: str) -> None:
    """Add a title to the index; `number` is the row of its conversation."""
    c.execute("INSERT INTO title_text (rowid, title) VALUES (?, ?)", (number, spaced(title)))


def unindex_title(c: sqlite3.Connection, number: int, title: str) -> None:
    """Remove a title from the index; `title` must be what was added."""
    c.execute(
        "INSERT INTO title_text (title_text, rowid, title) VALUES ('delete', ?, ?)",
        (number, spaced(title)),
    )
