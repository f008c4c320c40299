"""`qchat chats rename`, `pin` and `archive`."""

import click

from ..i18n import _
from .chat_selection import open_existing_store, report, select_conversation

_off = click.option("--off", is_flag=True, help=_("Undo it."))


@click.command(
    help=_("Give a conversation a title."),
    epilog=_("\b\nExample:\n  qchat chats rename 7f3k Why the sky is blue\n"),
)
@click.argument("conversation", metavar="ID")
@click.argument("words", nargs=-1, required=True, metavar="TITLE...")
def rename(conversation: str, words: tuple[str, ...]) -> None:
    """Rename it. Raises `QchatError`."""
    from ..store import formatting as chat_lines

    title = chat_lines.given_title(" ".join(words))
    with open_existing_store() as store:
        changed = store.conversations.rename(select_conversation(store, conversation).id, title)
    report(chat_lines.renamed(changed))


@click.command(
    help=_("Pin conversations on top of the list."),
    epilog=_("\b\nExamples:\n  qchat chats pin 7f3k\n  qchat chats pin --off 7f3k\n"),
)
@click.argument("conversations", nargs=-1, required=True, metavar="ID...")
@_off
def pin(conversations: tuple[str, ...], off: bool) -> None:
    """Pin them, or let go. Raises `QchatError`."""
    from ..store import formatting as chat_lines

    with open_existing_store() as store:
        for c in [select_conversation(store, given) for given in conversations]:
            report(chat_lines.pinned(store.conversations.pin(c.id, not off)))


@click.command(
    help=_("Archive conversations: they leave the list, and are still found by a search."),
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
    """Archive them, or take them back. Raises `QchatError`."""
    from ..store import formatting as chat_lines

    with open_existing_store() as store:
        for c in [select_conversation(store, given) for given in conversations]:
            report(chat_lines.archived(store.conversations.archive(c.id, not off)))
