"""A run in the background, for a terminal that may be lost: `qchat batch --detach`."""

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

_LOOK = 0.1  # seconds between two looks at the run while it starts


def detach(words: Sequence[str], lock: Path, results: Path, log: Path) -> Exit:
    """Start ``qchat WORDS`` in a session of its own and return when it asks rows, or has ended.

    Until then what it says is shown here; it goes to `log`, and on there afterwards. Returns 0, or
    the run's own exit code when it ended meanwhile.
    """
    with log.open("wb") as said:
        log.chmod(0o600)
        # -P: a folder `qchat` in the working directory is not this program.
        run = subprocess.Popen(
            [sys.executable, "-P", "-m", "qchat", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    with log.open(encoding="utf-8", errors="replace") as told:
        try:
            while (code := run.poll()) is None and not _asks(lock, run.pid):
                click.echo(told.read(), nl=False, err=True)
                time.sleep(_LOOK)
        except KeyboardInterrupt:
            code = None  # only the waiting ends
        click.echo(told.read(), nl=False, err=True)
    if code is not None:
        return Exit(code) if code in set(Exit) else Exit.ENGINE
    text = _(
        "Running in the background as PID {pid}; this terminal may be closed.\n"
        "  to look in:  qchat batch --status {results}\n"
        "  to stop it:  kill {pid}\n"
        "  its words:   {log}"
    )
    name = shlex.quote(str(results))
    click.echo(text.format(pid=run.pid, results=name, log=log), err=True)
    return Exit.OK


def _asks(lock: Path, pid: int) -> bool:
    holder = holder_of(lock)
    return holder.get("pid") == pid and "progress" in holder
