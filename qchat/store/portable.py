"""Conversations as JSON values: out, and in again, in one transaction.

A document is ``{"id", "title", "named", "created", "updated", "pinned", "archived", "system",
"server", "model", "settings", "draft", "leaf", "messages"}``; its messages are numbered from 1 in
the order they were made, `parent` and `leaf` are such numbers. Times are ISO 8601 in UTC.
"""

import datetime
import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ..i18n import _
from ..json_types import JsonObject
from ..message_state import MessageState
from . import rows
from .conversations import get_conversation, insert, is_id
from .database import Database
from .records import ROLES, StoredMessage
from .text import title_of

FORMAT: Final = "qchat-conversations"
FORMAT_VERSION: Final = 1

_TABLES: Final = ("extra", "used", "usage", "timings")
_MAYBE: Final = ("reasoning", "error", "finish_reason", "model")


class BadDocumentError(ValueError):
    """The document is no conversation; the message says why, without a full stop."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The ids of the conversations that an import added, and the count of duplicates."""

    added: tuple[str, ...]
    duplicates: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """A valid document; `source` is a digest that identifies it."""

    document: JsonObject
    source: str


def dump(database: Database, conversation: str) -> JsonObject:
    """One conversation with all its branches. A streaming answer is exported as `STOPPED`."""
    with database.read() as c:
        return _dump(c, conversation)


def path_messages(database: Database, conversation: str, to: int | None = None) -> list[JsonObject]:
    """The path to message `to` (None: what is shown), as the chat API takes it, the system prompt
    first. Empty answers are left out: no API takes them back."""
    with database.read() as c:
        return _path_messages(c, conversation, to)


def parse(document: Any) -> Parsed:
    """Check a document. Raises `BadDocumentError`."""
    if not isinstance(document, dict):
        raise BadDocumentError(_("a conversation must be an object"))
    checked: JsonObject = {
        "title": _text(document, "title", ""),
        "named": document.get("named") is True,
        "pinned": document.get("pinned") is True,
        "archived": document.get("archived") is True,
        "draft": _text(document, "draft", ""),
        "settings": _table(document, "settings"),
    }
    if is_id(document.get("id")):
        checked["id"] = document["id"]
    for name in ("system", "server", "model"):
        checked[name] = None if document.get(name) is None else _text(document, name)
    for name in ("created", "updated"):
        checked[name] = _moment(document, name)
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise BadDocumentError(_("'messages' must be a list"))
    checked["messages"] = [_parse_message(m, n) for n, m in enumerate(messages, start=1)]
    leaf = document.get("leaf")
    if leaf is not None and not _is_number(leaf, len(messages)):
        raise BadDocumentError(_("'leaf' is the number of no message"))
    checked["leaf"] = leaf
    return Parsed(checked, _digest(checked))


def parse_messages(value: Any) -> Parsed:
    """Check ``{"messages": […]}``, a line of OpenAI's form. Raises `BadDocumentError`."""
    raw_messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(raw_messages, list) or not raw_messages:
        raise BadDocumentError(_("there must be 'messages', a list with at least one message"))
    messages: list[JsonObject] = []
    system: str | None = None
    for n, message in enumerate(raw_messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            text = _("'messages[{i}]' has no role; known are {roles}")
            raise BadDocumentError(text.format(i=n, roles=", ".join(ROLES)))
        content = message.get("content")
        if not isinstance(content, str | list | None):
            text = _("'messages[{i}].content' must be text or a list of parts")
            raise BadDocumentError(text.format(i=n))
        if content is None and message["role"] != "assistant":
            raise BadDocumentError(_("'messages[{i}].content' is missing").format(i=n))
        extra = {k: v for k, v in message.items() if k not in ("role", "content")}
        if n == 0 and message["role"] == "system" and isinstance(content, str) and not extra:
            system = content
            continue
        if isinstance(content, list):
            extra["content"] = content
            content = "\n".join(
                str(part["text"]) for part in content if isinstance(part, dict) and "text" in part
            )
        messages.append({"role": message["role"], "content": content or "", "extra": extra})
    for n, made in enumerate(messages, start=1):
        made.update(parent=n - 1 or None, state=MessageState.COMPLETE)
    first = next((m["content"] for m in messages if m["role"] == "user"), "")
    document: JsonObject = {
        "title": title_of(first),
        "system": system,
        "leaf": len(messages) or None,
        "messages": messages,
    }
    return Parsed(document, _digest({"messages": raw_messages}))


def load(database: Database, parsed: Iterable[Parsed]) -> Imported:
    """Add conversations, all or none. One that is here already, unchanged or from an earlier
    import, is not doubled; one whose id is taken by another gets a new id."""
    documents = list(parsed)
    same = _unchanged(database, documents)
    with database.write() as c:
        added = [
            add(c, one, database.now())
            for one in documents
            if one.source not in same and not _imported(c, one.source)
        ]
    return Imported(tuple(added), len(documents) - len(added))


def _imported(c: sqlite3.Connection, source: str) -> bool:
    return bool(
        c.execute(
            "SELECT 1 FROM conversations WHERE source = ? AND deleted IS NULL", (source,)
        ).fetchone()
    )


def _unchanged(database: Database, parsed: Iterable[Parsed]) -> set[str]:
    """The sources of what is here as it was written out. Nobody waits for this: it may take long
    where lines have to be compared with every conversation."""
    same: set[str] = set()
    paths: set[str] | None = None
    for one in parsed:
        with database.read() as c:
            if _imported(c, one.source):
                continue
            if key := one.document.get("id"):
                if _is_here(c, key) and parse(_dump(c, key)).source == one.source:
                    same.add(one.source)
                continue
        if paths is None:
            paths = _paths(database)
        if one.source in paths:
            same.add(one.source)
    return same


def _is_here(c: sqlite3.Connection, key: str) -> bool:
    row = c.execute("SELECT 1 FROM conversations WHERE id = ? AND deleted IS NULL", (key,))
    return row.fetchone() is not None


def _paths(database: Database) -> set[str]:
    """The source that each conversation has as a line of messages."""
    with database.read() as c:
        keys = [row[0] for row in c.execute("SELECT id FROM conversations WHERE deleted IS NULL")]
    sources: set[str] = set()
    for key in keys:
        with database.read() as c:
            if _is_here(c, key):  # another process may have deleted it
                sources.add(_digest({"messages": _path_messages(c, key)}))
    return sources


def add(c: sqlite3.Connection, one: Parsed, now: int) -> str:
    document = one.document
    key = document.get("id")
    if key and c.execute("SELECT 1 FROM conversations WHERE id = ?", (key,)).fetchone():
        key = None
    new = insert(
        c,
        key=key,
        title=document["title"],
        named=document.get("named", False),
        created=_milliseconds(document.get("created"), now),
        updated=_milliseconds(document.get("updated"), now),
        pinned=document.get("pinned", False),
        archived=document.get("archived", False),
        system=document["system"],
        server=document.get("server"),
        model=document.get("model"),
        settings=document.get("settings", {}),
        draft=document.get("draft", ""),
        source=one.source,
    )
    numbers: dict[int | None, int | None] = {None: None}
    for n, message in enumerate(document["messages"], start=1):
        values = {name: message.get(name) for name in (*_MAYBE, *_TABLES)}
        numbers[n] = rows.insert(
            c,
            new,
            numbers[message["parent"]],
            message["role"],
            message["content"],
            created=_milliseconds(message.get("created"), now),
            state=MessageState(message["state"]),
            **values,
        )
    c.execute("UPDATE conversations SET leaf = ? WHERE id = ?", (numbers[document["leaf"]], new))
    return new


def _dump(c: sqlite3.Connection, conversation: str) -> JsonObject:
    record = get_conversation(c, conversation)
    messages = rows.all_of(c, conversation)
    numbers: dict[int | None, int | None] = {m.id: n for n, m in enumerate(messages, start=1)}
    numbers[None] = None
    return {
        "id": record.id,
        "title": record.title,
        "named": record.named,
        "created": iso(record.created),
        "updated": iso(record.updated),
        "pinned": record.pinned,
        "archived": record.archived,
        "system": record.system,
        "server": record.server,
        "model": record.model,
        "settings": record.settings,
        "draft": record.draft,
        "leaf": numbers[record.leaf],
        "messages": [_dump_message(m, numbers) for m in messages],
    }


def _dump_message(message: StoredMessage, numbers: dict[int | None, int | None]) -> JsonObject:
    state = MessageState.STOPPED if message.state is MessageState.STREAMING else message.state
    fields: JsonObject = {
        "id": numbers[message.id],
        "parent": numbers[message.parent],
        "role": message.role,
        "content": message.content,
        "state": str(state),
        "created": iso(message.created),
    }
    fields |= {
        name: getattr(message, name) for name in _MAYBE if getattr(message, name) is not None
    }
    return fields | {name: getattr(message, name) for name in _TABLES if getattr(message, name)}


def _path_messages(
    c: sqlite3.Connection, conversation: str, to: int | None = None
) -> list[JsonObject]:
    record = get_conversation(c, conversation)
    by_id = {m.id: m for m in rows.all_of(c, conversation)}
    path: list[JsonObject] = []
    at = record.leaf if to is None else to
    while at is not None:
        if by_id[at].content or by_id[at].extra:
            path.append(by_id[at].for_api())
        at = by_id[at].parent
    if record.system:
        path.append({"role": "system", "content": record.system})
    path.reverse()
    return path


def _parse_message(message: Any, number: int) -> JsonObject:
    where = _("message {n}: ").format(n=number)
    if not isinstance(message, dict):
        raise BadDocumentError(where + _("must be an object"))
    if message.get("role") not in ROLES:
        text = _("has no role; known are {roles}")
        raise BadDocumentError(where + text.format(roles=", ".join(ROLES)))
    parent = message.get("parent")
    if parent is not None and not _is_number(parent, number - 1):
        raise BadDocumentError(where + _("'parent' is the number of no earlier message"))
    states = [str(state) for state in MessageState if state is not MessageState.STREAMING]
    state = message.get("state", "complete")
    if state not in states:
        text = _("'state' must be one of {states}")
        raise BadDocumentError(where + text.format(states=", ".join(states)))
    try:
        checked: JsonObject = {
            "parent": parent,
            "role": message["role"],
            "content": _text(message, "content"),
            "state": state,
            "created": _moment(message, "created"),
        }
        for name in _MAYBE:
            if message.get(name) is not None:
                checked[name] = _text(message, name)
        for name in _TABLES:
            if table := _table(message, name):
                checked[name] = table
    except BadDocumentError as e:
        raise BadDocumentError(where + str(e)) from None
    return checked


def _is_number(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _text(table: JsonObject, name: str, default: str | None = None) -> str:
    value = table.get(name, default)
    if not isinstance(value, str):
        raise BadDocumentError(_("'{name}' must be text").format(name=name))
    return value


def _table(table: JsonObject, name: str) -> JsonObject:
    value = table.get(name) or {}
    if not isinstance(value, dict):
        raise BadDocumentError(_("'{name}' must be an object").format(name=name))
    return value


def _moment(table: JsonObject, name: str) -> str | None:
    value = table.get(name)
    if value is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return iso(moment.timestamp())
    except (TypeError, ValueError, OverflowError):
        text = _("'{name}' must be a time such as 2026-01-31T12:00:00.000Z")
        raise BadDocumentError(text.format(name=name)) from None


_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def iso(seconds: float) -> str:
    moment = _EPOCH + datetime.timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(moment: str | None, now: int) -> int:
    if moment is None:
        return now
    return (datetime.datetime.fromisoformat(moment) - _EPOCH) // datetime.timedelta(milliseconds=1)


def _digest(value: JsonObject) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
