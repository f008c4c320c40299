"""`qchat stop`: end servers, with every process of theirs."""

import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..cli_options import time_span
from ..errors import EngineError, UsageError
from ..i18n import _
from . import name_completion

if TYPE_CHECKING:
    from .registry.lock import LockHolder
    from .registry.records import ServerRecord, ServerRegistry

_KILL_TIMEOUT = 2.0  # seconds until a killed supervisor has released its lock
_POLL_INTERVAL = 0.02  # seconds
_DRAIN_TIMEOUT = 600.0  # seconds


@click.command(
    help=_(
        """Stop a server and all of its processes.

        Running requests are cut off, unless --drain is given or the server was started with vLLM's
        --shutdown-timeout.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat stop
  qchat stop demo
  qchat stop --all
  qchat stop demo --drain
  qchat stop demo --drain --drain-timeout 1h
"""
    ),
)
@click.argument("name", required=False, shell_complete=name_completion.servers)
@click.option("--all", "stop_all", is_flag=True, help=_("Stop all servers."))
@click.option(
    "--drain",
    is_flag=True,
    help=_(
        "Refuse new requests (503 with Retry-After), and stop when the running ones have ended."
    ),
)
@click.option(
    "--drain-timeout",
    callback=time_span,
    metavar="DURATION",
    help=_("With --drain: stop after so long in any case, such as 30s (10m)."),
)
def stop(name: str | None, stop_all: bool, drain: bool, drain_timeout: float | None) -> None:
    """Stop one server, or all. Raises `UsageError` for an unknown name."""
    from .registry.server_choice import only_server, open_registry

    if drain_timeout is not None and not drain:
        raise UsageError(_("--drain-timeout needs --drain."))
    limit = (_DRAIN_TIMEOUT if drain_timeout is None else drain_timeout) if drain else None
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
        stop_servers(registry, list(records.values()), limit)
    else:
        stop_servers(registry, [records[name or only_server(registry)]], limit)


def stop_servers(
    registry: "ServerRegistry", records: "Sequence[ServerRecord]", drain: float | None = None
) -> None:
    """Stop servers in parallel: all are signalled before one is waited for. With `drain` running
    requests may end within so many seconds. Raises `EngineError` for those that could not be
    stopped."""
    from .supervision.supervisor import STOP_TIMEOUT

    errors = []
    supervisors = {record.name: _terminate(registry, record.name, drain) for record in records}
    started = time.monotonic()
    for record in records:
        drain_s = record.drain_s if drain is None else drain
        deadline = started + STOP_TIMEOUT + drain_s + 5.0
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


def _terminate(registry: "ServerRegistry", name: str, drain: float | None) -> "LockHolder | None":
    """Signal the supervisor if it runs on this machine; return who it is, or was."""
    from .supervision import server_control

    is_locked, supervisor = registry.is_locked(name), registry.supervisor(name)
    if is_locked and supervisor is not None and supervisor.is_here:
        if drain is None:
            supervisor.signal(signal.SIGTERM)
        else:
            request = server_control.ControlRequest(server_control.DRAIN_STOP, drain)
            server_control.send(request, registry.control(name), supervisor.signal)
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
