"""`qchat status`, `qchat logs`, `qchat stop`: the servers that `qchat serve` started."""

import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import click

from ..errors import EngineError, UsageError
from ..i18n import _

if TYPE_CHECKING:
    from .records import Record, Store

_ERRORS = re.compile(r"\b(ERROR|CRITICAL|Traceback|\w*Error:|\w*Exception:)")


def _store() -> "Store":
    from ..settings import Paths
    from .records import Store

    store = Store(Paths.find())
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
    from . import tree
    from .state import states

    found = _store().all()
    servers = states(found)
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
            click.echo(f"\n{record.name}: {record.message}")
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


def _only(store: "Store", name: str | None) -> str:
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
    epilog=_("\b\nExamples:\n  qchat logs\n  qchat logs -f demo\n  qchat logs --errors\n"),
)
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help=_("Go on as it grows."))
@click.option("--errors", is_flag=True, help=_("Only lines that tell of an error."))
def logs(name: str | None, follow: bool, errors: bool) -> None:
    """Print it, made safe for a terminal: a log can hold what people asked."""
    from ..sanitize import clean
    from .phases import Tail

    store = _store()
    name = _only(store, name)
    path = store.log(name)
    if "/" in name or not path.exists():
        raise UsageError(_("There is no log of a server named {name}.").format(name=name))
    tail = Tail(path)
    while True:
        lines = tail.lines()
        for line in lines:
            if not errors or _ERRORS.search(line):
                click.echo(clean(line))
        if not lines:
            if not follow:
                return
            time.sleep(0.2)


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
            text = _("No server is named {name}; running: {names}.")
            raise UsageError(text.format(name=one, names=known))
        _stop(store, records[one])


def _stop(store: "Store", record: "Record") -> None:
    from . import tree
    from .records import remove_temporary
    from .supervise import PATIENCE

    if store.is_held(record.name):
        # The lock is held, so the process id is that of the supervisor and of nothing newer.
        os.kill(record.supervisor, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE + 5.0
        while store.is_held(record.name) and time.monotonic() < deadline:
            time.sleep(0.02)
        if store.is_held(record.name):
            os.kill(record.supervisor, signal.SIGKILL)
    left = tree.stop(None, record.mark, 0.0)
    if left:
        text = _("Processes of {name} did not end: {pids}.")
        raise EngineError(text.format(name=record.name, pids=", ".join(map(str, left))))
    remove_temporary(record.temporary)
    store.remove(record.name)
    click.echo(_("{name} has stopped.").format(name=record.name))
