"""`qchat status`: the servers that `qchat serve` started, and other vLLM processes."""

from typing import TYPE_CHECKING, Any

import click

from ..errors import Exit
from ..i18n import _

if TYPE_CHECKING:
    from ..running_batches import RunningBatch
    from .registry.records import ServerRegistry


@click.command(
    help=_(
        """List the servers that qchat serve started, batches that run, and vLLM processes that
        qchat did not start.

        HEALTH is the server's answer to /health: ok, unwell (an error status), refused (nothing
        listens) or silent (no answer in time: it hangs or is overloaded). QUEUE is requests
        running + waiting. The command returns at once, even if a server hangs. The exit code is 3
        while a server is stalled: requests wait, and nothing moves.
        """
    ),
    epilog=_("\b\nExamples:\n  qchat status\n  qchat status --json | jq '.servers[].health'\n"),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print one JSON object."))
def status(as_json: bool) -> int:
    """Print the state from the records, the logs, /proc and the servers' health checks."""
    from ..cells import shortened
    from ..running_batches import running_batches
    from ..sanitize import one_line
    from ..settings import Paths
    from .processes import process_tree
    from .registry.records import STALLED
    from .registry.server_choice import open_registry
    from .registry.server_state import server_states

    registry = open_registry()
    records = registry.all()
    states = server_states(records)
    for state in states:
        state["batches"] = _batches(registry, state["name"])
    is_stalled = any(state["state"] == STALLED for state in states)
    code = Exit.ENGINE if is_stalled else Exit.OK
    foreign = process_tree.foreign(record.mark for record in records)
    batches = list(running_batches(Paths.find().state))
    if as_json:
        from ..console import json_text

        processes = [{"pid": pid, "command": command} for pid, command in foreign]
        asked = [_batch_as_json(batch) for batch in batches]
        click.echo(json_text({"servers": states, "foreign": processes, "batches": asked}))
        return code
    if states:
        _print_table(states)
    else:
        click.echo(_("No server is running. Start one: qchat serve demo --detach"))
    for record in records:
        if record.message:
            click.echo(f"\n{record.name}: {one_line(record.message)}")
    for state in states:
        if state["batches"] is not None:
            click.echo(_batches_line(state["name"], state["batches"]))
    if batches:
        click.echo("\n" + _("Batches:"))
    for batch in batches:
        click.echo("  " + one_line(_batch_line(batch)))
    if foreign:
        click.echo("\n" + _("Other vLLM processes, not started by qchat serve:"))
    for pid, command in foreign:
        click.echo(f"  {pid}  {shortened(command, 100)}")
    return code


def _batches(registry: "ServerRegistry", name: str) -> dict[str, Any] | None:
    """Return how many batches run and wait; None for a server without --batches."""
    if not (folder := registry.batches(name)).exists():
        return None
    from .batches.summary import summarise

    summary = summarise(folder)
    return None if summary is None else summary.as_json()


def _batches_line(name: str, batches: dict[str, Any]) -> str:
    text = _("{name}: batches: {running} running ({done:,} of {total:,} requests), {queued} queued")
    if not batches["running"]:
        text = _("{name}: batches: none running, {queued} queued")
    return text.format(name=name, **batches)


def _batch_line(batch: "RunningBatch") -> str:
    text = _("{results} at {servers}: {summary}")
    servers = ", ".join(batch.servers) or _("this machine")
    return text.format(results=batch.results or "-", servers=servers, summary=batch.summary())


def _batch_as_json(batch: "RunningBatch") -> dict[str, Any]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(batch).items() if name not in ("path", "claims")}


def _print_table(states: list[dict[str, Any]]) -> None:
    from ..console import table

    gpus = any(state["gpu_memory_mib"] is not None for state in states)
    heading = (
        *(_("NAME"), _("STATE"), _("HEALTH"), _("MODEL"), _("ADDRESS"), _("UP"), _("MEMORY")),
        *((_("GPU"),) if gpus else ()),
        *(_("QUEUE"), _("TOK/S")),
    )
    rows = [
        (
            state["name"],
            state["state"],
            state["health"] or "-",
            state["served_name"],
            state["url"].removeprefix("http://"),  # so that a line has room in 80 columns
            _duration(state["uptime_s"]) if state["state"] != "failed" else "-",
            _mib(state["memory_mib"]),
            *((_mib(state["gpu_memory_mib"]),) if gpus else ()),
            f"{state['running']}+{state['waiting']}",
            f"{state['tokens_per_s']:.1f}",
        )
        for state in states
    ]
    click.echo(table([heading, *rows], right=range(5, len(heading))))


def _mib(n: int | None) -> str:
    return "-" if n is None else _("{n:,} MiB").format(n=n)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
