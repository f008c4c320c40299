"""`qchat chats`: the stored conversations on the command line."""

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
_PURGE_DAYS: Final = 30


@click.group(
    help=_(
        """List, search, show, export and delete stored conversations.

        ID is the id of a conversation or an unambiguous prefix of it.
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
    """Group the commands about stored conversations."""


chats.add_command(rename)
chats.add_command(pin)
chats.add_command(archive)


_as_json = click.option("--json", "as_json", is_flag=True, help=_("Print one JSON value."))


@chats.command(
    "list",
    help=_("List conversations: pinned ones first, then the most recent."),
    epilog=_(
        """\b
Examples:
  qchat chats list
  qchat chats list --archived
  qchat chats list --json | jq -r '.[].title'
"""
    ),
)
@click.option("--archived", is_flag=True, help=_("List archived conversations instead."))
@click.option("--deleted", is_flag=True, help=_("List deleted conversations instead."))
@click.option(
    "-n", "--limit", type=click.IntRange(1), metavar="N", help=_("List at most N conversations.")
)
@_as_json
def list_(archived: bool, deleted: bool, limit: int | None, as_json: bool) -> None:
    """Print the list. Raises `QchatError`."""
    from ..console import json_text, table
    from ..store import formatting

    if archived and deleted:
        raise UsageError(_("Give --archived or --deleted, not both."))
    with open_existing_store(only_reading=True) as store:
        conversations = store.conversations.list(archived=archived, deleted=deleted, limit=limit)
        short = _shortener(store)
    if as_json:
        click.echo(json_text([formatting.as_object(c) for c in conversations]))
    elif not conversations:
        click.echo(_("There are no conversations here."), err=True)
    else:
        heading = (_("ID"), _("CHANGED"), _("MESSAGES"), _("TITLE"))
        lines = [
            (
                short(c.id),
                formatting.date(c.updated),
                f"{c.messages:,}",
                ("* " if c.pinned else "") + formatting.title(c),
            )
            for c in conversations
        ]
        click.echo(table([heading, *lines], right=(2,)))


@chats.command(
    help=_(
        """Search the titles and messages of all conversations. Newest matches come first.

        A message must contain all WORDS; words in double quotes match as a phrase. Words match by
        prefix; Chinese, Japanese and Korean text matches anywhere.
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
@click.argument("query", nargs=-1, required=True, metavar="WORDS...")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1),
    default=20,
    metavar="N",
    help=_("Print at most N matches; 20 by default."),
)
@_as_json
def search(query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Print the matches. Raises `QchatError`."""
    from ..console import json_text, styled
    from ..store import formatting

    with open_existing_store(only_reading=True) as store:
        hits = store.search(" ".join(query), limit=limit)
        short = _shortener(store)
    if as_json:
        click.echo(json_text([formatting.hit_object(hit) for hit in hits]))
    elif not hits:
        click.echo(_("No matches."), err=True)
    else:
        marked = styled(sys.stdout)
        for hit in hits:
            click.echo("\n".join(formatting.hit_lines(hit, short(hit.conversation), marked)))


@chats.command(
    help=_("Print a conversation, by default the most recent one."),
    epilog=_(
        """\b
Examples:
  qchat chats show
  qchat chats show 7f3k --reasoning | less -R
"""
    ),
)
@click.argument("conversation", required=False, metavar="[ID]")
@click.option("--reasoning", is_flag=True, help=_("Include the reasoning."))
@_as_json
def show(conversation: str | None, reasoning: bool, as_json: bool) -> None:
    """Print a conversation. Raises `QchatError`."""
    from ..console import json_text
    from ..store.exports import markdown

    with open_existing_store(only_reading=True) as store:
        selected = select_conversation(store, conversation)
        if as_json:
            click.echo(json_text(store.dump(selected.id)))
        else:
            click.echo(markdown(store, selected.id, reasoning=reasoning), nl=False)


@chats.command(
    help=_(
        """Export conversations, by default all of them. The output goes to standard output, or to
        the file of -o.

        json is complete and can be imported again; jsonl has one line {"messages": [...]} per
        conversation, as qchat batch and OpenAI's tools read it; markdown is for reading, html one
        page that needs nothing else.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat chats export -o backup.json
  qchat chats export 7f3k --format markdown
  qchat chats export 7f3k -o talk.html
  qchat chats export --format jsonl -o chats.jsonl
"""
    ),
)
@click.argument("conversations", nargs=-1, metavar="[ID]...")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(dict.fromkeys(FORMS.values()))),
    help=_("The format; by default that of the file's extension, else json."),
)
@click.option("-o", "--output", metavar="FILE", help=_("The file to write; - is standard output."))
@click.option("--force", is_flag=True, help=_("Replace the file if it exists."))
@click.option("--reasoning", is_flag=True, help=_("Include the reasoning in markdown or html."))
def export(
    conversations: tuple[str, ...],
    form: str | None,
    output: str | None,
    force: bool,
    reasoning: bool,
) -> None:
    """Export conversations. Raises `QchatError`."""
    from ..store.exports import export_conversations, format_of, write_export

    path = None if output in (None, "-") else Path(str(output))
    with open_existing_store(only_reading=True) as store:
        if conversations:
            ids = [select_conversation(store, key).id for key in conversations]
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
        """Import conversations. A FILE is an export (json) or has one conversation per line
        (jsonl); - is standard input.

        A qchat database (chats.db, or one that was set aside as damaged) is read as far as
        possible. Either all files are imported or none; duplicates are skipped.
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
    """Import conversations. Raises `QchatError`."""
    from ..store import formatting
    from ..store.exports import read_export

    parsed = [
        one for name in files for one in read_export(name)
    ]  # all is checked before any is stored
    with open_existing_store() as store:
        done = store.load(parsed)
    report(formatting.imported(done))


@chats.command(
    help=_(
        """Delete conversations. To undo that: qchat chats restore

        Without a terminal for the confirmation, --yes is required.
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
@click.option("-y", "--yes", is_flag=True, help=_("Don't ask for confirmation."))
def delete(conversations: tuple[str, ...], yes: bool) -> int:
    """Ask for confirmation and delete. Raises `QchatError`."""
    from ..store import formatting

    with open_existing_store() as store:
        selected = [select_conversation(store, key) for key in conversations]
        titles = "\n".join(f"  {c.id}  {formatting.title(c)}" for c in selected)
        question = plural("Delete {n} conversation?", "Delete {n} conversations?", len(selected))
        if not yes and not _confirm(titles + "\n" + question.format(n=len(selected))):
            return Exit.OK
        for c in selected:
            store.conversations.delete(c.id)
        ids = " ".join(c.id for c in selected)
        report(_("Deleted. To undo: qchat chats restore {ids}").format(ids=ids))
        return Exit.OK


@chats.command(
    help=_("Restore deleted conversations."),
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
    """Restore conversations. Raises `QchatError`."""
    from ..store import formatting

    with open_existing_store() as store:
        for c in [select_conversation(store, key) for key in conversations]:
            if c.deleted is None:
                report(formatting.not_deleted(c))
            else:
                report(formatting.restored(store.conversations.restore(c.id)))


@chats.command(
    help=_("Remove conversations for good that were deleted long ago."),
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
    default=_PURGE_DAYS,
    metavar="DAYS",
    help=_("Remove those deleted at least DAYS days ago; 30 by default."),
)
@click.option("-y", "--yes", is_flag=True, help=_("Don't ask for confirmation."))
def purge(days: float, yes: bool) -> None:
    """Ask for confirmation and remove. Raises `QchatError`."""
    question = _("Remove for good the conversations deleted at least {n:g} days ago?").format(
        n=days
    )
    if not yes and not _confirm(question):
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


def _confirm(question: str) -> bool:
    from ..sanitize import clean

    if not sys.stdin.isatty():
        raise UsageError(_("There is no terminal for the confirmation; use --yes."))
    try:
        return click.confirm(clean(question), err=True)
    except click.Abort:
        click.echo(err=True)  # so that the shell's prompt begins a line of its own
        raise
