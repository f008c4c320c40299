"""Stop a run from outside: `qchat batch --pause OUT`."""

import os
import signal
import socket
import time
from pathlib import Path

import click

from ..errors import EngineError, UsageError
from ..i18n import _
from ..running_batches import request_pause, running_batches
from ..sanitize import clean
from ..settings import load
from .journal.lock import holder_of, is_held
from .journal.output_files import files_of_run
from .status import RunStatus, status, status_lines

PATIENCE = 60.0
"""Seconds that a run gets to end: 5 for its rows in flight, the rest to close its files, which may
have to be sorted."""

_POLL_SECONDS = 0.1


def pause(name: str) -> None:
    """Stop the run with the results or input `name`, and print how far it came.

    One that does not run is left as it is. Raises `UsageError` where no run has written `name`, or
    it runs on another machine, and `EngineError` for one that does not stop.
    """
    run = status(name)
    lock = files_of_run(Path(name)).lock
    if not is_held(lock):
        _print(run)
        return
    holder = holder_of(lock)
    pid, host = holder.get("pid"), holder.get("host")
    if host != socket.gethostname():
        text = _("{name} is written on {host}; pause it there.")
        raise UsageError(text.format(name=run.results, host=host))
    if not isinstance(pid, int):
        raise EngineError(_("{path} does not say who runs it.").format(path=lock))
    click.echo(_("Pausing {name} (PID {pid}) ...").format(name=run.results, pid=pid), err=True)
    _request_stop(run, lock, pid)
    deadline = time.monotonic() + PATIENCE
    while is_held(lock):
        if time.monotonic() > deadline:
            text = _("{name} still runs (PID {pid}) after {s:.0f} s; to end it: kill {pid}")
            raise EngineError(text.format(name=run.results, pid=pid, s=PATIENCE))
        time.sleep(_POLL_SECONDS)
    _print(status(name), str(holder.get("command") or ""))


def _request_stop(run: RunStatus, lock: Path, pid: int) -> None:
    results = str(Path(run.results).absolute())
    for batch in running_batches(load().paths.state):
        if batch.pid == pid and batch.results == results and not batch.takes_signals:
            request_pause(batch)  # a signal would end the whole program
            return
    if holder_of(lock).get("takes_signals") is not True:
        text = _("{name} runs within another program (PID {pid}); stop it there.")
        raise UsageError(text.format(name=run.results, pid=pid))
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has ended meanwhile
    except PermissionError:
        text = _("{name} is another user's run (PID {pid}).")
        raise UsageError(text.format(name=run.results, pid=pid)) from None


def _print(run: RunStatus, command: str = "") -> None:
    for line in status_lines(run):
        click.echo(clean(line))
    if command and run.state != "finished":
        click.echo(clean(_("To resume:\n  {command}").format(command=command)))
