"""`qchat logs`: the log of a server that `qchat serve` started."""

import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..i18n import _
from . import name_completion

if TYPE_CHECKING:
    from .supervision.phases import LogTail

_ERROR = re.compile(r"\b(ERROR|CRITICAL|Traceback|\w*Error:|\w*Exception:)")
# Lines that only mention an error: those of a lower level, and vLLM's advice on open files.
_NO_ERROR = re.compile(r"(\(\w+ pid=\d+\) )?(DEBUG|INFO|WARNING|Found ulimit of)\b")
_POLL_INTERVAL = 0.2  # seconds


@click.command(
    help=_("Print a server's log: vLLM's output."),
    epilog=_(
        """\b
Examples:
  qchat logs
  qchat logs -f demo
  qchat logs -n 50
  qchat logs --errors
"""
    ),
)
@click.argument("name", required=False, shell_complete=name_completion.logged)
@click.option("-f", "--follow", is_flag=True, help=_("Keep printing lines as they are added."))
@click.option(
    "-n",
    "--lines",
    "max_lines",
    type=click.IntRange(0),
    metavar="N",
    help=_("Print only the last N lines."),
)
@click.option("--errors", "only_errors", is_flag=True, help=_("Print only lines with an error."))
def logs(name: str | None, follow: bool, max_lines: int | None, only_errors: bool) -> None:
    """Print the log, sanitized for a terminal: it can contain text of users' requests."""
    from ..sanitize import clean
    from .registry.server_choice import only_server, open_registry
    from .supervision.phases import LogTail

    registry = open_registry()
    name = only_server(registry) if name is None else name
    path = registry.log(name)
    if "/" in name or not path.exists():
        raise UsageError(_("There is no log of a server named {name}.").format(name=name))
    tail = LogTail(path)

    def print_lines(lines: Iterable[str]) -> None:
        for line in lines:
            if not only_errors or _is_error(line):
                click.echo(clean(line))

    lines = _existing_lines(tail, to_end=not follow)
    if max_lines is None:
        print_lines(lines)
    else:
        print_lines(deque(filter(_is_error, lines) if only_errors else lines, max_lines))
    if follow:
        print_lines(_new_lines(tail))


def _existing_lines(tail: "LogTail", to_end: bool) -> Iterator[str]:
    """Yield the lines up to now; with `to_end` an unfinished last line, too."""
    while lines := tail.lines():
        yield from lines
    if to_end:
        yield from tail.rest()


def _new_lines(tail: "LogTail") -> Iterator[str]:
    while True:
        yield from tail.lines()
        time.sleep(_POLL_INTERVAL)


def _is_error(line: str) -> bool:
    return _ERROR.search(line) is not None and _NO_ERROR.match(line) is None
