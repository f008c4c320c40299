"""Reading and writing rows of messages within a transaction of the caller.

Times are milliseconds since 1970 here.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ..i18n import _
from ..json_types import JsonObject
from ..message_state import MessageState
from .database import unknown
from .errors import StoreError
from .index import index_message, unindex_message
from .records import ROLES, Node, StoredMessage
from .text import maybe_storable, storable

COLUMNS: Final = (
    "id, conversation, parent, role, content, reasoning, state, created, error, finish_reason, "
    "model, extra, used, usage, timings"
)
_LIGHT: Final = "id, parent, role, state, created, chars, lines, reasoning_chars"


def insert(
    c: sqlite3.Connection,
    conversation: str,
    parent: int | None,
    role: str,
    content: str,
    *,
    created: int,
    reasoning: str | None = None,
    state: MessageState = MessageState.COMPLETE,
    error: str | None = None,
    finish_reason: str | None = None,
    model: str | None = None,
    extra: JsonObject | None = None,
    used: JsonObject | None = None,
    usage: JsonObject | None = None,
    timings: JsonObject | None = None,
    writer: str | None = None,
) -> int:
    """Insert a row, index its text unless it is streaming, and return its id."""
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}")
    content = storable(content)
    reasoning = maybe_storable(reasoning)
    cursor = c.execute(
        "INSERT INTO messages (conversation, parent, role, state, created, chars, lines, "
        "reasoning_chars, writer, model, finish_reason, error, used, usage, timings, extra, "
        "content, reasoning) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            conversation,
            parent,
            role,
            state,
            created,
            *_sizes(content, reasoning),
            writer,
            maybe_storable(model),
            maybe_storable(finish_reason),
            maybe_storable(error),
            dumped(used),
            dumped(usage),
            dumped(timings),
            dumped(extra),
            content,
            reasoning,
        ),
    )
    number = cursor.lastrowid
    assert number is not None
    if state is not MessageState.STREAMING:
        index_message(c, number, content)
    c.execute("UPDATE conversations SET messages = messages + 1 WHERE id = ?", (conversation,))
    return number


def copy_path(c: sqlite3.Connection, old: str, leaf: int | None, new: str) -> None:
    """Copy the messages from the root to `leaf` into the conversation `new`, and its leaf."""
    parents = {node.id: node.parent for node in tree(c, old)}
    if leaf is not None and leaf not in parents:
        raise no_message(leaf)
    path: list[int] = []
    at = leaf
    while at is not None:
        path.append(at)
        at = parents[at]
    last: int | None = None
    for number in reversed(path):
        message = get(c, number)
        state = MessageState.STOPPED if message.state is MessageState.STREAMING else message.state
        last = insert(
            c,
            new,
            last,
            message.role,
            message.content,
            created=round(message.created * 1000),
            reasoning=message.reasoning,
            state=state,
            error=message.error,
            finish_reason=message.finish_reason,
            model=message.model,
            extra=message.extra,
            used=message.used,
            usage=message.usage,
            timings=message.timings,
        )
    c.execute("UPDATE conversations SET leaf = ? WHERE id = ?", (last, new))


def moved(
    c: sqlite3.Connection, conversation: str, leaf: int, now: int, *, clear_draft: bool = False
) -> None:
    """Set the leaf of a conversation, and when it was updated."""
    draft = ", draft = ''" if clear_draft else ""
    c.execute(
        f"UPDATE conversations SET leaf = ?, updated = ?{draft} WHERE id = ?",  # noqa: S608
        (leaf, now, conversation),
    )


def leaf_of(c: sqlite3.Connection, conversation: str) -> int | None:
    """The leaf of a conversation. Raises `StoreError` for an unknown one."""
    row = c.execute("SELECT leaf FROM conversations WHERE id = ?", (conversation,)).fetchone()
    if row is None:
        raise unknown(_("There is no conversation {key!r}.").format(key=conversation))
    leaf: int | None = row[0]
    return leaf


def tree(c: sqlite3.Connection, conversation: str) -> list[Node]:
    """See `MessageTable.tree`."""
    rows = c.execute(
        f"SELECT {_LIGHT} FROM messages WHERE conversation = ? ORDER BY id",  # noqa: S608
        (conversation,),
    ).fetchall()
    families: dict[int | None, int] = {}
    places = []
    for row in rows:
        place = families.get(row[1], 0)
        families[row[1]] = place + 1
        places.append(place)
    return [
        Node(
            number,
            parent,
            role,
            MessageState(state),
            created / 1000,
            chars,
            lines,
            reasoning_chars,
            place,
            families[parent],
        )
        for (number, parent, role, state, created, chars, lines, reasoning_chars), place in zip(
            rows, places, strict=True
        )
    ]


def get(c: sqlite3.Connection, message: int) -> StoredMessage:
    """One message. Raises `StoreError` for an unknown one."""
    row = c.execute(
        f"SELECT {COLUMNS} FROM messages WHERE id = ?",  # noqa: S608
        (message,),
    ).fetchone()
    if row is None:
        raise no_message(message)
    return message_of(row)


def all_of(c: sqlite3.Connection, conversation: str) -> list[StoredMessage]:
    """All messages of all branches with their texts, in the order they were made."""
    cursor = c.execute(
        f"SELECT {COLUMNS} FROM messages WHERE conversation = ? ORDER BY id",  # noqa: S608
        (conversation,),
    )
    return [message_of(row) for row in cursor]


def message_of(row: Sequence[Any]) -> StoredMessage:
    """The message in a row of `COLUMNS`."""
    (number, conversation, parent, role, content, reasoning, state, created, error, *rest) = row
    finish_reason, model, *tables = rest
    return StoredMessage(
        number,
        conversation,
        parent,
        role,
        content,
        reasoning,
        MessageState(state),
        created / 1000,
        error,
        finish_reason,
        model,
        *(json.loads(table) if table else {} for table in tables),
    )


def no_message(message: int) -> StoreError:
    """The error for an unknown id."""
    return unknown(_("There is no message {number}.").format(number=message))


def set_text(c: sqlite3.Connection, message: int, content: str, reasoning: str | None) -> None:
    """Store the text of an answer that is streaming."""
    content = storable(content)
    reasoning = maybe_storable(reasoning)
    c.execute(
        "UPDATE messages SET chars = ?, lines = ?, reasoning_chars = ?, content = ?, "
        "reasoning = ? WHERE id = ?",
        (*_sizes(content, reasoning), content, reasoning, message),
    )


def _sizes(content: str, reasoning: str | None) -> tuple[int, int, int]:
    return len(content), content.count("\n") + 1, len(reasoning or "")


def dumped(value: JsonObject | None) -> str | None:
    """JSON for a column; None for an empty value."""
    return json.dumps(value) if value else None


def stop(c: sqlite3.Connection, writers: Iterable[str]) -> int:
    """Mark the `STREAMING` answers of these writers as `STOPPED`, and count them."""
    stopped = 0
    for writer in writers:
        left = c.execute(
            "SELECT id, content FROM messages WHERE state = 'streaming' AND writer = ?", (writer,)
        ).fetchall()
        for number, content in left:
            c.execute(
                "UPDATE messages SET state = ?, writer = NULL WHERE id = ?",
                (MessageState.STOPPED, number),
            )
            index_message(c, number, content)
        stopped += len(left)
    return stopped


def writers_of_streaming(c: sqlite3.Connection) -> list[str]:
    """The writers that have an answer `STREAMING`."""
    cursor = c.execute("SELECT DISTINCT writer FROM messages WHERE state = 'streaming'")
    return [row[0] for row in cursor]


def remove_all(c: sqlite3.Connection, conversation: str) -> None:
    """Delete a conversation's messages, also from the index."""
    messages = c.execute(
        "SELECT id, content FROM messages WHERE conversation = ? AND state != ?",
        (conversation, MessageState.STREAMING),
    ).fetchall()
    for number, content in messages:
        unindex_message(c, number, content)
    # A parent can't go while a child refers to it.
    c.execute("UPDATE messages SET parent = NULL WHERE conversation = ?", (conversation,))
    c.execute("DELETE FROM messages WHERE conversation = ?", (conversation,))
