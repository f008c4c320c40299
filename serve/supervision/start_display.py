"""The progress of a start on stderr: a line for each phase, updated in place on a terminal."""

import time
from typing import TextIO

import click

from ...cells import pad, width
from ...i18n import _
from ...sanitize import one_line
from .phases import Phase, Step, downloaded, title

_MB = 1_000_000


class Display:
    """Print the steps of a start; into a pipe, one line for each phase when it begins."""

    def __init__(self, stream: TextIO, model: str) -> None:
        """`model` is the id whose download is shown."""
        self._stream = stream
        self._model = model
        self._is_terminal = stream.isatty()
        self._started = time.monotonic()
        self._phase: Phase | None = None
        self._width = 0

    def __call__(self, step: Step) -> None:
        """Show `step` as the current one."""
        size = downloaded(self._model) if step.phase is Phase.WEIGHTS else None
        if size is not None:
            step = Step(Phase.DOWNLOAD, _("{n:,} MB").format(n=size // _MB))
        is_new = step.phase != self._phase
        self._phase = step.phase
        if not is_new and not self._is_terminal:
            return
        text = f"[{time.monotonic() - self._started:4.0f} s] {title(step.phase)}"
        if step.detail:
            text += _(" ({detail})").format(detail=one_line(step.detail))
        if self._is_terminal and not is_new:
            text = "\r" + pad(text, self._width)
        elif self._is_terminal and self._width:
            text = "\n" + text
        self._width = width(text.strip("\r\n"))
        click.echo(text, file=self._stream, nl=not self._is_terminal)

    def end(self) -> None:
        """End the line that is updated in place."""
        if self._is_terminal and self._width:
            click.echo("", file=self._stream)
        self._width = 0
