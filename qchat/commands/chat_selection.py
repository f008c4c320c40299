"""What the commands about conversations share: the store, and the conversation that is meant."""

from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..i18n import _

if TYPE_CHECKING:
    from ..store import Store, StoredConversation


def open_existing_store(*, only_reading: bool = False) -> "Store":
    """The store, with what is to be told about it. Raises `StoreError`, `UsageError`."""
    from ..settings import load
    from ..store import open_store

    store = open_store(load().paths.data, only_reading=only_reading)
    if store.notice:
        report(_("Note: {text}").format(text=store.notice))
    return store


def select_conversation(store: "Store", given: str | None) -> "StoredConversation":
    """The conversation that a person named. Raises `UsageError`."""
    if given is None:
        last = store.conversations.last()
        if last is None:
            raise UsageError(_("There are no conversations yet."))
        return last
    found = store.conversations.find(given)
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            _("There is no conversation {id!r}; see: qchat chats list").format(id=given)
        )
    ids = ", ".join(c.id for c in found[:5])
    raise UsageError(
        _("{id!r} is the beginning of several: {ids}; type more of it.").format(id=given, ids=ids)
    )


def report(text: str) -> None:
    """Say something to the person, on standard error."""
    from ..sanitize import clean

    click.echo(clean(text), err=True)
