"""The table of conversations: create, list, change, delete with undo, fork."""

import json
import re
import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from ..i18n import _
from ..json_types import JsonObject
from .database import Database, unknown
from .index import index_title, unindex_title
from .records import StoredConversation
from .rows import copy_path, remove_all
from .text import maybe_storable, storable

# No i, l, o, u: they are easily misread.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH: Final = 10
_CLOCK_SKEW: Final = 60_000  # milliseconds by which clocks of machines with one home may differ
_number: Final = re.compile(r" \(\d\d?\)$")

_COLUMNS: Final = (
    "id, title, named, created, updated, pinned, archived, deleted, system, server, model, "
    "settings, draft, leaf, messages"
)


class ConversationTable:
    """The conversations of a store. Every method raises `StoreError`, for an unknown id, too."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(
        self,
        *,
        title: str = "",
        named: bool = False,
        system: str | None = None,
        server: str | None = None,
        model: str | None = None,
        settings: JsonObject | None = None,
        draft: str = "",
    ) -> StoredConversation:
        """Create a conversation without messages."""
        now = self._db.now()
        with self._db.write() as c:
            key = insert(
                c,
                title=title,
                named=named,
                created=now,
                updated=now,
                system=system,
                server=server,
                model=model,
                settings=settings or {},
                draft=draft,
            )
            return get_conversation(c, key)

    def get(self, key: str) -> StoredConversation:
        """The conversation with this id, also a deleted one."""
        with self._db.read() as c:
            return get_conversation(c, key)

    def find(self, prefix: str, *, limit: int = 10) -> list[StoredConversation]:
        """The conversations whose id has this prefix, deleted ones included.

        Case is ignored, and i, l and o are read as 1, 1 and 0.
        """
        normalised = prefix.lower().translate(str.maketrans("ilo", "110"))
        if not normalised or set(normalised) - set(_ALPHABET):
            return []
        with self._db.read() as c:
            rows = c.execute(
                f"SELECT {_COLUMNS} FROM conversations WHERE id >= ? AND id < ? "  # noqa: S608
                "ORDER BY updated DESC, n DESC LIMIT ?",
                (normalised, normalised + "~", limit),
            )
            return [_conversation(row) for row in rows]

    def list(
        self,
        *,
        archived: bool | None = False,
        deleted: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[StoredConversation]:
        """List pinned conversations first, then the most recently updated.

        `archived` None means both kinds; `deleted` lists the deleted ones and no others. Those
        that were updated while the clock was ahead come last.
        """
        where = "deleted IS NOT NULL" if deleted else "deleted IS NULL"
        if archived is not None and not deleted:
            where += f" AND archived = {int(archived)}"
        with self._db.read() as c:
            rows = c.execute(
                f"SELECT {_COLUMNS} FROM conversations WHERE {where} "  # noqa: S608
                "ORDER BY pinned DESC, updated > ?, updated DESC, n DESC LIMIT ? OFFSET ?",
                (self._db.now() + _CLOCK_SKEW, -1 if limit is None else limit, offset),
            )
            return [_conversation(row) for row in rows]

    def ids(self) -> "Sequence[str]":
        """The ids of all conversations, deleted ones included, sorted."""
        with self._db.read() as c:
            return [row[0] for row in c.execute("SELECT id FROM conversations ORDER BY id")]

    def last(self) -> StoredConversation | None:
        """The most recently updated conversation that is neither archived nor deleted.

        One that was updated while the clock was ahead comes after those that were not.
        """
        with self._db.read() as c:
            row = c.execute(
                f"SELECT {_COLUMNS} FROM conversations WHERE deleted IS NULL AND archived = 0 "  # noqa: S608
                "ORDER BY updated > ?, updated DESC, n DESC LIMIT 1",
                (self._db.now() + _CLOCK_SKEW,),
            ).fetchone()
            return None if row is None else _conversation(row)

    def rename(self, key: str, title: str, *, named: bool = True) -> StoredConversation:
        """Set the title. With ``named=False`` (a generated title) one that a person chose stays."""
        with self._db.write() as c:
            old = get_conversation(c, key)
            if named or not old.named:
                _set_title(c, key, old.title, storable(title), named)
            return get_conversation(c, key)

    def pin(self, key: str, pinned: bool = True) -> StoredConversation:
        """Pin or unpin a conversation."""
        return self._set(key, pinned=int(pinned))

    def archive(self, key: str, archived: bool = True) -> StoredConversation:
        """Archive or unarchive a conversation."""
        return self._set(key, archived=int(archived))

    def set_system(self, key: str, system: str | None) -> StoredConversation:
        """Set the system prompt; None removes it."""
        return self._set(key, system=maybe_storable(system))

    def set_server(self, key: str, server: str | None, model: str | None) -> StoredConversation:
        """Set the server and the model of the next request."""
        return self._set(key, server=maybe_storable(server), model=maybe_storable(model))

    def set_settings(self, key: str, settings: JsonObject) -> StoredConversation:
        """Set sampling parameters and the reasoning switch, a JSON object of the caller."""
        return self._set(key, settings=json.dumps(settings))

    def set_draft(self, key: str, draft: str) -> StoredConversation:
        """Set the unsent text of the composer."""
        return self._set(key, draft=storable(draft))

    def delete(self, key: str) -> StoredConversation:
        """Mark a conversation as deleted; `restore` undoes it until it is purged."""
        with self._db.write() as c:
            if get_conversation(c, key).deleted is None:
                c.execute(
                    "UPDATE conversations SET deleted = ? WHERE id = ?", (self._db.now(), key)
                )
            return get_conversation(c, key)

    def restore(self, key: str) -> StoredConversation:
        """Undo `delete`."""
        return self._set(key, deleted=None)

    def purge(self, *, older_than: float = 0.0) -> int:
        """Remove for good what was deleted at least `older_than` seconds ago; the count."""
        with self._db.write() as c:
            rows = c.execute(
                "SELECT id, n, title FROM conversations WHERE deleted <= ?",
                (self._db.now() - round(older_than * 1000),),
            ).fetchall()
            for key, number, title in rows:
                remove_all(c, key)
                unindex_title(c, number, title)
                c.execute("DELETE FROM conversations WHERE id = ?", (key,))
            return len(rows)

    def fork(self, key: str, at: int | None = None) -> StoredConversation:
        """Create a conversation with the path from the root to message `at` (the leaf if None).

        Its title has a number: ``Title (2)``.
        """
        with self._db.write() as c:
            old = get_conversation(c, key)
            now = self._db.now()
            new = insert(
                c,
                title=_numbered(c, old.title),
                named=old.named,
                created=now,
                updated=now,
                system=old.system,
                server=old.server,
                model=old.model,
                settings=old.settings,
            )
            copy_path(c, key, old.leaf if at is None else at, new)
            return get_conversation(c, new)

    def _set(self, key: str, **values: Any) -> StoredConversation:
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self._db.write() as c:
            c.execute(
                f"UPDATE conversations SET {assignments} WHERE id = ?",  # noqa: S608
                (*values.values(), key),
            )
            return get_conversation(c, key)


def insert(
    c: sqlite3.Connection,
    *,
    title: str,
    named: bool,
    created: int,
    updated: int,
    system: str | None,
    server: str | None,
    model: str | None,
    settings: JsonObject,
    draft: str = "",
    pinned: bool = False,
    archived: bool = False,
    key: str | None = None,
    source: str | None = None,
) -> str:
    """Insert a row, index its title, and return its id. Times are milliseconds since 1970."""
    key = key or new_id(c)
    title = storable(title)
    cursor = c.execute(
        "INSERT INTO conversations (id, title, named, created, updated, pinned, archived, server, "
        "model, source, settings, system, draft) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            key,
            title,
            int(named),
            created,
            updated,
            int(pinned),
            int(archived),
            maybe_storable(server),
            maybe_storable(model),
            source,
            json.dumps(settings),
            maybe_storable(system),
            storable(draft),
        ),
    )
    index_title(c, cursor.lastrowid, title)
    return key


def new_id(c: sqlite3.Connection) -> str:
    """An unused id."""
    while True:
        key = "".join(secrets.choice(_ALPHABET) for _n in range(_ID_LENGTH))
        if c.execute("SELECT 1 FROM conversations WHERE id = ?", (key,)).fetchone() is None:
            return key


def is_id(text: object) -> bool:
    """Whether the text has the form of a conversation's id."""
    return isinstance(text, str) and len(text) == _ID_LENGTH and not set(text) - set(_ALPHABET)


def get_conversation(c: sqlite3.Connection, key: str) -> StoredConversation:
    """One conversation. Raises `StoreError` for an unknown one."""
    row = c.execute(
        f"SELECT {_COLUMNS} FROM conversations WHERE id = ?",  # noqa: S608
        (key,),
    ).fetchone()
    if row is None:
        raise unknown(_("There is no conversation {key!r}.").format(key=key))
    return _conversation(row)


def _conversation(row: Sequence[Any]) -> StoredConversation:
    (key, title, named, created, updated, pinned, archived, deleted, *rest) = row
    system, server, model, settings, draft, leaf, messages = rest
    return StoredConversation(
        key,
        title,
        bool(named),
        created / 1000,
        updated / 1000,
        bool(pinned),
        bool(archived),
        None if deleted is None else deleted / 1000,
        system,
        server,
        model,
        json.loads(settings),
        draft,
        leaf,
        messages,
    )


def _numbered(c: sqlite3.Connection, title: str) -> str:
    """A title with the first number from 2 on that no conversation has; '' stays."""
    if not title:
        return ""
    stem, number = _number.sub("", title), 2
    while True:
        numbered = f"{stem} ({number})"
        if not c.execute("SELECT 1 FROM conversations WHERE title = ?", (numbered,)).fetchone():
            return numbered
        number += 1


def _set_title(c: sqlite3.Connection, key: str, old: str, new: str, named: bool) -> None:
    number = c.execute("SELECT n FROM conversations WHERE id = ?", (key,)).fetchone()[0]
    c.execute("UPDATE conversations SET title = ?, named = ? WHERE id = ?", (new, int(named), key))
    if new != old:
        unindex_title(c, number, old)
        index_title(c, number, new)
