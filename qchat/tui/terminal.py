"""The terminal around the chat: what it can do, leaving it for the shell, drawing it anew."""

import os
import signal
from collections.abc import Mapping
from typing import Any, Final

from textual.app import App, SuspendNotSupported

from ..errors import UsageError
from ..i18n import _

_WITHOUT_BRACKETS: Final = ("ansi", "cons25", "cygwin", "dumb", "eterm", "linux", "sun", "vt", "")


def brackets_pastes(environ: Mapping[str, str]) -> bool:
    """Whether the terminal marks what is pasted (mode 2004), so that keys are keys.

    Nearly all do; terminals that don't know the mode are named in ``TERM``.
    """
    name = environ.get("TERM", "").partition("-")[0].rstrip("0123456789")
    return name not in _WITHOUT_BRACKETS


def in_multiplexer(environ: Mapping[str, str]) -> bool:
    """Whether the terminal is a window of tmux or screen."""
    return bool(environ.get("TMUX") or environ.get("STY"))


def passed_through(sequence: str, environ: Mapping[str, str]) -> str:
    """Wrap an escape sequence so that tmux or screen passes it on to the terminal around it."""
    if environ.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY"):
        return "\x1bP" + sequence + "\x1b\\"
    return sequence


def suspend(app: App[Any]) -> None:
    """Stop the process until the shell continues it, with the terminal as it was before.

    Raises `UsageError` where no shell could continue it.
    """
    if not _has_shell():
        raise UsageError(_("There is no shell to return to: qchat was not started by one."))
    # Textual's handler of SIGCONT can run after `app.suspend` has ended, and would start a second
    # reader of keys. Ignored, the signal still continues the process.
    handler = signal.signal(signal.SIGCONT, signal.SIG_IGN)
    try:
        with app.batch_update(), app.suspend():
            os.killpg(os.getpgrp(), signal.SIGSTOP)
    except SuspendNotSupported:
        raise UsageError(_("qchat can't be suspended here: it needs a terminal.")) from None
    finally:
        signal.signal(signal.SIGCONT, handler)
        redraw(app)


def redraw(app: App[Any]) -> None:
    """Draw every cell of the screen anew."""
    app.refresh(layout=True)


def _has_shell() -> bool:
    """Whether a process of this session has started this job, and so can continue it.

    An orphaned process group, such as the first process of a terminal, would stay stopped.
    """
    import psutil

    try:
        shell = psutil.Process(os.getpgrp()).ppid()
        return shell > 0 and os.getsid(shell) == os.getsid(0)
    except (psutil.Error, OSError):
        return False
