"""What a person sees while a run goes on: a live line on a terminal, log lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import orjson
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..sanitize import clean
from .run_stats import RunStats, details, duration, state_line, summary

BAR = 24
"""Columns of the bar; left out where a terminal has no room for it."""

SERVERS = 8
"""Servers that the live view shows, a line each."""

LOG_EVERY = 10.0
"""Seconds between two log lines when stderr is no terminal."""


class ProgressDisplay:
    """Writes to stderr, or to nothing with `quiet` (errors and warnings aside)."""

    def __init__(self, stream: TextIO, *, quiet: bool) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._live = self._console.is_terminal and not quiet
        self._logged = 0.0

    def say(self, text: str) -> None:
        """One line of information."""
        if not self._quiet:
            self._console.print(Text(clean(text)))

    def warn(self, text: str) -> None:
        """One line that a person must see, `quiet` or not."""
        self._console.print(Text(clean(text), style="yellow"))

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """Show that something long goes on, with the seconds it takes."""
        began = time.monotonic()
        if not self._live:
            self.say(text)
            yield
            return

        def draw() -> Text:
            return Text(f"{text} {duration(time.monotonic() - began)}", style="dim")

        with self._shown(draw):
            yield

    @contextmanager
    def counting(self, tally: RunStats) -> Iterator[None]:
        """Show the progress of a run."""
        self._logged = time.monotonic()
        if not self._live:
            yield
            return

        def draw() -> RenderableType:
            room = self._console.width - 1
            line: Text | Table = Text(tally.line(room), no_wrap=True, overflow="ellipsis")
            if cell_len(tally.line(room)) + BAR + 1 <= room:
                grid = Table.grid(padding=(0, 1))
                bar = ProgressBar(total=max(tally.total, 1), completed=tally.done, width=BAR)
                grid.add_row(bar, line)
                line = grid
            servers = [
                Text(clean(state_line(state)), style="dim", no_wrap=True, overflow="ellipsis")
                for state in tally.states[:SERVERS]
            ]
            return Group(line, *servers)

        with self._shown(draw):
            yield

    @contextmanager
    def _shown(self, draw: Callable[[], RenderableType]) -> Iterator[None]:
        # Rich redraws from a thread of its own, so the line moves while vLLM holds this one.
        with Live(
            get_renderable=draw,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    def finish(self, tally: RunStats) -> None:
        """The end of a run."""
        self.say(summary(tally))
        if self._quiet:
            return
        table = Table.grid(padding=(0, 2))
        for label, value in details(tally):
            table.add_row(Text(clean(f"  {label}"), style="dim"), Text(clean(value)))
        if table.row_count:
            self._console.print(table)

    def tick(self, tally: RunStats) -> None:
        """Called now and then while a run goes on: a log line when it is time for one."""
        now = time.monotonic()
        if not self._live and now - self._logged >= LOG_EVERY:
            self._logged = now
            self.say(tally.line())


class JsonProgress(ProgressDisplay):
    """The same for another program: an object a line, its `event` one of ``message``,
    ``warning``, ``progress`` (one a second while rows are asked) and ``summary``."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, quiet=True)
        self._stream = stream

    def say(self, text: str) -> None:
        """One line of information."""
        self._event("message", {"text": clean(text)})

    def warn(self, text: str) -> None:
        """One line that a person must see."""
        self._event("warning", {"text": clean(text)})

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """Say that something long goes on."""
        self.say(text)
        yield

    def tick(self, tally: RunStats) -> None:
        """The progress, called once a second."""
        self._event("progress", tally.as_json())

    def finish(self, tally: RunStats) -> None:
        """The end of a run."""
        self._event("summary", tally.as_json())

    def _event(self, name: str, values: dict[str, Any]) -> None:
        self._stream.write(orjson.dumps({"event": name, **values}).decode() + "\n")
        self._stream.flush()
