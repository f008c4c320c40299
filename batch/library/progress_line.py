"""The progress of a batch for a person at a terminal or a notebook; nothing goes to stdout."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from ...i18n import _, plural
from ..run_stats import duration
from .results import Progress

Show = Callable[[Progress], None]


@contextlib.contextmanager
def progress_line(wish: bool | Show) -> Iterator[Show]:
    """What to call with the progress: the caller's function, one that shows a line, or nothing."""
    if callable(wish):
        yield wish
    elif not wish:
        yield lambda _progress: None
    elif "ipykernel" in sys.modules:
        yield _notebook_line()
    else:
        with _terminal_line() as show:
            yield show


def line_of(progress: Progress) -> str:
    """One line: rows, rate, failures and the time that is left."""
    text = _("{done:,}/{total:,} rows, {rate:.1f} rows/s")
    line = text.format(done=progress.done, total=progress.total, rate=progress.rows_per_second)
    if progress.failed:
        line += ", " + plural("{n} error", "{n} errors", progress.failed).format(n=progress.failed)
    if progress.eta_seconds is not None and progress.done < progress.total:
        line += ", " + _("ETA {time}").format(time=duration(progress.eta_seconds))
    return line


def _notebook_line() -> Show:
    """A line in the output of the cell, which is replaced in place."""
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)

    def show(progress: Progress) -> None:
        if handle is not None:
            handle.update({"text/plain": line_of(progress)}, raw=True)

    return show


@contextlib.contextmanager
def _terminal_line() -> Iterator[Show]:
    stream = sys.stderr
    is_live = stream.isatty()

    def show(progress: Progress) -> None:
        start, end = ("\r", "\x1b[K") if is_live else ("", "\n")
        stream.write(f"{start}{line_of(progress)}{end}")
        stream.flush()

    try:
        yield show
    finally:
        if is_live:
            stream.write("\r\x1b[K")
            stream.flush()
