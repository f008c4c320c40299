"""Batches as tables and text, and their results as files."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import Code, EngineError, Failure, UsageError
from ..files import replacing
from ..i18n import _, plural
from ..sanitize import one_line

if TYPE_CHECKING:
    from ..api.batches import BatchesClient

_PROBLEMS = 5  # of a batch that are shown
_POLL = 1.0  # seconds between two looks at a batch
_LONGEST_PAUSE = 30.0  # seconds between two looks at a server that does not answer
_LONGEST_OUTAGE = 3600.0  # seconds without an answer after which waiting ends
_LOG_INTERVAL = 10.0  # seconds between two lines of progress where there is no terminal
_MOMENTS = {
    "created": _("created"),
    "in_progress": _("in progress"),
    "finalizing": _("finalizing"),
    "completed": _("completed"),
    "failed": _("failed"),
    "expired": _("expired"),
    "cancelled": _("cancelled"),
}


def batch_table(batches: Sequence[dict[str, Any]]) -> str:
    """Return a line for each batch."""
    from ..console import fitted_table

    heading = (
        _("ID"),
        _("STATUS"),
        _("DONE"),
        _("TOTAL"),
        _("FAILED"),
        _("CREATED"),
        _("ENDPOINT"),
    )
    rows = [
        (
            _text(batch.get("id")),
            _text(batch.get("status")),
            f"{_count(batch, 'completed') + _count(batch, 'failed'):,}",
            f"{_count(batch, 'total'):,}",
            f"{_count(batch, 'failed'):,}",
            moment(batch.get("created_at")),
            _text(batch.get("endpoint")),
        )
        for batch in batches
    ]
    # An id may be cut: its beginning names the batch, too.
    return fitted_table([heading, *rows], shrink=0, right=(2, 3, 4), drop=(6,))


def batch_text(batch: dict[str, Any]) -> str:
    """Return what there is to know of a batch, a line each."""
    lines = [f"{_text(batch.get('id'))}  {_text(batch.get('status'))}", f"  {counts_text(batch)}"]
    lines.append("  " + _("Endpoint: {text}").format(text=_text(batch.get("endpoint"))))
    for name, label in _MOMENTS.items():
        when = batch.get(f"{name}_at")
        if when is not None:
            lines.append("  " + _("{event}: {time}").format(event=label, time=moment(when)))
    names = ("input_file_id", "output_file_id", "error_file_id")
    lines += [f"  {name}: {_text(batch[name])}" for name in names if batch.get(name)]
    notes = batch.get("metadata") or {}
    lines += [f"  {_text(name)}: {_text(value)}" for name, value in notes.items()]
    problems = (batch.get("errors") or {}).get("data")
    known = [one for one in problems if isinstance(one, dict)] if isinstance(problems, list) else []
    for problem in known[:_PROBLEMS]:
        at = _("line {n}: ").format(n=_text(problem["line"])) if problem.get("line") else ""
        lines.append(f"  {at}{_text(problem.get('message'))} ({_text(problem.get('code'))})")
    if (rest := len(known) - _PROBLEMS) > 0:
        text = plural(
            "{n} more problem; --json has all.", "{n} more problems; --json has all.", rest
        )
        lines.append("  " + text.format(n=rest))
    return "\n".join(lines)


def counts_text(batch: dict[str, Any]) -> str:
    """Return how far a batch is."""
    done, total = _count(batch, "completed"), _count(batch, "total")
    failed = _count(batch, "failed")
    text = _("{done:,} of {total:,} requests answered").format(done=done, total=total)
    return text + (_(", {n:,} failed").format(n=failed) if failed else "")


def moment(seconds: Any) -> str:
    """Return a time in this machine's time zone."""
    if not isinstance(seconds, int | float) or not 0 <= seconds < 1e11:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


class ProgressLine:
    """How far a batch is, on stderr: a line that changes, or, without a terminal, one now and
    then."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._shown = ""
        self._logged_at = 0.0

    def show(self, batch: dict[str, Any]) -> None:
        """Show the present state."""
        text = f"{_text(batch.get('status'))}: {counts_text(batch)}"
        if self._is_live:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
            self._shown = text
        elif text != self._shown and time.monotonic() - self._logged_at >= _LOG_INTERVAL:
            self._shown, self._logged_at = text, time.monotonic()
            click.echo(text, err=True)

    def say(self, text: str) -> None:
        """Write a sentence beside the line."""
        self.end()
        click.echo(text, err=True)

    def end(self) -> None:
        """Remove the line."""
        if self._is_live and self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)


def wait_for_end(client: "BatchesClient", batch: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of a batch, with its progress on stderr, and return it.

    A server that does not answer for a while, such as one that is started anew, costs a sentence.
    Raises `UsageError`, `ServerError`.
    """
    from ..api.batches import ENDED
    from ..api.client import ServerError

    progress = ProgressLine()
    pause, away_since = _POLL, None
    try:
        while batch.get("status") not in ENDED:
            progress.show(batch)
            time.sleep(pause)
            try:
                batch = client.batch(batch["id"])
            except ServerError as error:
                now = time.monotonic()
                if not _is_passing(error.failure) or now - (away_since or now) > _LONGEST_OUTAGE:
                    raise
                if away_since is None:
                    away_since = now
                    text = _("Still waiting, the batch is not lost: {message}")
                    progress.say(text.format(message=error))
                pause = min(max(2 * pause, error.failure.retry_after or 0.0), _LONGEST_PAUSE)
            else:
                if away_since is not None:
                    progress.say(_("The server answers again."))
                pause, away_since = _POLL, None
    finally:
        progress.end()
    return batch


def _is_passing(failure: Failure) -> bool:
    """Whether the server may answer later. One that answers something else will not."""
    return failure.retryable and failure.code is not Code.BAD_RESPONSE


def fetch_files(
    client: "BatchesClient", batch: dict[str, Any], output: Path | None, *, force: bool
) -> dict[str, Path | None]:
    """Write the files of a batch that has ended, and return their paths. Raises `UsageError` where
    one is there already, `EngineError` where it can't be written, `ServerError`."""
    answers = Path(f"{batch['id']}.jsonl") if output is None else output
    failures = answers.with_name(f"{answers.name.removesuffix('.jsonl')}.errors.jsonl")
    wanted = {"output": (answers, "output_file_id"), "errors": (failures, "error_file_id")}
    for path, name in wanted.values():
        if batch.get(name) and path.exists() and not force:
            text = _("{file} exists already; give another -o, or --force to replace it.")
            raise UsageError(text.format(file=path))
    paths: dict[str, Path | None] = {}
    for kind, (path, name) in wanted.items():
        paths[kind] = None
        if not batch.get(name):
            continue
        try:
            with replacing(path, overwrite=force) as file:
                client.download(batch[name], file)
        except FileExistsError:
            raise UsageError(_("{file} exists already.").format(file=path)) from None
        except OSError as error:
            text = _("Can't write {file}: {reason}.")
            raise EngineError(text.format(file=path, reason=error.strerror)) from error
        paths[kind] = path
        label = _("Answers: {file}") if kind == "output" else _("Failed:  {file}")
        click.echo(label.format(file=path), err=True)
    return paths


def _count(batch: dict[str, Any], name: str) -> int:
    value = (batch.get("request_counts") or {}).get(name)
    return value if isinstance(value, int) else 0


def _text(value: Any) -> str:
    return one_line(str(value)) if value is not None else "-"
