"""What a person sees of a start: a line a phase, and on a terminal one that lives."""

import time
from typing import TextIO

import click

from ..i18n import _
from ..sanitize import one_line
from .phases import Phase, Step, downloaded, title

_MB = 1_000_000


class Display:
    """Steps of a start as lines. Not a terminal: one line for each phase, when it begins."""

    def __init__(self, stream: TextIO, model: str) -> None:
        """`model` is what may be downloaded."""
        self._stream = stream
        self._model = model
        self._live = stream.isatty()
        self._began = time.monotonic()
        self._phase: Phase | None = None
        self._shown = 0

    def __call__(self, step: Step) -> None:
        """The start stands at `step` now."""
        bytes_ = downloaded(self._model) if step.phase is Phase.WEIGHTS else None
        if bytes_ is not None:
            step = Step(Phase.DOWNLOAD, _("{n:,} MB").format(n=bytes_ // _MB))
        new = step.phase != self._phase
        self._phase = step.phase
        if not new and not self._live:
            return
        text = f"[{time.monotonic() - self._began:4.0f} s] {title(step.phase)}"
        if step.detail:
            text += f" ({one_line(step.detail)})"
        if self._live and not new:
            text = "\r" + text.ljust(self._shown)
        elif self._live and self._shown:
            text = "\n" + text
        self._shown = len(text.strip("\r\n"))
        click.echo(text, file=self._stream, nl=not self._live)

    def end(self) -> None:
        """Leave the live line."""
        if self._live and self._shown:
            click.echo("", file=self._stream)
        self._shown = 0
