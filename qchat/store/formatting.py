"""Conversations and hits as lines for a terminal and as objects for `--json`."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..i18n import _, plural
from ..sanitize import one_line

if TYPE_CHECKING:
    from . import Hit, Imported, StoredConversation

FORMS: Final = {"md": "markdown", "markdown": "markdown", "json": "json", "jsonl": "jsonl"}
"""Forms of an export, by what a person writes and by the ends of files' names."""

_MARK: Final = ("\x1b[1;4m", "\x1b[0m")
_DIM: Final = ("\x1b[2m", "\x1b[0m")


def title(conversation: "StoredConversation") -> str:
    """The title as one safe line."""
    return one_line(conversation.title) or _("Untitled")


def date(seconds: float) -> str:
    """Local time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def given_title(words: str) -> str:
    """A title that a person gave, as one line. Raises `UsageError` where nothing is left of it."""
    found = one_line(words).strip()
    if not found:
        raise UsageError(_("The title is empty."))
    return found


def renamed(conversation: "StoredConversation") -> str:
    """That it has another title."""
    return _("Renamed: {title}").format(title=title(conversation))


def restored(conversation: "StoredConversation") -> str:
    """That it was brought back."""
    return _("Restored: {title}").format(title=title(conversation))


def not_deleted(conversation: "StoredConversation") -> str:
    """That there is nothing to bring back."""
    said = _("Not deleted: {title}")
    if conversation.archived:
        said = _("Not deleted, but archived: {title}. To undo: qchat chats archive --off {id}")
    return said.format(title=title(conversation), id=conversation.id)


def pinned(conversation: "StoredConversation") -> str:
    """That it was pinned, or let go."""
    said = _("Pinned: {title}") if conversation.pinned else _("No longer pinned: {title}")
    return said.format(title=title(conversation))


def archived(conversation: "StoredConversation") -> str:
    """That it was archived, or taken back."""
    said = _("Archived: {title}") if conversation.archived else _("No longer archived: {title}")
    return said.format(title=title(conversation))


def imported(done: "Imported") -> str:
    """How many were added, and how many were known."""
    n = len(done.added)
    text = plural("Imported {n} conversation.", "Imported {n} conversations.", n).format(n=n)
    if done.known:
        known = plural("{n} was here already.", "{n} were here already.", done.known)
        text += " " + known.format(n=done.known)
    return text


def as_object(c: "StoredConversation") -> dict[str, object]:
    """What `--json` prints of a conversation."""
    return {
        "id": c.id,
        "title": c.title,
        "created": c.created,
        "updated": c.updated,
        "pinned": c.pinned,
        "archived": c.archived,
        "deleted": c.deleted,
        "model": c.model,
        "server": c.server,
        "messages": c.messages,
    }


def hit_object(hit: "Hit") -> dict[str, object]:
    """What `--json` prints of a hit."""
    return {
        "conversation": hit.conversation,
        "title": hit.title,
        "archived": hit.archived,
        "message": hit.message,
        "role": hit.role,
        "created": hit.created,
        "snippet": hit.snippet,
        "marks": [list(mark) for mark in hit.marks],
    }


def hit_lines(hit: "Hit", short: str, marked: bool) -> Sequence[str]:
    """A hit for a person; `marked` where escape sequences of our own may be used."""
    head = f"{short}  {date(hit.created)}  "
    tail = " " + _("(archived)") if hit.archived else ""
    if hit.message is None:
        return [head + _with_marks(hit, marked) + tail]
    name = one_line(hit.title) or _("Untitled")
    return [head + (name.join(_DIM) if marked else name) + tail, "    " + _with_marks(hit, marked)]


def _with_marks(hit: "Hit", marked: bool) -> str:
    if not marked:
        return hit.snippet
    text, at = "", 0
    for start, end in hit.marks:
        text += hit.snippet[at:start] + hit.snippet[start:end].join(_MARK)
        at = end
    return text + hit.snippet[at:]
