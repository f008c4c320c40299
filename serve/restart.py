"""`qchat restart`: start a server again, with its name, port and options."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..cli_options import time_span
from ..errors import EngineError, Exit, UsageError
from ..i18n import _
from . import name_completion

if TYPE_CHECKING:
    from .registry.records import ServerRecord, ServerRegistry

_POLL_INTERVAL = 0.1  # seconds
_DRAIN_TIMEOUT = 600.0  # seconds


@click.command(
    help=_(
        """Start a server again, with the name, port and options that it was started with.

        A running server keeps its supervisor, so it works under systemd and in a container, too. A
        server that has failed or was stopped is started in the background. Running requests are cut
        off, unless --drain is given. For changed keys no restart is needed.
        """
    ),
    epilog=_(
        "\b\nExamples:\n  qchat restart\n  qchat restart demo\n  qchat restart demo --drain\n"
    ),
)
@click.argument("name", required=False, shell_complete=name_completion.startable)
@click.option(
    "--drain",
    is_flag=True,
    help=_("Refuse new requests (503 with Retry-After) until the running ones have ended."),
)
@click.option(
    "--drain-timeout",
    callback=time_span,
    metavar="DURATION",
    help=_("With --drain: restart after so long in any case, such as 30s (10m)."),
)
@click.option("--no-wait", is_flag=True, help=_("Return immediately, not when it is ready."))
def restart(name: str | None, drain: bool, drain_timeout: float | None, no_wait: bool) -> int:
    """Restart one server. Raises `UsageError` for an unknown name, `EngineError` where it does not
    start."""
    from .registry.server_choice import only_server, open_registry

    if drain_timeout is not None and not drain:
        raise UsageError(_("--drain-timeout needs --drain."))
    limit = (_DRAIN_TIMEOUT if drain_timeout is None else drain_timeout) if drain else 0.0
    registry = open_registry()
    name = only_server(registry) if name is None else name
    record = registry.read(name) if "/" not in name else None
    if record is not None and registry.is_locked(name):
        _restart_in_place(registry, record, limit, wait=not no_wait)
        return Exit.OK
    return _start_again(registry, name, wait=not no_wait)


def _start_again(registry: "ServerRegistry", name: str, *, wait: bool) -> int:
    """Start the server that once had this name."""
    from .access import keys
    from .planning.plan import ServePlan
    from .processes import ports
    from .supervision import detached

    try:
        text = registry.plan(name).read_text("utf-8") if "/" not in name else ""
    except (OSError, ValueError):
        text = ""
    if not text:
        known = ", ".join(record.name for record in registry.all()) or _("none")
        message = _("No server named {name} was started here; there are: {names}.")
        raise UsageError(message.format(name=name, names=known))
    try:
        plan = ServePlan.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        text = _("{file} is damaged: start the server with qchat serve.")
        raise EngineError(text.format(file=registry.plan(name))) from error
    if plan.key_source == "variable" and keys.VARIABLE not in os.environ:
        text = _("{name} had its key from {variable}: set that, then restart.")
        raise UsageError(text.format(name=name, variable=keys.VARIABLE))
    ports.check(plan.host, plan.port)
    return detached.run_detached(plan, registry, wait=wait)


def _restart_in_place(
    registry: "ServerRegistry", record: "ServerRecord", drain: float, *, wait: bool
) -> None:
    from .supervision import server_control

    supervisor = registry.supervisor(record.name)
    if supervisor is None or not supervisor.is_here:
        text = _("{name} runs on another machine or in a container: restart it there.")
        raise EngineError(text.format(name=record.name))
    request = server_control.ControlRequest(server_control.RESTART, drain)
    server_control.send(request, registry.control(record.name), supervisor.signal)
    if wait:
        _wait_until_ready(registry, record)
        click.echo(_("{name} is ready at {url}").format(name=record.name, url=f"{record.url}/v1"))
    else:
        click.echo(_("{name} restarts; see qchat status.").format(name=record.name))


def _wait_until_ready(registry: "ServerRegistry", before: "ServerRecord") -> None:
    """Show the progress until the server is ready after another start than `before`. Raises
    `EngineError` where it ends instead."""
    from .registry.records import FAILED, IDLE, SERVING
    from .supervision.phases import LogTail, Phase, StartProgress
    from .supervision.start_display import Display

    log = Path(before.log)
    tail = LogTail(log, log.stat().st_size if log.exists() else 0)
    progress, display = StartProgress(), Display(sys.stderr, before.model)
    message = ""
    try:
        while True:
            runs = registry.is_locked(before.name)
            record = registry.read(before.name)
            if record is not None and record.starts > before.starts:
                if record.state in (*SERVING, IDLE):
                    return
                if progress.feed(tail.lines()) and progress.step.phase < Phase.READY:
                    display(progress.step)
            elif record is not None and record.message not in ("", before.message, message):
                message = record.message  # such as the requests that are waited for
                click.echo(message, err=True)
            if not runs:
                failed = record is not None and record.state == FAILED
                text = record.message if record is not None and failed else ""
                raise EngineError(text or _("{name} has stopped.").format(name=before.name))
            time.sleep(_POLL_INTERVAL)
    finally:
        display.end()
