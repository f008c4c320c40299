"""`qchat chats`: the stored conversations without the screen."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..errors import Exit, UsageError
from ..i18n import _, plural
from ..store.formatting import FORMS
from .chat_changes import archive, pin, rename
from .chat_selection import open_existing_store, report, select_conversation

if TYPE_CHECKING:
    from ..store import Store

_SHORTEST: Final = 4  # characters of an id in a list
_KEPT_DAYS: Final = 30


@click.group(
    help=_(
        """List, search, show, export and delete stored conversations.

        A conversation is named by its id or a beginning of it that no other has.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat ask --save "Why is the sky blue?"
  qchat chats list
  qchat chats search 天空
  qchat chats export --format jsonl -o all.jsonl
"""
    ),
)
def chats() -> None:
    """The group."""


chats.add_command(rename)
chats.add_command(pin)
chats.add_command(archive)


_as_json = click.option("--json", "as_json", is_flag=True, help=_("Print one JSON value."))


@chats.command(
    "list",
    help=_("List conversations, pinned ones first, then the latest."),
    epilog=_(
        """\b
Examples:
  qchat chats list
  qchat chats list --archived
  qchat chats list --json | jq -r '.[].title'
"""
    ),
)
@click.option("--archived", is_flag=True, help=_("List the archived ones instead."))
@click.option("--deleted", is_flag=True, help=_("List the deleted ones instead."))
@click.option("-n", "--limit", type=click.IntRange(1), metavar="N", help=_("At most N."))
@_as_json
def list_(archived: bool, deleted: bool, limit: int | None, as_json: bool) -> None:
    """Print the list."""
    from ..console import json_text, table
    from ..store import formatting as chat_lines

    if archived and deleted:
        raise UsageError(_("Give --archived or --deleted, not both."))
    with open_existing_store(only_reading=True) as store:
        found = store.conversations.list(archived=archived, deleted=deleted, limit=limit)
        short = _shortener(store)
    if as_json:
        click.echo(json_text([chat_lines.as_object(c) for c in found]))
    elif not found:
        click.echo(_("There are no conversations here."), err=True)
    else:
        heading = (_("ID"), _("CHANGED"), _("MESSAGES"), _("TITLE"))
        lines = [
            (
                short(c.id),
                chat_lines.date(c.updated),
                f"{c.messages:,}",
                ("* " if c.pinned else "") + chat_lines.title(c),
            )
            for c in found
        ]
        click.echo(table([heading, *lines], right=(2,)))


@chats.command(
    help=_(
        """Search titles and messages of all conversations, the newest first.

        All words have to be in one message; words in double quotes stand side by side. Words of
        letters are found by their beginning, Chinese ones wherever they stand.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat chats search 图谱
  qchat chats search sky blue
  qchat chats search '"blue sky"' --json
"""
    ),
)
@click.argument("words", nargs=-1, required=True)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1),
    default=20,
    metavar="N",
    help=_("At most N hits; 20 by default."),
)
@_as_json
def search(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Print the hits."""
    from ..console import json_text, styled
    from ..store import formatting as chat_lines

    with open_existing_store(only_reading=True) as store:
        hits = store.search(" ".join(words), limit=limit)
        short = _shortener(store)
    if as_json:
        click.echo(json_text([chat_lines.hit_object(hit) for hit in hits]))
    elif not hits:
        click.echo(_("Nothing was found."), err=True)
    else:
        marked = styled(sys.stdout)
        for hit in hits:
            click.echo("\n".join(chat_lines.hit_lines(hit, short(hit.conversation), marked)))


@chats.command(
    help=_("Print a conversation; without an id the last one."),
    epilog=_(
        """\b
Examples:
  qchat chats show
  qchat chats show 7f3k --reasoning | less -R
"""
    ),
)
@click.argument("conversation", required=False, metavar="[ID]")
@click.option("--reasoning", is_flag=True, help=_("Print the thinking, too."))
@_as_json
def show(conversation: str | None, reasoning: bool, as_json: bool) -> None:
    """Print it."""
    from ..console import json_text
    from ..store.exports import markdown

    with open_existing_store(only_reading=True) as store:
        found = select_conversation(store, conversation)
        if as_json:
            click.echo(json_text(store.dump(found.id)))
        else:
            click.echo(markdown(store, found.id, reasoning=reasoning), nl=False)


@chats.command(
    help=_(
        """Write conversations to a file or to standard output; without an id all of them.

        json keeps everything and can be imported again; jsonl is a line {"messages": [...]} for
        each conversation, as qchat batch and OpenAI's tools read it; markdown is for reading.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat chats export -o backup.json
  qchat chats export 7f3k --format markdown
  qchat chats export --format jsonl -o chats.jsonl
"""
    ),
)
@click.argument("conversations", nargs=-1, metavar="[ID]...")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(dict.fromkeys(FORMS.values()))),
    help=_("By default what the file's name says, else json."),
)
@click.option("-o", "--output", metavar="FILE", help=_("The file; - is standard output."))
@click.option("--force", is_flag=True, help=_("Replace the file if it exists."))
@click.option("--reasoning", is_flag=True, help=_("Markdown: the thinking, too."))
def export(
    conversations: tuple[str, ...],
    form: str | None,
    output: str | None,
    force: bool,
    reasoning: bool,
) -> None:
    """Write it."""
    from ..store.exports import export_conversations, format_of, write_export

    path = None if output in (None, "-") else Path(str(output))
    with open_existing_store(only_reading=True) as store:
        if conversations:
            ids = [select_conversation(store, given).id for given in conversations]
        else:
            ids = [c.id for c in store.conversations.list(archived=None)]
        kind = form or (format_of(path) if path else None) or "json"
        pieces = export_conversations(store, ids, kind, reasoning=reasoning)
        if path is None:
            for piece in pieces:
                click.echo(piece, nl=False)
        else:
            write_export(pieces, path, overwrite=force)
            text = plural(
                "Wrote {n} conversation to {path}.", "Wrote {n} conversations to {path}.", len(ids)
            )
            report(text.format(n=len(ids), path=path))


@chats.command(
    "import",
    help=_(
        """Read conversations from exports (json) and from lines of messages (jsonl).

        A database of qchat's (chats.db, or one that was set aside as damaged) is read, too, as far
        as that is possible. All files are read or nothing is; what is here already is not doubled.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat chats import backup.json
  qchat chats import *.jsonl
  ssh lab qchat chats export | qchat chats import -
"""
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def import_(files: tuple[str, ...]) -> None:
    """Read them."""
    from ..store import formatting as chat_lines
    from ..store.exports import read_export

    parsed = [
        one for name in files for one in read_export(name)
    ]  # all is checked before any is stored
    with open_existing_store() as store:
        done = store.load(parsed)
    report(chat_lines.imported(done))


@chats.command(
    help=_(
        """Delete conversations. They can be had back with: qchat chats restore

        Without a terminal to ask on, --yes is needed.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat chats delete 7f3k
  qchat chats delete 7f3k 9qm2 --yes
"""
    ),
)
@click.argument("conversations", nargs=-1, required=True, metavar="ID...")
@click.option("-y", "--yes", is_flag=True, help=_("Don't ask."))
def delete(conversations: tuple[str, ...], yes: bool) -> int:
    """Ask, and put away."""
    from ..store import formatting as chat_lines

    with open_existing_store() as store:
        found = [select_conversation(store, given) for given in conversations]
        titles = "\n".join(f"  {c.id}  {chat_lines.title(c)}" for c in found)
        question = plural("Delete {n} conversation?", "Delete {n} conversations?", len(found))
        if not yes and not _agreed(titles + "\n" + question.format(n=len(found))):
            return Exit.OK
        for c in found:
            store.conversations.delete(c.id)
        ids = " ".join(c.id for c in found)
        report(_("Deleted. To undo: qchat chats restore {ids}").format(ids=ids))
        return Exit.OK


@chats.command(
    help=_("Bring deleted conversations back."),
    epilog=_(
        """\b
Examples:
  qchat chats list --deleted
  qchat chats restore 7f3k
"""
    ),
)
@click.argument("conversations", nargs=-1, required=True, metavar="ID...")
def restore(conversations: tuple[str, ...]) -> None:
    """Bring them back."""
    from ..store import formatting as chat_lines

    with open_existing_store() as store:
        for c in [select_conversation(store, given) for given in conversations]:
            if c.deleted is None:
                report(chat_lines.not_deleted(c))
            else:
                report(chat_lines.restored(store.conversations.restore(c.id)))


@chats.command(
    help=_("Remove for good what was deleted long ago."),
    epilog=_(
        """\b
Examples:
  qchat chats purge
  qchat chats purge --older-than 0 --yes
"""
    ),
)
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(0),
    default=_KEPT_DAYS,
    metavar="DAYS",
    help=_("Deleted at least so many days ago; 30 by default."),
)
@click.option("-y", "--yes", is_flag=True, help=_("Don't ask."))
def purge(days: float, yes: bool) -> None:
    """Ask, and remove."""
    question = _("Remove for good what was deleted at least {n:g} days ago?").format(n=days)
    if not yes and not _agreed(question):
        return
    with open_existing_store() as store:
        n = store.conversations.purge(older_than=days * 86400)
    report(plural("Removed {n} conversation.", "Removed {n} conversations.", n).format(n=n))


def _shortener(store: "Store") -> Callable[[str], str]:
    ids = store.conversations.ids()
    length = _SHORTEST
    for a, b in itertools.pairwise(ids):
        same = next(n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
        length = max(length, same + 1)
    return lambda key: key[:length]


def _agreed(question: str) -> bool:
    from ..sanitize import clean

    if not sys.stdin.isatty():
        raise UsageError(_("There is no terminal to ask on; say --yes."))
    try:
        return click.confirm(clean(question), err=True)
    except click.Abort:
        click.echo(err=True)  # the shell's prompt does not belong behind the question
        raise
