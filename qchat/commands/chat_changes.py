"""`qchat chats rename`, `pin` and `archive`."""

import click

from ..i18n import _
from .chat_selection import open_existing_store, report, select_conversation

_off = click.option("--off", is_flag=True, help=_("Undo the change."))


@click.command(
    help=_("Rename a conversation."),
    epilog=_("\b\nExample:\n  qchat chats rename 7f3k Why the sky is blue\n"),
)
@click.argument("conversation", metavar="ID")
@click.argument("title", nargs=-1, required=True, metavar="TITLE...")
def rename(conversation: str, title: tuple[str, ...]) -> None:
    """Rename a conversation. Raises `QchatError`."""
    from ..store import formatting

    new_title = formatting.checked_title(" ".join(title))
    with open_existing_store() as store:
        changed = store.conversations.rename(select_conversation(store, conversation).id, new_title)
    report(formatting.renamed(changed))


@click.command(
    help=_("Pin conversations to the top of the list."),
    epilog=_("\b\nExamples:\n  qchat chats pin 7f3k\n  qchat chats pin --off 7f3k\n"),
)
@click.argument("conversations", nargs=-1, required=True, metavar="ID...")
@_off
def pin(conversations: tuple[str, ...], off: bool) -> None:
    """Pin or unpin conversations. Raises `QchatError`."""
    from ..store import formatting

    with open_existing_store() as store:
        for c in [select_conversation(store, key) for key in conversations]:
            report(formatting.pinned(store.conversations.pin(c.id, not off)))


@click.command(
    help=_("Archive conversations. They are no longer listed, but a search still finds them."),
    epilog=_(
        """\b
Examples:
  qchat chats archive 7f3k 9qm2
  qchat chats list --archived
  qchat chats archive --off 7f3k
"""
    ),
)
@click.argument("conversations", nargs=-1, required=True, metavar="ID...")
@_off
def archive(conversations: tuple[str, ...], off: bool) -> None:
    """Archive or unarchive conversations. Raises `QchatError`."""
    from ..store import formatting

    with open_existing_store() as store:
        for c in [select_conversation(store, key) for key in conversations]:
            report(formatting.archived(store.conversations.archive(c.id, not off)))
