"""`qchat demo`: the main job with the bundled model, without a clone or a download."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import Exit, UsageError
from ..i18n import _
from ..signals import handle_signals

_SHOWN = 3  # answers


@click.command(
    help=_(
        """Answer a file of questions with the bundled model, to see how qchat works.

        Makes a folder with two dozen questions and runs `qchat batch` on it, on the real vLLM; no
        GPU and no download are needed. Run it again and it goes on where it was stopped.
        """
    ),
    epilog=_("\b\nExamples:\n  qchat demo\n  qchat demo /tmp/demo\n"),
)
@click.argument("folder", default="qchat-demo", metavar="[FOLDER]")
def demo(folder: str) -> None:
    """Copy the questions, run the batch, show answers. Raises `UsageError`."""
    from ..api.local_servers import QCHAT
    from ..demo import questions_file
    from ..installation import find_spec, install_hint

    if find_spec("vllm") is None:
        text = _(
            "The demo runs on vLLM, which is not installed here. Install it: {command}. With a "
            "server elsewhere, `qchat setup` is the first step instead."
        )
        raise UsageError(text.format(command=install_hint("cpu")))
    place = Path(folder)
    questions = place / "questions.jsonl"
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not questions.exists():
            shutil.copyfile(questions_file(), questions)
    except OSError as error:
        message = _("Can't write {file}: {why}.").format(file=questions, why=error.strerror)
        raise UsageError(message) from error
    click.echo(_("$ qchat batch {file} --model demo").format(file=questions), err=True)
    code = _run([*QCHAT, "batch", str(questions), "--model", "demo"])
    if code not in (Exit.OK, Exit.ROWS_FAILED):
        sys.exit(code)
    _show_answers(place / "questions.results.jsonl")
    click.echo(
        _(
            "\nAll answers: {results}\nNext:\n"
            "  qchat serve demo --detach     # the same model as a server\n"
            "  qchat tui                     # a chat with it\n"
            "  qchat batch --help            # your own files"
        ).format(results=place / "questions.results.jsonl")
    )
    sys.exit(code)


def _run(line: Sequence[str]) -> int:
    """Run a command to its end and return its exit code; a signal to stop is for the command."""
    process: subprocess.Popen[bytes] | None = None
    received = 0

    def forward(signum: int) -> None:
        nonlocal received
        received = signum
        # Ctrl-C reaches the command from the terminal, and a second one would end it at once.
        if process is not None and not (signum == signal.SIGINT and _is_in_foreground()):
            process.send_signal(signum)

    with handle_signals(forward):
        process = subprocess.Popen(line)
        if received:
            process.send_signal(received)
        return process.wait()


def _is_in_foreground() -> bool:
    """Whether the keys of a terminal are for this process and those that it starts."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _show_answers(results: Path) -> None:
    from ..sanitize import clean

    with results.open(encoding="utf-8") as lines:
        for _number, line in zip(range(_SHOWN), lines, strict=False):
            row = json.loads(line)
            click.echo(f"\n> {clean(_question(row))}\n\n{clean(str(row.get('output') or ''))}")


def _question(row: dict[str, object]) -> str:
    if isinstance(row.get("prompt"), str):
        return str(row["prompt"])
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else {}
    return str(last.get("content", "")) if isinstance(last, dict) else ""
