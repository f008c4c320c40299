"""What can still be read of a damaged file, as conversations that can be added to another one.

The rows are walked by their numbers: where a page is damaged, the walk goes on behind it. SQLite's
own `.recover` is no way here: many builds, Python's among them, leave it out.
"""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..i18n import _
from ..json_types import JsonObject
from ..message_state import MessageState
from . import rows
from .database import Database
from .errors import StoreError
from .opening import PENDING
from .portable import BadDocumentError, Parsed, add, iso, parse
from .records import ROLES
from .schema import migrate
from .text import title_of

_MAGIC: Final = b"SQLite format 3\0"

_ONE_BY_ONE: Final = 4000  # numbers that are tried behind a row that can't be read; then it leaps
_LAST: Final = 2**62
# What a damaged file makes of a statement: an index may ask for any amount of memory.
_UNREADABLE: Final = (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError)
_CONVERSATION: Final = (
    "n, id, title, named, created, updated, pinned, archived, deleted, system, server, model, "
    "settings, draft, leaf"
)
_TEXTS: Final = ("reasoning", "error", "finish_reason", "model")
_TABLES: Final = ("extra", "used", "usage", "timings")


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was brought back of the damaged file `path`; `trouble` says why nothing could be stored,
    and the next opening tries again."""

    path: Path
    conversations: int = 0
    messages: int = 0
    error: str = ""


def bring_back(database: Database) -> Salvaged | None:
    """Add what can be read of the file that was set aside, now or before an opening that was cut
    off; None where there is none."""
    with database.read() as c:
        row = c.execute("SELECT value FROM notes WHERE key = ?", (PENDING,)).fetchone()
    if row is None:
        return None
    path = database.path.with_name(row[0])
    conversations = messages = 0
    try:
        with database.write() as c:
            for parsed, deleted in readable(path) if path.exists() else ():
                key = add(c, parsed, database.now())
                c.execute("UPDATE conversations SET deleted = ? WHERE id = ?", (deleted, key))
                conversations += 1
                messages += len(parsed.document["messages"])
            c.execute("DELETE FROM notes WHERE key = ?", (PENDING,))
    except StoreError as e:
        return Salvaged(path, error=str(e))
    except OSError as e:
        return Salvaged(path, error=_(e.strerror) + _("."))
    return Salvaged(path, conversations, messages)


def is_database(path: Path) -> bool:
    """Whether a file is a database, by its first bytes. Raises `OSError`."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def readable(path: Path) -> Iterator[tuple[Parsed, int | None]]:
    """The conversations that can be read in a file of the store's, and when each was deleted
    (milliseconds since 1970) if it was. Never raises for what stands in the file, which stays as
    it is; raises `OSError` where no copy of it can be made."""
    with ExitStack() as stack:
        try:
            connection = _opened(path, stack)
        except _UNREADABLE:
            return
        yield from _conversations(connection)


def _opened(path: Path, stack: ExitStack) -> sqlite3.Connection:
    connection = stack.enter_context(closing(_for_reading(path)))
    try:
        # The statement is made, not run: it is the schema that is looked at.
        connection.execute("SELECT 1 FROM messages, conversations LIMIT 0")
    except _UNREADABLE:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qchat-")))
        connection = stack.enter_context(closing(_for_reading(_with_first_page(path, scratch))))
    return connection


def _for_reading(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _with_first_page(path: Path, scratch: Path) -> Path:
    """A copy whose first page is a new store's: all have their tables in the same places."""
    with closing(sqlite3.connect(scratch / "new.db")) as new:
        migrate(new, 0)
        size = int(new.execute("PRAGMA page_size").fetchone()[0])
    first = bytearray((scratch / "new.db").read_bytes()[:size])
    copy = scratch / "copy.db"
    for suffix in ("", "-wal"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            shutil.copyfile(part, copy.with_name(copy.name + suffix))
    pages = copy.stat().st_size // size
    first[18:20] = b"\2\2"  # the log is read, too
    first[28:32] = pages.to_bytes(4, "big")
    first[92:96] = first[24:28]  # the number of pages counts
    with copy.open("r+b") as file:
        file.write(first)
    return copy


def _conversations(c: sqlite3.Connection) -> Iterator[tuple[Parsed, int | None]]:
    messages: dict[str, list[int]] = {}
    for row in _walk(c, "id, conversation", "messages", "id"):
        messages.setdefault(str(row["conversation"]), []).append(row["id"])
    for row in _walk(c, _CONVERSATION, "conversations", "n"):
        numbers = messages.pop(str(row["id"]), [])
        yield from _parsed(dict(row), list(_messages(c, numbers)))
    for key, numbers in messages.items():  # their conversation's own row is lost
        orphans = list(_messages(c, numbers))
        first = next((m["content"] for m in orphans if m["role"] == "user"), "")
        yield from _parsed({"id": key, "title": title_of(first)}, orphans)


def _walk(c: sqlite3.Connection, columns: str, table: str, key: str) -> Iterator[sqlite3.Row]:
    """Every row that can be read, by its number."""
    statement = f"SELECT {columns} FROM {table} NOT INDEXED WHERE {key} >= ? ORDER BY {key}"  # noqa: S608
    at = hole = 1
    while at < _LAST:
        try:
            for row in c.execute(statement, (at,)):
                if not at <= row[key] < _LAST:
                    break  # damage that leads back
                yield row
                at = hole = row[key] + 1
            else:
                return
        except _UNREADABLE:
            pass
        tried = at - hole
        at += 1 if tried < _ONE_BY_ONE else tried // 8


def _messages(c: sqlite3.Connection, numbers: list[int]) -> Iterator[JsonObject]:
    for number in numbers:
        try:
            row = c.execute(
                f"SELECT {rows.COLUMNS} FROM messages WHERE id = ?",  # noqa: S608
                (number,),
            ).fetchone()
        except _UNREADABLE:
            continue
        if row is not None and row["role"] in ROLES and isinstance(row["content"], str):
            yield dict(row)


def _parsed(row: JsonObject, messages: list[JsonObject]) -> Iterator[tuple[Parsed, int | None]]:
    numbers = {message["id"]: n for n, message in enumerate(messages, start=1)}
    document = {
        "id": row["id"],
        "title": _text(row.get("title")) or "",
        **{name: row.get(name) == 1 for name in ("named", "pinned", "archived")},
        **{name: _moment(row.get(name)) for name in ("created", "updated")},
        **{name: _text(row.get(name)) for name in ("system", "server", "model")},
        "settings": _table(row.get("settings")),
        "draft": _text(row.get("draft")) or "",
        "leaf": numbers.get(row.get("leaf")) or len(messages) or None,
        "messages": [_message(m, n, numbers) for n, m in enumerate(messages, start=1)],
    }
    if not messages and not document["title"] and not document["draft"]:
        return
    deleted = row.get("deleted")
    try:
        yield parse(document), deleted if isinstance(deleted, int) else None
    except BadDocumentError:
        return


def _message(row: JsonObject, number: int, numbers: dict[int, int]) -> JsonObject:
    parent = numbers.get(row["parent"])
    if row["parent"] is not None and (parent is None or parent >= number):
        parent = number - 1 or None  # the one it answered is lost: the one before stands for it
    ended = (MessageState.COMPLETE, MessageState.ERROR, MessageState.STOPPED)
    return {
        "parent": parent,
        "role": row["role"],
        "content": row["content"],
        "state": row["state"] if row["state"] in ended else MessageState.STOPPED,
        "created": _moment(row["created"]),
        **{name: _text(row[name]) for name in _TEXTS},
        **{name: _table(row[name]) for name in _TABLES},
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: Any) -> str | None:
    try:
        return iso(value / 1000)
    except (TypeError, OverflowError):
        return None


def _table(value: object) -> JsonObject:
    try:
        table = json.loads(value) if isinstance(value, str) else {}
    except (ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}
