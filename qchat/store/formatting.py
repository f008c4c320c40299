"""Conversations and search hits as lines for a terminal and as objects for `--json`."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..i18n import _, plural, sentence_gap
from ..sanitize import one_line

if TYPE_CHECKING:
    from . import Hit, Imported, StoredConversation

FORMS: Final = {
    "md": "markdown",
    "markdown": "markdown",
    "html": "html",
    "json": "json",
    "jsonl": "jsonl",
}
"""Formats of an export by their names and by file extension."""

_MARK: Final = ("\x1b[1;4m", "\x1b[0m")
_DIM: Final = ("\x1b[2m", "\x1b[0m")


def title(conversation: "StoredConversation") -> str:
    """The title as one safe line."""
    return one_line(conversation.title) or _("Untitled")


def date(seconds: float) -> str:
    """Local time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def checked_title(text: str) -> str:
    """A title from a person as one line. Raises `UsageError` where it is empty."""
    title_ = one_line(text).strip()
    if not title_:
        raise UsageError(_("The title is empty."))
    return title_


def renamed(conversation: "StoredConversation") -> str:
    """The message after a rename."""
    return _("Renamed: {title}").format(title=title(conversation))


def restored(conversation: "StoredConversation") -> str:
    """The message after a restore."""
    return _("Restored: {title}").format(title=title(conversation))


def not_deleted(conversation: "StoredConversation") -> str:
    """The message where there is nothing to restore."""
    text = _("Not deleted: {title}")
    if conversation.archived:
        text = _("Not deleted, but archived: {title}. To undo: qchat chats archive --off {id}")
    return text.format(title=title(conversation), id=conversation.id)


def pinned(conversation: "StoredConversation") -> str:
    """The message after pinning or unpinning."""
    text = _("Pinned: {title}") if conversation.pinned else _("Unpinned: {title}")
    return text.format(title=title(conversation))


def archived(conversation: "StoredConversation") -> str:
    """The message after archiving or unarchiving."""
    text = _("Archived: {title}") if conversation.archived else _("Unarchived: {title}")
    return text.format(title=title(conversation))


def imported(done: "Imported") -> str:
    """The message after an import: how many were added, and how many were duplicates."""
    n = len(done.added)
    text = plural("Imported {n} conversation.", "Imported {n} conversations.", n).format(n=n)
    if done.duplicates:
        duplicates = plural("{n} duplicate skipped.", "{n} duplicates skipped.", done.duplicates)
        text += sentence_gap() + duplicates.format(n=done.duplicates)
    return text


def as_object(c: "StoredConversation") -> dict[str, object]:
    """A conversation as `--json` prints it."""
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
    """A hit as `--json` prints it."""
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
    """A hit as lines for a terminal; `marked` allows escape sequences of our own."""
    head = f"{short}  {date(hit.created)}  "
    tail = sentence_gap() + _("(archived)") if hit.archived else ""
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
