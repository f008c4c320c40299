"""Messages: a tree for each conversation, of which one path is shown.

Nothing is ever overwritten but an answer on its way: an edited question and a new answer are
siblings of the old ones.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from ..i18n import _
from ..json_types import JsonObject
from ..message_state import MessageState
from . import rows
from .database import Database
from .errors import StoreError, StoreProblem
from .index import index_message, unindex_message
from .records import Node, StoredMessage
from .text import maybe_storable, storable
from .writers import Writer


class Leaf:
    """Stands for "the current leaf" where a parent is asked for."""


LEAF: Final = Leaf()


class MessageTable:
    """The messages of a store. Every method raises `StoreError`, for an unknown id, too."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._db = database
        self._writer = writer

    def add(
        self,
        conversation: str,
        role: str,
        content: str,
        *,
        parent: int | Leaf | None = LEAF,
        reasoning: str | None = None,
        model: str | None = None,
        extra: JsonObject | None = None,
    ) -> StoredMessage:
        """Store a complete message, on disk on return, and make it the leaf.

        `parent` None begins another root; a parent that has children already gets a branch: so
        an edited question has the parent of the old one. The draft is emptied with a question.
        """
        now = self._db.now()
        with self._db.write() as c:
            number = rows.insert(
                c,
                conversation,
                self._parent(c, conversation, parent),
                role,
                content,
                created=now,
                reasoning=reasoning,
                model=model,
                extra=extra,
            )
            rows.moved(c, conversation, number, now, clear_draft=role == "user")
            return rows.get(c, number)

    def begin(
        self,
        conversation: str,
        *,
        parent: int | Leaf | None = LEAF,
        model: str | None = None,
        used: JsonObject | None = None,
    ) -> StoredMessage:
        """Begin an empty answer that is `STREAMING`, and make it the leaf.

        To regenerate, give the question as `parent`. Should this process die, the next opening
        of the store marks it `STOPPED`.
        """
        now = self._db.now()
        with self._db.write() as c:
            number = rows.insert(
                c,
                conversation,
                self._parent(c, conversation, parent),
                "assistant",
                "",
                created=now,
                model=model,
                used=used,
                state=MessageState.STREAMING,
                writer=self._writer_name(),
            )
            rows.moved(c, conversation, number, now)
            return rows.get(c, number)

    def resume(self, message: int) -> StoredMessage:
        """Continue an answer that has ended: it is `STREAMING` again, with its text."""
        with self._db.write() as c:
            old = rows.get(c, message)
            if old.state is MessageState.STREAMING:
                raise StoreError(StoreProblem.BUSY, _("This answer is still being written."))
            unindex_message(c, message, old.content)
            c.execute(
                "UPDATE messages SET state = ?, writer = ?, error = NULL, finish_reason = NULL "
                "WHERE id = ?",
                (MessageState.STREAMING, self._writer_name(), message),
            )
            rows.moved(c, old.conversation, message, self._db.now())
            return rows.get(c, message)

    def checkpoint(self, message: int, content: str, reasoning: str | None = None) -> None:
        """Store the whole text received so far; call it every second.

        Costs one small transaction. Raises `StoreError` where the answer isn't this store's.
        """
        with self._db.write() as c:
            self._mine(c, message)
            rows.set_text(c, message, content, reasoning)

    def finish(
        self,
        message: int,
        state: MessageState,
        content: str,
        reasoning: str | None = None,
        *,
        error: str | None = None,
        finish_reason: str | None = None,
        model: str | None = None,
        usage: JsonObject | None = None,
        timings: JsonObject | None = None,
        extra: JsonObject | None = None,
    ) -> StoredMessage:
        """End an answer, `STOPPED`, `ERROR` with a message, or `COMPLETE`, and index it.

        `model` is the name that the server gave, if it is to replace the one asked for.
        """
        if state is MessageState.STREAMING:
            raise ValueError("finish needs a state that is an end")
        now = self._db.now()
        with self._db.write() as c:
            conversation = self._mine(c, message)
            rows.set_text(c, message, content, reasoning)
            c.execute(
                "UPDATE messages SET state = ?, writer = NULL, error = ?, finish_reason = ?, "
                "model = coalesce(?, model), usage = ?, timings = ?, extra = ? WHERE id = ?",
                (
                    state,
                    maybe_storable(error),
                    maybe_storable(finish_reason),
                    maybe_storable(model),
                    rows.dumped(usage),
                    rows.dumped(timings),
                    rows.dumped(extra),
                    message,
                ),
            )
            index_message(c, message, storable(content))
            c.execute("UPDATE conversations SET updated = ? WHERE id = ?", (now, conversation))
            return rows.get(c, message)

    def get(self, message: int) -> StoredMessage:
        """One message with its text."""
        with self._db.read() as c:
            return rows.get(c, message)

    def bodies(self, messages: Iterable[int]) -> list[StoredMessage]:
        """Messages with their texts, in the order of the ids; ids that don't exist are skipped.

        For a view: the nodes on the screen and a screen around them.
        """
        numbers = list(messages)
        by_id: dict[int, StoredMessage] = {}
        with self._db.read() as c:
            for start in range(0, len(numbers), 500):
                part = numbers[start : start + 500]
                marks = ",".join("?" * len(part))
                cursor = c.execute(
                    f"SELECT {rows.COLUMNS} FROM messages WHERE id IN ({marks})",  # noqa: S608
                    part,
                )
                by_id |= {row[0]: rows.message_of(row) for row in cursor}
        return [by_id[number] for number in numbers if number in by_id]

    def path(self, conversation: str, to: int | Leaf | None = LEAF) -> list[Node]:
        """The messages from the root to the leaf (or to message `to`), without their texts."""
        with self._db.read() as c:
            last = self._parent(c, conversation, to)
            nodes = {node.id: node for node in rows.tree(c, conversation)}
        path: list[Node] = []
        while last is not None:
            path.append(nodes[last])
            last = nodes[last].parent
        path.reverse()
        return path

    def tree(self, conversation: str) -> list[Node]:
        """All messages of all branches, oldest first, without their texts."""
        with self._db.read() as c:
            rows.leaf_of(c, conversation)
            return rows.tree(c, conversation)

    def siblings(self, message: int) -> list[int]:
        """The messages with the same parent, this one among them, oldest first."""
        with self._db.read() as c:
            old = rows.get(c, message)
            cursor = c.execute(
                "SELECT id FROM messages WHERE conversation = ? AND parent IS ? ORDER BY id",
                (old.conversation, old.parent),
            )
            return [row[0] for row in cursor]

    def versions(self, conversation: str) -> dict[int, tuple[int, int]]:
        """For each message with siblings its number among them, from 1, and their count."""
        with self._db.read() as c:
            cursor = c.execute(
                "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY parent ORDER BY id), "
                "count(*) OVER (PARTITION BY parent) AS n FROM messages WHERE conversation = ?) "
                "WHERE n > 1",
                (conversation,),
            )
            return {row[0]: (row[1], row[2]) for row in cursor}

    def show(self, message: int) -> int:
        """Make the path go through this message, down to the newest of what follows it.

        The new leaf. For switching between siblings and for jumping to a hit of a search; a
        message that the path goes through already leaves it as it is.
        """
        with self._db.write() as c:
            conversation = rows.get(c, message).conversation
            nodes = {node.id: node for node in rows.tree(c, conversation)}
            at = rows.leaf_of(c, conversation)
            leaf = at
            while at is not None and at != message:
                at = nodes[at].parent
            if at is not None and leaf is not None:
                return leaf
            children: dict[int | None, int] = {node.parent: node.id for node in nodes.values()}
            leaf = message
            while leaf in children:
                leaf = children[leaf]
            c.execute("UPDATE conversations SET leaf = ? WHERE id = ?", (leaf, conversation))
            return leaf

    def set_leaf(self, conversation: str, leaf: int | None) -> None:
        """End the path at this message (None: before the first).

        What came after it stays in the tree: so this deletes with undo, which is `set_leaf` with
        the old leaf or `show`.
        """
        with self._db.write() as c:
            checked = self._parent(c, conversation, leaf)
            c.execute("UPDATE conversations SET leaf = ? WHERE id = ?", (checked, conversation))

    def questions(self, conversation: str | None = None, *, limit: int = 100) -> list[str]:
        """The latest questions, newest first, for the composer's history; None: of all."""
        with self._db.read() as c:
            cursor = c.execute(
                "SELECT content FROM messages WHERE role = 'user' "
                "AND (?1 IS NULL OR conversation = ?1) ORDER BY id DESC LIMIT ?2",
                (conversation, limit),
            )
            return [row[0] for row in cursor]

    def _writer_name(self) -> str:
        try:
            return self._writer.name()
        except OSError as e:
            text = _("Can't create a file in {path}: {why}.")
            raise StoreError(
                StoreProblem.FULL if e.errno == 28 else StoreProblem.READ_ONLY,
                text.format(path=self._db.path.parent, why=_(e.strerror)),
            ) from e

    def _mine(self, c: sqlite3.Connection, message: int) -> str:
        row = c.execute(
            "SELECT conversation, state, writer FROM messages WHERE id = ?", (message,)
        ).fetchone()
        if row is None:
            raise rows.no_message(message)
        if row[1] != MessageState.STREAMING or row[2] != self._writer.used_name:
            raise StoreError(StoreProblem.BUSY, _("This answer is not being written here."))
        return str(row[0])

    def _parent(
        self, c: sqlite3.Connection, conversation: str, parent: int | Leaf | None
    ) -> int | None:
        leaf = rows.leaf_of(c, conversation)
        if isinstance(parent, Leaf):
            return leaf
        if parent is not None:
            row = c.execute(
                "SELECT 1 FROM messages WHERE id = ? AND conversation = ?", (parent, conversation)
            ).fetchone()
            if row is None:
                raise rows.no_message(parent)
        return parent
