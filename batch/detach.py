"""Run in the background, independent of the terminal: `qchat batch --detach`."""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import Exit, UsageError
from ..i18n import _
from ..settings import Settings
from .input_files import inputs_of
from .job import BatchJob
from .journal.lock import holder_of
from .journal.output_files import name_outputs
from .run_logs import new_log

_POLL_SECONDS = 0.1  # between two looks at the run while it starts


def detach(arguments: Sequence[str], lock: Path, results: Path, log: Path) -> Exit:
    """Start ``qchat ARGUMENTS`` in a new session; return when it asks rows or has ended.

    Its output goes to `log`, and is copied to stderr until then. Returns 0, or the exit code of a
    run that has ended.
    """
    with log.open("wb") as output:
        log.chmod(0o600)
        # -P: a folder `qchat` in the working directory is not this program.
        run = subprocess.Popen(
            [sys.executable, "-P", "-m", "qchat", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with log.open(encoding="utf-8", errors="replace") as messages:
        try:
            while (code := run.poll()) is None and not _is_asking(lock, run.pid):
                click.echo(messages.read(), nl=False, err=True)
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            code = None  # only the waiting ends
        click.echo(messages.read(), nl=False, err=True)
    if code is not None:
        return Exit(code) if code in set(Exit) else Exit.ENGINE
    text = _(
        "Running in the background as PID {pid}; you can close this terminal.\n"
        "  status:  qchat batch --status {results}\n"
        "  pause:   qchat batch --pause {results}\n"
        "  log:     {log}"
    )
    name = shlex.quote(str(results))
    click.echo(text.format(pid=run.pid, results=name, log=log), err=True)
    return Exit.OK


def _is_asking(lock: Path, pid: int) -> bool:
    holder = holder_of(lock)
    return holder.get("pid") == pid and "progress" in holder


def start_detached(job: BatchJob, settings: Settings, arguments: Sequence[str]) -> Exit:
    """Run ``qchat ARGUMENTS``, the command line of `job`, in the background.

    Raises `UsageError`.
    """
    streams = [name for name in job.inputs if name == "-" or Path(name).is_fifo()]
    if job.output == "-" or streams:
        raise UsageError(
            _("--detach needs files: it can neither read standard input nor write -o -.")
        )
    inputs = inputs_of(job)
    files = name_outputs(inputs, job.output)
    return detach(arguments, files.lock, files.results, new_log(settings, "detached"))
