"""`qchat chats rename`, `pin` and `archive`."""

import click

from .chat_choice import chosen, opened, tell
from .errors import UsageError
from .i18n import _

_off = click.option("--off", is_flag=True, help=_("Undo it."))


@click.command(
    help=_("Give a conversation a title."),
    epilog=_("\b\nExample:\n  qchat chats rename 7f3k Why the sky is blue\n"),
)
@click.argument("conversation", metavar="ID")
@click.argument("words", nargs=-1, required=True, metavar="TITLE...")
def rename(conversation: str, words: tuple[str, ...]) -> None:
    """Rename it. Raises `QchatError`."""
    from . import chat_lines
    from .sanitize import one_line

    title = one_line(" ".join(words)).strip()
    if not title:
        raise UsageError(_("The title is empty."))
    with opened() as store:
        changed = store.conversations.rename(chosen(store, conversation).id, title)
    tell(_("Renamed: {title}").format(title=chat_lines.title(changed)))


@click.command(
    help=_("Pin conversations on top of the list."),
    epilog=_("\b\nExamples:\n  qchat chats pin 7f3k\n  qchat chats pin --off 7f3k\n"),
)
@click.argument("conversations", nargs=-1, required=True, metavar="ID...")
@_off
def pin(conversations: tuple[str, ...], off: bool) -> None:
    """Pin them, or let go. Raises `QchatError`."""
    from . import chat_lines

    said = _("No longer pinned: {title}") if off else _("Pinned: {title}")
    with opened() as store:
        for c in [chosen(store, given) for given in conversations]:
            store.conversations.pin(c.id, not off)
            tell(said.format(title=chat_lines.title(c)))


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
    from . import chat_lines

    said = _("No longer archived: {title}") if off else _("Archived: {title}")
    with opened() as store:
        for c in [chosen(store, given) for given in conversations]:
            store.conversations.archive(c.id, not off)
            tell(said.format(title=chat_lines.title(c)))
