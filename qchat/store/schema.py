"""The tables, and the migrations from older files."""

import sqlite3

from .index import index_message, index_title

APPLICATION_ID = 0x71636874  # "qcht", in the header of the file

# Light columns stand before the long ones: reading them then touches no overflow page.
# The FTS tables are contentless: the text stands once, in the tables above them.
_V1 = """
CREATE TABLE conversations (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  named INTEGER NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  pinned INTEGER NOT NULL,
  archived INTEGER NOT NULL,
  deleted INTEGER,
  server TEXT,
  model TEXT,
  leaf INTEGER,
  messages INTEGER NOT NULL DEFAULT 0,
  source TEXT,
  settings TEXT NOT NULL,
  system TEXT,
  draft TEXT NOT NULL
);
CREATE INDEX conversations_updated ON conversations (updated);
CREATE INDEX conversations_source ON conversations (source) WHERE source IS NOT NULL;

CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  parent INTEGER REFERENCES messages (id),
  role TEXT NOT NULL,
  state TEXT NOT NULL,
  created INTEGER NOT NULL,
  chars INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  reasoning_chars INTEGER NOT NULL,
  writer TEXT,
  model TEXT,
  finish_reason TEXT,
  error TEXT,
  used TEXT,
  usage TEXT,
  timings TEXT,
  extra TEXT,
  content TEXT NOT NULL,
  reasoning TEXT
);
CREATE INDEX messages_conversation ON messages (conversation);
CREATE INDEX messages_parent ON messages (parent);
CREATE INDEX messages_streaming ON messages (writer) WHERE state = 'streaming';

CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

# What is searched; it can be made anew from the tables above.
_INDEX_V1 = """
CREATE VIRTUAL TABLE message_text USING fts5 (
  content, content='', tokenize='unicode61 remove_diacritics 2', prefix='2 3'
);
CREATE VIRTUAL TABLE title_text USING fts5 (
  title, content='', tokenize='unicode61 remove_diacritics 2', prefix='2 3'
);
"""

# Each brings a file from the version before it to its own; the last is today's.
MIGRATIONS: tuple[str, ...] = (_V1 + _INDEX_V1,)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrate the file to `VERSION` in one transaction."""
    if version == VERSION:
        return
    steps = "".join(MIGRATIONS[version:])
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{steps}\nPRAGMA user_version = {VERSION};\nCOMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


def renew_index(connection: sqlite3.Connection) -> bool:
    """Make the search index anew where it alone is damaged; False where more than it is.

    The file is then as it was before.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP TABLE message_text")
        connection.execute("DROP TABLE title_text")
        for statement in _INDEX_V1.split(";"):
            connection.execute(statement)
        for title in connection.execute("SELECT n, title FROM conversations").fetchall():
            index_title(connection, *title)
        texts = connection.execute("SELECT id, content FROM messages WHERE state != 'streaming'")
        for text in texts:
            index_message(connection, *text)
        whole: bool = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        connection.execute("COMMIT" if whole else "ROLLBACK")
    except (sqlite3.Error, MemoryError):
        if connection.in_transaction:
            connection.rollback()
        return False
    return whole
