"""Run in the background, independent of the terminal: `qchat batch --detach`."""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import Exit
from ..i18n import _
from .journal.lock import holder_of

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
