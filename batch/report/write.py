"""Write the report of a run: `--report FILE.html`, at its end or `--of` its results."""

import stat
from pathlib import Path

import click

from ...errors import EngineError, Exit, UsageError
from ...files import replacing
from ...html.file_names import check_report
from ...i18n import _
from ..background import WorkCounter
from ..journal.manifest import load_manifest
from ..journal.output_files import OutputFiles, files_of_run, resolve_link
from .page import page
from .prompts import add_prompts
from .reading import read_run


def write_report(
    path: Path, files: OutputFiles, counter: WorkCounter, encoding: str = "utf-8"
) -> None:
    """Write the page of the run with these files, in one step; it is as private as the results.

    Raises `UsageError` for files that are no results, `OSError`, and `WorkCancelledError` with the
    old page left as it was.
    """
    report = read_run(files.results, files.errors, load_manifest(files.manifest), counter)
    if report.unread and not report.answered and not report.failed:
        text = _("{path} has no line of a run's results: it was not written by qchat batch.")
        raise UsageError(text.format(path=files.results))
    add_prompts(report, files.results.parent, encoding)
    source = files.results if files.results.exists() else files.errors
    mode = stat.S_IMODE(source.stat().st_mode) if source.exists() else 0o600
    with replacing(path, mode & 0o666) as file:
        file.write(page(report))


def report_of(name: str, output: str, encoding: str = "utf-8") -> Exit:
    """Write the page of the run with the results `name`, and say so.

    Raises `UsageError`, and `EngineError` where the files can't be read or written.
    """
    path = check_report(output)
    files = files_of_run(Path(name))
    if not files.results.exists() and resolve_link(Path(name)).is_file():
        files = OutputFiles.named(resolve_link(Path(name)))  # results that came here alone
    if not files.results.exists() and not files.errors.exists():
        text = _("--of {name}: there are no results of a run.")
        raise UsageError(text.format(name=name))
    try:
        write_report(path, files, WorkCounter(), encoding)
    except OSError as error:
        text = _("{path} can't be written: {reason}.")
        name = str(error.filename or path)
        raise EngineError(text.format(path=name, reason=error.strerror)) from None
    click.echo(_("Report: {path}").format(path=path), err=True)
    return Exit.OK
