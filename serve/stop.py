"""`qchat stop`: end servers, with every process of theirs."""

import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..errors import EngineError, UsageError
from ..i18n import _

if TYPE_CHECKING:
    from .registry.lock import LockHolder
    from .registry.records import ServerRecord, ServerRegistry

_KILL_TIMEOUT = 2.0  # seconds until a killed supervisor has released its lock
_POLL_INTERVAL = 0.02  # seconds


@click.command(
    help=_("Stop a server and all of its processes."),
    epilog=_("\b\nExamples:\n  qchat stop\n  qchat stop demo\n  qchat stop --all\n"),
)
@click.argument("name", required=False)
@click.option("--all", "stop_all", is_flag=True, help=_("Stop all servers."))
def stop(name: str | None, stop_all: bool) -> None:
    """Stop one server, or all. Raises `UsageError` for an unknown name."""
    from .registry.server_choice import only_server, open_registry

    registry = open_registry()
    records = {record.name: record for record in registry.all()}
    if stop_all and name is not None:
        raise UsageError(_("Give a name or --all, not both."))
    if name is not None and name not in records:
        text = _("No server is named {name}; there are: {names}.")
        raise UsageError(text.format(name=name, names=", ".join(records) or _("none")))
    if not records:
        click.echo(_("No server is running."))
    elif stop_all:
        stop_servers(registry, list(records.values()))
    else:
        stop_servers(registry, [records[name or only_server(registry)]])


def stop_servers(registry: "ServerRegistry", records: "Sequence[ServerRecord]") -> None:
    """Stop servers in parallel: all are signalled before one is waited for. Raises `EngineError`
    for those that could not be stopped."""
    from .supervision.supervisor import STOP_TIMEOUT

    errors = []
    supervisors = {record.name: _terminate(registry, record.name) for record in records}
    deadline = time.monotonic() + STOP_TIMEOUT + 5.0
    for record in records:
        supervisor = supervisors[record.name]
        while registry.is_locked(record.name) and time.monotonic() < deadline:
            if registry.supervisor(record.name) != supervisor:
                break  # another supervisor has come since, which was not signalled
            if supervisor is not None and not supervisor.is_here:
                break  # it could not be signalled
            time.sleep(_POLL_INTERVAL)
        error = _finish(registry, record, supervisor)
        if error is None:
            click.echo(_("{name} has stopped.").format(name=record.name))
        else:
            errors.append(error)
    if errors:
        raise EngineError(" ".join(errors))


def _terminate(registry: "ServerRegistry", name: str) -> "LockHolder | None":
    """Send SIGTERM to the supervisor if it runs on this machine; return who it is, or was."""
    is_locked, supervisor = registry.is_locked(name), registry.supervisor(name)
    if is_locked and supervisor is not None:
        supervisor.signal(signal.SIGTERM)
    return supervisor


def _finish(
    registry: "ServerRegistry", record: "ServerRecord", supervisor: "LockHolder | None"
) -> str | None:
    """End what is left of a server whose `supervisor` was signalled. Return an error message, or
    None."""
    from .processes import process_tree

    name = record.name
    if supervisor is not None and not supervisor.is_near:
        text = _("{name} runs on {host}: stop it there. If that machine is gone, remove {file}.")
        return text.format(name=name, host=supervisor.host, file=registry.file(name))
    if registry.is_locked(name) and registry.supervisor(name) == supervisor:
        if supervisor is None or not supervisor.signal(signal.SIGKILL):
            text = _("The supervisor of {name} does not exit, and can't be killed from here.")
            return text.format(name=name)
        deadline = time.monotonic() + _KILL_TIMEOUT
        while registry.is_locked(name) and time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)
    if registry.supervisor(name) == supervisor:
        record = registry.read(name) or record  # it may have been written after the signal
    remaining = process_tree.stop(None, record.mark, 0.0)
    if remaining:
        text = _("Processes of {name} did not exit: {pids}.")
        return text.format(name=name, pids=", ".join(map(str, remaining)))
    try:
        if not registry.forget(record):
            return _("The record of {name} is in use; try again.").format(name=name)
    except EngineError as error:
        return _("{name} has stopped, but: {error}").format(name=name, error=error)
    return None
