"""The tables, and how an older file becomes a newer one."""

import sqlite3

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

CREATE VIRTUAL TABLE message_text USING fts5 (
  content, content='', tokenize='unicode61 remove_diacritics 2', prefix='2 3'
);
CREATE VIRTUAL TABLE title_text USING fts5 (
  title, content='', tokenize='unicode61 remove_diacritics 2', prefix='2 3'
);
"""

# Each brings a file from the version before it to its own; the last is today's.
MIGRATIONS: tuple[str, ...] = (_V1,)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the file to today's version, wholly or not at all."""
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
