"""The progress of a run: a live line on a terminal, log lines elsewhere, JSON for programs."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

import orjson
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..i18n import _
from ..sanitize import clean
from .background import WorkCounter
from .run_stats import RunStats, details, duration, merge_by_node, state_line, summary

BAR_WIDTH = 24
"""Columns of the bar; omitted where the terminal is too narrow for it."""

MAX_SERVERS = 8
"""Servers in the live view, a line each."""

LOG_SECONDS = 10.0
"""Seconds between two log lines when stderr is not a terminal."""


class ProgressDisplay:
    """Writes to stderr; with `quiet`, warnings and errors only."""

    def __init__(self, stream: TextIO, *, quiet: bool) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._quiet = quiet
        # FORCE_COLOR makes no terminal of a file: a line that is redrawn would fill a log.
        self._is_live = stream.isatty() and self._console.is_terminal and not quiet
        self._logged_at = 0.0

    def say(self, text: str) -> None:
        """Write one line of information."""
        if not self._quiet:
            self._console.print(Text(clean(text)))

    def warn(self, text: str) -> None:
        """Write one line that is shown even with `quiet`."""
        self._console.print(Text(clean(text), style="yellow"))

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """Show that something long is going on, and the seconds since it began."""
        if not self._is_live:
            self.say(text)
            yield
            return
        start = time.monotonic()

        def draw() -> Text:
            return Text(f"{text} {duration(time.monotonic() - start)}", style="dim")

        with self._live(draw):
            yield

    @contextmanager
    def working(self, label: str, counter: WorkCounter) -> Iterator[Callable[[], None]]:
        """Show how far a thread is, from the first call of the returned function on.

        Call it once a second.
        """
        with ExitStack() as stack:
            started = False

            def tick() -> None:
                nonlocal started
                if not self._is_live:
                    self._tick_working(work_line(label, counter), first=not started)
                elif not started:
                    stack.enter_context(
                        self._live(lambda: Text(clean(work_line(label, counter)), style="dim"))
                    )
                started = True

            yield tick

    def _tick_working(self, line: str, *, first: bool) -> None:
        now = time.monotonic()
        if first or now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            self.say(line)

    @contextmanager
    def counting(self, stats: RunStats) -> Iterator[None]:
        """Show the progress while rows are asked."""
        self._logged_at = time.monotonic()
        if not self._is_live:
            yield
            return

        def draw() -> RenderableType:
            columns = self._console.width - 1
            line: Text | Table = Text(stats.line(columns), no_wrap=True, overflow="ellipsis")
            if cell_len(stats.line(columns)) + BAR_WIDTH + 1 <= columns:
                grid = Table.grid(padding=(0, 1))
                bar = ProgressBar(total=max(stats.total, 1), completed=stats.done, width=BAR_WIDTH)
                grid.add_row(bar, line)
                line = grid
            states = list(stats.states)
            if len(states) > MAX_SERVERS and states[0].node is not None:
                states = merge_by_node(states)
            servers = [
                Text(clean(state_line(state)), style="dim", no_wrap=True, overflow="ellipsis")
                for state in states[:MAX_SERVERS]
            ]
            answers = [
                Text(clean(text), style="dim", no_wrap=True, overflow="ellipsis")
                for text in (stats.answers_line(),)
                if text
            ]
            return Group(line, *answers, *servers)

        with self._live(draw):
            yield

    @contextmanager
    def _live(self, draw: Callable[[], RenderableType]) -> Iterator[None]:
        # Rich redraws from a thread of its own, so the line moves while vLLM blocks this one.
        with Live(
            get_renderable=draw,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    def finish(self, stats: RunStats) -> None:
        """Show the summary of a finished run."""
        self.say(summary(stats))
        if self._quiet:
            return
        table = Table.grid(padding=(0, 2))
        for label, value in details(stats):
            table.add_row(Text(clean(f"  {label}"), style="dim"), Text(clean(value)))
        if table.row_count:
            self._console.print(table)

    def tick(self, stats: RunStats) -> None:
        """Write a log line when the last one is old enough; call it once a second."""
        now = time.monotonic()
        if not self._is_live and now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            self.say(stats.line())


class JsonProgress(ProgressDisplay):
    """Writes JSON for other programs, an object a line.

    Its `event` is ``message``, ``warning``, ``progress`` (once a second while rows are asked) or
    ``summary``.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, quiet=True)
        self._stream = stream

    def say(self, text: str) -> None:
        """Write a ``message``."""
        self.write_event("message", {"text": clean(text)})

    def warn(self, text: str) -> None:
        """Write a ``warning``."""
        self.write_event("warning", {"text": clean(text)})

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """Write a ``message`` that something long is going on."""
        self.say(text)
        yield

    def _tick_working(self, line: str, *, first: bool) -> None:
        self.say(line)

    def tick(self, stats: RunStats) -> None:
        """Write a ``progress`` event; call it once a second."""
        self.write_event("progress", stats.as_json())

    def finish(self, stats: RunStats) -> None:
        """Write the ``summary``."""
        self.write_event("summary", stats.as_json())

    def write_event(self, name: str, values: dict[str, Any]) -> None:
        """Write one object."""
        self._stream.write(orjson.dumps({"event": name, **values}).decode() + "\n")
        self._stream.flush()


def work_line(label: str, counter: WorkCounter) -> str:
    """Return how far a thread is: ``Reading in.jsonl: 400,000 rows (67%)``."""
    if not counter.rows:
        return f"{label} ..."
    text = _("{label}: {rows:,} rows ({share:.0%})")
    return text.format(label=label, rows=counter.rows, share=counter.share)
