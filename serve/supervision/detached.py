"""Start a server in the background: `qchat serve --detach`."""

import subprocess
import sys
import time
from pathlib import Path

import click

from ...errors import EngineError, Exit, QchatError, UsageError
from ...i18n import _
from ..planning.plan import ServePlan
from ..registry import records
from ..registry.records import ServerRecord, ServerRegistry
from .phases import LogTail, Phase, StartProgress
from .ready_message import print_ready
from .start_display import Display

_POLL_INTERVAL = 0.1  # seconds


def run_detached(plan: ServePlan, registry: ServerRegistry, wait: bool) -> int:
    """Start a supervisor in a session of its own and return the exit code; with `wait`, once the
    server is ready. Raises `EngineError` or `UsageError` where the start fails."""
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "qchat.serve.supervision.supervisor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if wait else subprocess.DEVNULL,
        start_new_session=True,
    )
    assert supervisor.stdin is not None
    supervisor.stdin.write(plan.to_json().encode())
    supervisor.stdin.close()
    if not wait:
        text = _("{name} is starting; see qchat status and qchat logs -f {name}.")
        click.echo(text.format(name=plan.name))
        return Exit.OK
    display = Display(sys.stderr, plan.model)
    try:
        _wait_until_ready(plan, registry, supervisor, display)
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    finally:
        display.end()
    print_ready(plan)
    return Exit.OK


def _wait_until_ready(
    plan: ServePlan,
    registry: ServerRegistry,
    supervisor: "subprocess.Popen[bytes]",
    display: Display,
) -> None:
    progress, tail = StartProgress(), None
    display(progress.step)
    while True:
        # Before the record is read: a supervisor that has exited writes nothing more into it.
        has_exited = supervisor.poll() is not None
        record = registry.read(plan.name)
        if record is not None and record.supervisor == supervisor.pid:
            tail = tail or LogTail(Path(record.log))
            if progress.feed(tail.lines()) and progress.step.phase < Phase.READY:
                display(progress.step)
            if record.state in (*records.SERVING, records.IDLE):
                return
        if has_exited:
            raise _failure(record, supervisor)
        time.sleep(_POLL_INTERVAL)


def _failure(record: ServerRecord | None, supervisor: "subprocess.Popen[bytes]") -> QchatError:
    """Return why the supervisor exited before its server was ready: from its record, or the last
    line of its stderr."""
    kind = UsageError if supervisor.returncode == Exit.USAGE else EngineError
    if record is not None and record.supervisor == supervisor.pid and record.message:
        return kind(record.message)
    output = supervisor.stderr.read().decode("utf-8", "replace") if supervisor.stderr else ""
    lines = output.strip().splitlines()
    return kind(lines[-1] if lines else _("The supervisor exited before the server was ready."))
