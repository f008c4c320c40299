"""Opening the store and selecting a conversation, for the commands of `qchat chats`."""

from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..i18n import _

if TYPE_CHECKING:
    from ..store import Store, StoredConversation


def open_existing_store(*, only_reading: bool = False) -> "Store":
    """Open the store and report its notice. Raises `StoreError`, `UsageError`."""
    from ..settings import load
    from ..store import open_store

    store = open_store(load().paths.data, only_reading=only_reading)
    if store.notice:
        report(_("Note: {text}").format(text=store.notice))
    return store


def select_conversation(store: "Store", key: str | None) -> "StoredConversation":
    """The conversation with this id or prefix; None is the last one. Raises `UsageError`."""
    if key is None:
        last = store.conversations.last()
        if last is None:
            raise UsageError(_("There are no conversations yet."))
        return last
    matches = store.conversations.find(key)
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UsageError(_("There is no conversation {id!r}; see: qchat chats list").format(id=key))
    ids = ", ".join(c.id for c in matches[:5])
    raise UsageError(
        _("{id!r} matches several conversations: {ids}; type more of it.").format(id=key, ids=ids)
    )


def report(text: str) -> None:
    """Print a message on standard error."""
    from ..sanitize import clean

    click.echo(clean(text), err=True)
