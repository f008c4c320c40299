"""The run and its files: what is asked again, where results go, when it ends."""

from dataclasses import dataclass

import click

from ...cli_options import time_span
from ...i18n import _
from .collecting import collected


def _qualities(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[str]:
    from ..quality import COUNTED

    names = frozenset(name.strip() for name in (value or "").split(",") if name.strip())
    for name in sorted(names - set(COUNTED)):
        text = _("'{name}' is none of {names}.")
        raise click.BadParameter(text.format(name=name, names=", ".join(COUNTED)))
    if value is not None and not names:
        text = _("it names no quality; give one or several of {names}.")
        raise click.BadParameter(text.format(names=", ".join(COUNTED)))
    return names


def _time_limit(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    seconds = time_span(ctx, param, value)
    if seconds == 0:
        raise click.BadParameter(_("it leaves no time to ask a row; give more, such as 10m."))
    return seconds


_OPTIONS = (
    click.option(
        "-o",
        "--output",
        metavar="NAME.jsonl",
        help=_(
            "Results file; - for standard output, without resume. NAME.csv, NAME.tsv and "
            "NAME.parquet are written at the end from NAME.jsonl, in input order.  "
            "[default: INPUT.results.jsonl]"
        ),
    ),
    click.option(
        "--restart", is_flag=True, help=_("Process all rows again; earlier results are renamed.")
    ),
    click.option(
        "--retry-failed",
        is_flag=True,
        help=_("Retry rows that failed with an error that is not retried automatically."),
    ),
    click.option(
        "--retry-where",
        metavar="QUALITY",
        callback=_qualities,
        help=_(
            "Ask rows again whose answers are cut, empty, looped or invalid (several: cut,empty). "
            "Cut ones are continued where the engine can, or get a larger budget."
        ),
    ),
    click.option(
        "--accept-changes",
        is_flag=True,
        help=_("Ask answered rows again whose parameters have changed; the old answers are kept."),
    ),
    click.option(
        "--ordered", is_flag=True, help=_("Sort the results into input order at the end.")
    ),
    click.option(
        "--dedup",
        is_flag=True,
        help=_("Send equal rows only once if sampling is deterministic (temperature 0 or a seed)."),
    ),
    click.option(
        "--adopt",
        metavar="OLD.jsonl",
        help=_("Take over the answers that another run's results have to the same requests."),
    ),
    click.option(
        "--time-limit",
        metavar="TIME",
        callback=_time_limit,
        help=_("Stop after this time as with SIGTERM, e.g. 3h50m; for job schedulers."),
    ),
    click.option(
        "--prefix",
        default="",
        metavar="TEXT",
        help=_("Prefix for the names of the answer's columns."),
    ),
    click.option(
        "--csv-safe",
        is_flag=True,
        help=_("In CSV, put ' before cells that a spreadsheet would run as a formula."),
    ),
    click.option(
        "--wait",
        default="10m",
        metavar="TIME",
        show_default=True,
        callback=time_span,
        help=_("How long to wait for a server that does not respond, e.g. 90s, 10m or 2h."),
    ),
    click.option("--rows-fail-alone", is_flag=True, hidden=True),  # for the Batch API
    click.option(
        "--detach",
        is_flag=True,
        help=_("Run in the background; the terminal can be closed."),
    ),
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of the group "Run". `wait` and `time_limit` are in seconds. With
    `rows_fail_alone` rows that are refused, or are no requests, never are the run's fault, however
    many."""

    output: str | None
    ordered: bool
    prefix: str
    csv_safe: bool
    restart: bool
    retry_failed: bool
    retry_where: frozenset[str]
    accept_changes: bool
    adopt: str | None
    dedup: bool
    wait: float
    time_limit: float | None
    rows_fail_alone: bool
    detach: bool


run_options = collected("run_options", RunOptions, _OPTIONS)
