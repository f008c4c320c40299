"""The output of a benchmark: files, standard output and the report."""

import dataclasses
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ... import __version__
from ...errors import Exit, UsageError
from ...html.file_names import check_report
from ...i18n import _
from . import compare, plot, report
from .guidellm_format import to_guidellm_json
from .options import OutputFiles
from .run import BenchJob, BenchResult
from .vllm_format import to_vllm_json


def check_files(files: OutputFiles, dataset: Path | None) -> None:
    """Check that all files can be written and differ, before minutes are spent on the measurement.

    Raises `UsageError`.
    """
    options = {
        "--dataset": None if dataset is None else str(dataset),
        "--json": files.json,
        "--csv": files.csv,
        "--plot": None if files.plot is None else str(files.plot),
        "--report": None if files.page is None else str(files.page),
    }
    by_path: dict[str, str] = {}
    for option, file in options.items():
        if file is None:
            continue
        is_stdout = file == "-" and option != "--dataset"
        path = file if is_stdout else str(Path(file).resolve())
        if path in by_path:
            text = _("{one} and {other} name the same file, {file}.")
            raise UsageError(text.format(one=by_path[path], other=option, file=file))
        by_path[path] = option
        if not is_stdout and option != "--dataset":
            _check_file(Path(file))
    if files.plot is not None:
        plot.check_path(files.plot)
    if files.page is not None:
        check_report(str(files.page))


def _check_file(file: Path) -> None:
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(_("There is no folder {folder}.").format(folder=folder))
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise UsageError(_("{file} can't be written.").format(file=file))


def write_results(files: OutputFiles, job: BenchJob, result: BenchResult) -> None:
    """Write the files first, since a reader of standard output may close it early; then the report.

    Raises `UsageError` for the first file that can't be written, after all the others.
    """
    phases = result.phases
    if not phases:
        return
    formats = {"qchat": report.to_json, "vllm": to_vllm_json, "guidellm": to_guidellm_json}
    to_json = formats[files.json_format]
    metadata = _metadata(job, result)
    texts = [
        (files.json, to_json(metadata, phases)),
        (files.csv, report.to_csv(phases)),
    ]
    failed: list[tuple[str, OSError]] = []
    for file, text in texts:
        if file not in (None, "-"):
            try:
                Path(file).write_text(text, encoding="utf-8")
            except OSError as e:
                failed.append((file, e))
    if files.plot is not None:
        try:
            plot.draw(files.plot, f"{result.model}  {job.endpoint.base_url}", phases)
        except OSError as e:
            failed.append((str(files.plot), e))
    if files.page is not None:
        from .page import page

        try:
            files.page.write_bytes(page(metadata, phases))
        except OSError as e:
            failed.append((str(files.page), e))
    to_stdout = [text for file, text in texts if file == "-"]
    click.echo(report.format_report(phases, result.search), err=bool(to_stdout))
    for text in to_stdout:
        click.echo(text, nl=False)
    if failed:
        file, error = failed[0]
        text = _("Can't write {file}: {why}.").format(file=file, why=_(error.strerror))
        raise UsageError(text) from error


def _metadata(job: BenchJob, result: BenchResult) -> dict[str, Any]:
    """What was measured and how, for the JSON file."""
    load = job.load_settings
    return {
        "qchat_bench": compare.FORMAT,
        "qchat": __version__,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "server": job.endpoint.base_url,
        "client_machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "notes": result.notes,
        **({} if result.search is None else {"search": result.search}),
        "complete": not result.server_lost
        and result.exit_code not in (Exit.INTERRUPTED, Exit.TERMINATED),
        "settings": {
            "model": result.model,
            "endpoint": job.path,
            **job.plan.to_json(),
            "output_len": job.output_len,
            "sampling": dataclasses.asdict(job.sampling),
            "duration": load.duration if load.max_requests is None else None,
            "requests": load.max_requests,
            "warm_up": load.warm_up,
            "seed": load.seed,
        },
    }
