"""Where the figures of a bench go: the files, standard output, and what a person reads."""

import dataclasses
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ... import __version__
from ...errors import Exit, UsageError
from ...i18n import _
from . import compare as bench_compare
from . import plot as bench_plot
from . import report as bench_report
from .run import BenchJob, Result

_OUTPUTS = ("json_file", "csv_file", "plot")


def check(said: Mapping[str, Any]) -> None:
    """That all of it can be written, before minutes are spent measuring. Raises `UsageError`.

    `said` is the command line; no file of it may stand for two things.
    """
    places: dict[str, str] = {}
    for name in ("dataset", *_OUTPUTS):
        if said[name] is None:
            continue
        file, is_input = str(said[name]), name == "dataset"
        place = file if file == "-" and not is_input else str(Path(file).resolve())
        option = f"--{name.removesuffix('_file')}"
        if place in places:
            text = _("{one} and {other} name the same file, {file}.")
            raise UsageError(text.format(one=places[place], other=option, file=file))
        places[place] = option
        if not is_input and file != "-":
            _check_file(Path(file))
    if said["plot"] is not None:
        bench_plot.check(said["plot"])


def _check_file(file: Path) -> None:
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(_("There is no folder {folder}.").format(folder=folder))
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise UsageError(_("{file} can't be written.").format(file=file))


def write(said: Mapping[str, Any], job: BenchJob, result: Result) -> None:
    """The files first, for whoever reads the rest may leave early; then the report.

    Raises `UsageError` for the first file that can't be written, after all the others.
    """
    phases = result.phases
    if not phases:
        return
    texts = [
        (said["json_file"], bench_report.to_json(_head(said, job, result), phases)),
        (said["csv_file"], bench_report.to_csv(phases)),
    ]
    failed = []
    for file, text in texts:
        if file not in (None, "-"):
            try:
                Path(file).write_text(text, encoding="utf-8")
            except OSError as e:
                failed.append((file, e))
    if said["plot"] is not None:
        try:
            bench_plot.draw(said["plot"], f"{result.model}  {job.endpoint.base_url}", phases)
        except OSError as e:
            failed.append((said["plot"], e))
    to_stdout = [text for file, text in texts if file == "-"]
    click.echo(bench_report.text(phases), err=bool(to_stdout))
    for text in to_stdout:
        click.echo(text, nl=False)
    if failed:
        file, error = failed[0]
        text = _("Can't write {file}: {why}.").format(file=file, why=error.strerror)
        raise UsageError(text) from error


def _head(said: Mapping[str, Any], job: BenchJob, result: Result) -> dict[str, Any]:
    """What was measured and how, for the JSON file."""
    return {
        "qchat_bench": bench_compare.FORMAT,
        "qchat": __version__,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "server": job.endpoint.base_url,
        "client_machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "notes": result.notes,
        "complete": not result.lost and result.ended not in (Exit.INTERRUPTED, Exit.TERMINATED),
        "settings": {
            "model": result.model,
            "endpoint": job.path,
            "dataset": None if said["dataset"] is None else str(said["dataset"]),
            "input_len": None if job.rows else job.input_len,
            "output_len": job.output_len,
            "sampling": dataclasses.asdict(job.sampling),
            "duration": job.terms.duration if job.terms.requests is None else None,
            "requests": job.terms.requests,
            "warm_up": job.terms.warm_up,
            "seed": job.terms.seed,
        },
    }
