"""A look at a run from outside: `qchat batch --status OUT`."""

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
from .journal.manifest import load_manifest, manifest_of
from .journal.output_files import OutputFiles
from .run_stats import duration


@dataclass(frozen=True, slots=True)
class RunStatus:
    """`state` is ``starting``, ``running``, ``finished``, ``interrupted``, ``lost`` (the engine or
    the server was) or ``killed`` (the run is gone without having said so).

    `holder` says who runs it (`host`, `pid`, `start` in seconds since 1970); `progress` is what
    `Tally.as_json` told last, if it ever did; `rows`, `answered` and `failed` are those of the
    manifest, brought up to date by the progress.
    """

    results: str
    state: str
    rows: int = 0
    answered: int = 0
    failed: int = 0
    holder: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)


def status(name: str) -> RunStatus:
    """The state of the run that writes `name`, or answers the input `name`. Raises `UsageError`."""
    files = _files(Path(name))
    held = is_held(files.lock)
    manifest = load_manifest(files.manifest)
    if held and not is_held(files.lock):  # it ended meanwhile, and said so before it let go
        held, manifest = False, load_manifest(files.manifest)
    if manifest is None and not held:
        text = _("No run of qchat has written {name}.")
        raise UsageError(text.format(name=files.results))
    holder = holder_of(files.lock)
    progress = holder.pop("progress", None)
    progress = progress if isinstance(progress, dict) else {}
    if manifest is None or (held and not progress):
        state = "starting"
    elif held:
        state = "running"
    else:
        state = "killed" if manifest.state == "running" else manifest.state
    rows, answered, failed = (
        (0, 0, 0) if manifest is None else (manifest.rows, manifest.answered, manifest.failed)
    )
    if state in ("running", "killed") and progress:
        rows, answered, failed = (int(progress[key]) for key in ("total", "answered", "failed"))
    if state not in ("running", "killed"):
        progress = {}
    return RunStatus(str(files.results), state, rows, answered, failed, holder, progress)


def _files(path: Path) -> OutputFiles:
    """Of a results file, or of an input that has one of the usual name."""
    if manifest_of(path) is None and not path.with_suffix(".lock").exists():
        path = path.with_name(f"{path.stem}.results.jsonl")
    return OutputFiles.named(path)


def show_status(name: str, *, as_json: bool) -> None:
    """Print the state to standard output. Raises `UsageError`."""
    found = status(name)
    if as_json:
        click.echo(orjson.dumps({"event": "status", **asdict(found)}).decode())
        return
    for line in lines(found):
        click.echo(clean(line))


def lines(found: RunStatus) -> list[str]:
    """The state for a person."""
    done = found.answered + found.failed
    counts = _("{done} of {rows} rows are done, {failed} of them failed.").format(
        done=done, rows=found.rows, failed=found.failed
    )
    if found.state in ("starting", "running"):
        who = _("PID {pid} on {host}").format(
            pid=found.holder.get("pid", "?"), host=found.holder.get("host", "?")
        )
        if found.state == "starting":
            return [_("{name}: starting ({who}).").format(name=found.results, who=who)]
        shown = [_("{name}: running ({who}). {counts}")]
        shown[0] = shown[0].format(name=found.results, who=who, counts=counts)
        if found.progress:
            shown.append(_pace(found.progress))
        return shown
    words = {
        "finished": _("{name}: finished. {counts}"),
        "interrupted": _("{name}: interrupted. {counts} The same command goes on."),
        "lost": _(
            "{name}: stopped, as the engine or server was lost. {counts} The same command goes on."
        ),
        "killed": _(
            "{name}: gone; it was killed, or the machine went down. At least {counts} "
            "The same command goes on."
        ),
    }
    return [words[found.state].format(name=found.results, counts=counts)]


def _pace(progress: Mapping[str, Any]) -> str:
    text = _("{rate:.1f} rows/s, {tokens:.0f} tokens/s, {n} in flight")
    shown = text.format(
        rate=progress["rows_per_second"],
        tokens=progress["completion_tokens_per_second"],
        n=progress["in_flight"],
    )
    if progress.get("eta_seconds") is not None:
        shown += ", " + _("ETA {time}").format(time=duration(progress["eta_seconds"]))
    return shown
