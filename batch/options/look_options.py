"""What is shown, of this run or of another."""

from dataclasses import dataclass

import click

from ...i18n import _
from .collecting import collected

_OPTIONS = (
    click.option(
        "--progress",
        type=click.Choice(("auto", "json")),
        default="auto",
        help=_(
            "json: JSON objects on stderr, one per line, every second during the run; "
            "auto: a live line on a terminal, otherwise log lines.  [default: auto]"
        ),
    ),
    click.option(
        "--status",
        metavar="OUT.jsonl",
        help=_("Show the state and progress of a run and exit; with --progress json as JSON."),
    ),
    click.option(
        "--pause",
        metavar="OUT.jsonl",
        help=_(
            "Ask a running batch to stop, as with SIGTERM, wait for its rows in flight, and exit; "
            "its own command resumes it."
        ),
    ),
    click.option(
        "--check",
        is_flag=True,
        help=_(
            "Validate the inputs and exit: kinds of rows, tokens, duplicates, the first requests; "
            "no model is loaded, no server is asked."
        ),
    ),
    click.option(
        "--probe",
        type=click.IntRange(min=1),
        metavar="N",
        help=_(
            "With --check: ask N of the rows for real, for an estimate of the time; their answers "
            "are not kept. A few hundred fill the engine; fewer estimate too long a time."
        ),
    ),
    click.option(
        "--report",
        metavar="FILE.html",
        help=_(
            "Write a page at the end: throughput, times and lengths, qualities, errors by cause, "
            "probabilities, slowest rows, a sample of answers. It needs no network."
        ),
    ),
    click.option(
        "--of",
        metavar="OUT.jsonl",
        help=_("With --report: make the page of a finished (or running) run's results, and exit."),
    ),
    click.option("-q", "--quiet", is_flag=True, help=_("Show only warnings and errors.")),
)


@dataclass(frozen=True, slots=True)
class LookOptions:
    """The options of the group "Look", with `--check` and `--pause`."""

    progress: str
    status: str | None
    pause: str | None
    check: bool
    probe: int | None
    report: str | None
    of: str | None
    quiet: bool


look_options = collected("look", LookOptions, _OPTIONS)
