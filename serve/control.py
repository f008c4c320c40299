"""`qchat status`, `qchat logs`, `qchat stop`: the servers that `qchat serve` started."""

import re
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import click

from ..errors import EngineError, UsageError
from ..i18n import _

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .lock import LockHolder
    from .phases import LogTail
    from .records import ServerRecord, ServerRegistry

_ERRORS = re.compile(r"\b(ERROR|CRITICAL|Traceback|\w*Error:|\w*Exception:)")
# What a line is that only speaks of an error: one of a lower level, or vLLM's advice on open files.
_CALM = re.compile(r"(\(\w+ pid=\d+\) )?(DEBUG|INFO|WARNING|Found ulimit of)\b")


def _store() -> "ServerRegistry":
    from ..settings import Paths
    from .records import ServerRegistry

    store = ServerRegistry(Paths.find())
    store.sweep()
    return store


@click.command(
    help=_(
        """Show the servers that qchat serve started, and vLLM processes that it did not.

        HEALTH is what a server answers to /health: ok, unwell (it answers that it is not), refused
        (nothing listens) or silent (no answer in a moment: it hangs or has very much to do).
        QUEUE is requests running + waiting. It answers at once, whatever the servers do.
        """
    ),
    epilog=_("\b\nExamples:\n  qchat status\n  qchat status --json | jq '.servers[].health'\n"),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print one JSON object."))
def status(as_json: bool) -> None:
    """Print what the records, the logs, /proc and the servers themselves say."""
    from ..sanitize import one_line
    from . import process_tree as tree
    from .server_state import server_states

    found = _store().all()
    servers = server_states(found)
    others = tree.foreign(record.mark for record in found)
    if as_json:
        from ..console import json_text

        foreign = [{"pid": pid, "command": command} for pid, command in others]
        click.echo(json_text({"servers": servers, "foreign": foreign}))
        return
    if servers:
        _table(servers)
    else:
        click.echo(_("No server runs. Start one: qchat serve demo --detach"))
    for record in found:
        if record.message:
            click.echo(f"\n{record.name}: {one_line(record.message)}")
    if others:
        click.echo("\n" + _("Other vLLM processes, not started from here (they are left alone):"))
    for pid, command in others:
        click.echo(f"  {pid}  {command[:100]}")


def _table(servers: list[dict[str, Any]]) -> None:
    from ..console import table

    heading = (
        *(_("NAME"), _("STATE"), _("HEALTH"), _("MODEL"), _("ADDRESS"), _("UP"), _("MEMORY")),
        *(_("GPU"), _("QUEUE"), _("TOK/S")),
    )
    rows = [
        (
            one["name"],
            one["state"],
            one["health"] or "-",
            one["served_name"],
            one["url"],
            _time(one["uptime_s"]) if one["state"] != "failed" else "-",
            _mib(one["memory_mib"]),
            _mib(one["gpu_memory_mib"]),
            f"{one['running']}+{one['waiting']}",
            f"{one['tokens_per_s']:.1f}",
        )
        for one in servers
    ]
    click.echo(table([heading, *rows], right=(5, 6, 7, 8, 9)))


def _mib(n: int | None) -> str:
    return "-" if n is None else _("{n:,} MiB").format(n=n)


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _only(store: "ServerRegistry", name: str | None) -> str:
    """The server that is meant where none is named. Raises `UsageError`."""
    if name is not None:
        return name
    names = [record.name for record in store.all()]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(_("No server runs; name one whose log is to be seen."))
    raise UsageError(_("Several servers run; name one: {names}").format(names=", ".join(names)))


@click.command(
    help=_("Print the log of a server, vLLM's own words."),
    epilog=_(
        """\b
Examples:
  qchat logs
  qchat logs -f demo
  qchat logs -n 50
  qchat logs --errors
"""
    ),
)
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help=_("Go on as it grows."))
@click.option(
    "-n", "--lines", "most", type=click.IntRange(0), metavar="N", help=_("Only the last N lines.")
)
@click.option("--errors", is_flag=True, help=_("Only lines that tell of an error."))
def logs(name: str | None, follow: bool, most: int | None, errors: bool) -> None:
    """Print it, made safe for a terminal: a log can hold what people asked."""
    from ..sanitize import clean
    from .phases import LogTail

    store = _store()
    name = _only(store, name)
    path = store.log(name)
    if "/" in name or not path.exists():
        raise UsageError(_("There is no log of a server named {name}.").format(name=name))
    tail = LogTail(path)

    def show(lines: "Iterator[str]") -> None:
        for line in lines:
            click.echo(clean(line))

    there = _wanted(_there(tail, whole=not follow), errors)
    show(there if most is None else iter(deque(there, most)))
    if follow:
        show(_wanted(_coming(tail), errors))


def _there(tail: "LogTail", whole: bool) -> "Iterator[str]":
    """The lines up to now; with `whole` a last one without an end, too."""
    while lines := tail.lines():
        yield from lines
    if whole:
        yield from tail.rest()


def _coming(tail: "LogTail") -> "Iterator[str]":
    while True:
        yield from tail.lines()
        time.sleep(0.2)


def _wanted(lines: "Iterator[str]", errors: bool) -> "Iterator[str]":
    if not errors:
        return lines
    return (line for line in lines if _ERRORS.search(line) and not _CALM.match(line))


@click.command(
    help=_("Stop a server, with every process of it."),
    epilog=_("\b\nExamples:\n  qchat stop\n  qchat stop demo\n  qchat stop --all\n"),
)
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help=_("Stop all of them."))
def stop(name: str | None, every: bool) -> None:
    """Stop it, or all. Raises `UsageError` for a name that is none."""
    store = _store()
    records = {record.name: record for record in store.all()}
    if every and name is not None:
        raise UsageError(_("Give a name or --all, not both."))
    if every:
        wanted = list(records)
    elif name is None and not records:
        wanted = []
    else:
        wanted = [_only(store, name)]
    if not wanted:
        click.echo(_("No server runs."))
    for one in wanted:
        if one not in records:
            known = ", ".join(records) or _("none")
            text = _("No server is named {name}; there are: {names}.")
            raise UsageError(text.format(name=one, names=known))
    _stop(store, [records[one] for one in wanted])


def _stop(store: "ServerRegistry", wanted: "Sequence[ServerRecord]") -> None:
    """All are asked to end before any is waited for. Raises `EngineError` for those that stay."""
    from .supervisor import PATIENCE

    troubles = []
    asked = {record.name: _ask(store, record.name, signal.SIGTERM) for record in wanted}
    deadline = time.monotonic() + PATIENCE + 5.0
    for record in wanted:
        holder = asked[record.name]
        while store.is_held(record.name) and time.monotonic() < deadline:
            if store.supervisor(record.name) != holder:
                break  # another has come since, and nobody asked it to end
            if holder is not None and not holder.is_here:
                break  # nobody could ask it
            time.sleep(0.02)
        trouble = _finish(store, record, holder)
        if trouble is None:
            click.echo(_("{name} has stopped.").format(name=record.name))
        else:
            troubles.append(trouble)
    if troubles:
        raise EngineError(" ".join(troubles))


def _ask(store: "ServerRegistry", name: str, signum: int) -> "LockHolder | None":
    """Signal the supervisor, if it lives and is of this machine; gives back who stands there."""
    held, holder = store.is_held(name), store.supervisor(name)
    if held and holder is not None:
        holder.signal(signum)
    return holder


def _finish(
    store: "ServerRegistry", record: "ServerRecord", asked: "LockHolder | None"
) -> str | None:
    """End what is left of a server whose supervisor was asked; why that can't be, or None."""
    from . import process_tree as tree

    name = record.name
    if asked is not None and not asked.is_near:
        text = _("{name} was started on {host}: stop it there. If that is gone, remove {file}.")
        return text.format(name=name, host=asked.host, file=store.file(name))
    if store.is_held(name) and store.supervisor(name) == asked:
        if asked is None or not asked.signal(signal.SIGKILL):
            text = _("The supervisor of {name} does not end, and can't be ended from here.")
            return text.format(name=name)
        deadline = time.monotonic() + 2.0
        while store.is_held(name) and time.monotonic() < deadline:
            time.sleep(0.02)
    if store.supervisor(name) == asked:
        record = store.read(name) or record  # it may have had no record yet when it was asked
    left = tree.stop(None, record.mark, 0.0)
    if left:
        text = _("Processes of {name} did not end: {pids}.")
        return text.format(name=name, pids=", ".join(map(str, left)))
    try:
        if not store.forget(record):
            return _("The record of {name} is in use; try again.").format(name=name)
    except EngineError as error:
        return _("{name} has stopped, but: {why}").format(name=name, why=error)
    return None
