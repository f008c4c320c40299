"""What goes into the search index and out of it, within a transaction of the caller's."""

import sqlite3

from .text import spaced


def index_message(c: sqlite3.Connection, message: int, content: str) -> None:
    """Let a message be found."""
    c.execute("INSERT INTO message_text (rowid, content) VALUES (?, ?)", (message, spaced(content)))


def unindex_message(c: sqlite3.Connection, message: int, content: str) -> None:
    """Take out what `index_message` put in: the text has to be the same."""
    c.execute(
        "INSERT INTO message_text (message_text, rowid, content) VALUES ('delete', ?, ?)",
        (message, spaced(content)),
    )


def index_title(c: sqlite3.Connection, number: int | None, title: str) -> None:
    """Let a title be found; `number` is the conversation's row."""
    c.execute("INSERT INTO title_text (rowid, title) VALUES (?, ?)", (number, spaced(title)))


def unindex_title(c: sqlite3.Connection, number: int, title: str) -> None:
    """Take out what `index_title` put in."""
    c.execute(
        "INSERT INTO title_text (title_text, rowid, title) VALUES ('delete', ?, ?)",
        (number, spaced(title)),
    )
