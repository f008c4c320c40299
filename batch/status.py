"""The state of a run, read from its files: `qchat batch --status OUT`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import orjson

from ..errors import UsageError
from ..i18n import _
from ..sanitize import clean
from .journal.lock import holder_of, is_held
from .journal.manifest import load_manifest
from .journal.output_files import files_of_run
from .quality import COUNTED
from .run_stats import duration, quality_counts


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The state of a run.

    `state` is ``starting``, ``running``, ``finished``, ``interrupted``, ``lost`` (the engine or
    server was) or ``killed`` (the run ended without recording its state). `holder` is the process
    that runs it (`host`, `pid`, `start` in seconds since 1970); `progress` is the last
    `RunStats.as_json` that it wrote, if any; `rows`, `answered`, `failed` and the counts by
    quality come from the manifest, or from the progress where that is newer. `questions` is how
    good the answers of a finished run are.
    """

    results: str
    state: str
    rows: int = 0
    answered: int = 0
    failed: int = 0
    cut: int = 0
    empty: int = 0
    looped: int = 0
    invalid: int = 0
    holder: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    questions: Mapping[str, Any] = field(default_factory=dict)


def status(name: str) -> RunStatus:
    """Return the state of the run with the results or input `name`. Raises `UsageError`."""
    files = files_of_run(Path(name))
    is_locked = is_held(files.lock)
    manifest = load_manifest(files.manifest)
    if is_locked and not is_held(files.lock):  # it has ended, and saved the manifest before
        is_locked, manifest = False, load_manifest(files.manifest)
    if manifest is None and not is_locked:
        text = _("No run of qchat has written {name}.")
        if files.results != Path(name):  # the name was taken for that of an input
            text = _("No run of qchat has written {name}, nor {results} from it.")
        raise UsageError(text.format(name=name, results=files.results))
    holder = holder_of(files.lock)
    progress = holder.pop("progress", None)
    holder = {key: holder[key] for key in ("host", "pid", "start") if key in holder}
    progress = progress if isinstance(progress, dict) else {}
    if manifest is None or (is_locked and not progress):
        state = "starting"
    elif is_locked:
        state = "running"
    else:
        state = "killed" if manifest.state == "running" else manifest.state
    rows, answered, failed = (
        (0, 0, 0) if manifest is None else (manifest.rows, manifest.answered, manifest.failed)
    )
    qualities: Mapping[str, int] = {} if manifest is None else manifest.qualities
    if state in ("running", "killed") and progress:
        qualities = progress
        rows, answered, failed = (int(progress[key]) for key in ("total", "answered", "failed"))
    if state not in ("running", "killed"):
        progress = {}
    return RunStatus(
        str(files.results),
        state,
        rows,
        answered,
        failed,
        **{name: int(qualities.get(name, 0)) for name in COUNTED},
        holder=holder,
        progress=progress,
        questions={} if manifest is None else manifest.questions,
    )


def show_status(name: str, *, as_json: bool) -> None:
    """Print the state to standard output. Raises `UsageError`."""
    run = status(name)
    if as_json:
        click.echo(orjson.dumps({"event": "status", **asdict(run)}).decode())
        return
    for line in status_lines(run):
        click.echo(clean(line))


def status_lines(run: RunStatus) -> list[str]:
    """Return the state as lines of text."""
    done = run.answered + run.failed
    counts = _("{done} of {rows} rows are done, {failed} of them failed.").format(
        done=done, rows=run.rows, failed=run.failed
    )
    if marks := quality_counts(asdict(run)):
        text = _("{counts} Of the answers, {marks}.")
        counts = text.format(counts=counts, marks=marks)
    process = _("PID {pid} on {host}").format(
        pid=run.holder.get("pid", "?"), host=run.holder.get("host", "?")
    )
    texts = {
        "starting": _("{name}: starting ({process})."),
        "running": _("{name}: running ({process}). {counts}"),
        "finished": _("{name}: finished. {counts}"),
        "interrupted": _("{name}: interrupted. {counts} Run the same command again to resume."),
        "lost": _(
            "{name}: stopped because the engine or server failed. {counts} "
            "Run the same command again to resume."
        ),
        "killed": _(
            "{name}: killed, or the machine went down. At least {counts} "
            "Run the same command again to resume."
        ),
    }
    lines = [texts[run.state].format(name=run.results, counts=counts, process=process)]
    if run.state == "running" and run.progress:
        lines.append(_rates(run.progress))
    return [*lines, *(line for line in map(_measures, run.questions.items()) if line)]


def _measures(item: tuple[str, Mapping[str, Any]]) -> str:
    """Return how good the answers to a question are; '' where they were not compared."""
    name, values = item
    if values.get("accuracy") is None:
        return ""
    text = _("{name}: accuracy {accuracy:.3f} ({n} rows)")
    return text.format(name=name, accuracy=values["accuracy"], n=values["rows"])


def _rates(progress: Mapping[str, Any]) -> str:
    text = _("{rate:.1f} rows/s, {tokens:.0f} tokens/s, {n} in flight")
    line = text.format(
        rate=progress["rows_per_second"],
        tokens=progress["completion_tokens_per_second"],
        n=progress["in_flight"],
    )
    if any((state.get("yielding") or {}).get("is_live") for state in progress.get("servers", ())):
        line += ", " + _("yielding to live requests")
    if progress.get("eta_seconds") is not None:
        line += ", " + _("ETA {time}").format(time=duration(progress["eta_seconds"]))
    return line
