"""What a person sees while a run goes on: a live line on a terminal, log lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..i18n import _, plural
from ..sanitize import clean
from .request import Outcome

LOG_EVERY = 10.0
"""Seconds between two log lines when stderr is no terminal."""


@dataclass(slots=True)
class Tally:
    """Counts of a run; `done` includes rows that an earlier run had answered."""

    total: int
    answered_before: int = 0
    failed_before: int = 0
    answered: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    began: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """The first row is about to be asked."""
        self.began = time.monotonic()

    @property
    def done(self) -> int:
        """Rows that came to an end."""
        return self.answered_before + self.failed_before + self.answered + self.failed

    @property
    def all_failed(self) -> int:
        """Rows that stand in the errors file."""
        return self.failed_before + self.failed

    @property
    def seconds(self) -> float:
        """Since the first row was asked."""
        return max(time.monotonic() - self.began, 1e-9)

    @property
    def rows_per_second(self) -> float:
        """Of this run."""
        return (self.answered + self.failed) / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens, of this run."""
        return self.completion_tokens / self.seconds

    def add(self, outcome: Outcome) -> None:
        """Count one row that came to an end."""
        if outcome.answered:
            self.answered += 1
            self.prompt_tokens += outcome.usage.prompt_tokens
            self.completion_tokens += outcome.usage.completion_tokens
        else:
            self.failed += 1

    def eta(self) -> float | None:
        """Seconds to go at the rate so far; None before there is one."""
        ended = self.answered + self.failed
        return (self.total - self.done) / self.rows_per_second if ended else None

    def line(self) -> str:
        """The state in one line."""
        parts = [
            _("{done}/{total} rows").format(done=self.done, total=self.total),
            _("{rate:.1f} rows/s").format(rate=self.rows_per_second),
            _("{rate:.0f} tokens/s").format(rate=self.tokens_per_second),
        ]
        eta = self.eta()
        if eta is not None and self.done < self.total:
            parts.append(_("ETA {time}").format(time=duration(eta)))
        if self.all_failed:
            n = self.all_failed
            parts.append(plural("{n} error", "{n} errors", n).format(n=n))
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """``0.8 s``, ``12 s``, ``3:07``, ``2:03:07``."""
    if seconds < 10:
        return _("{n:.1f} s").format(n=seconds)
    if seconds < 60:
        return _("{n:.0f} s").format(n=seconds)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Screen:
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
    def counting(self, tally: Tally) -> Iterator[None]:
        """Show the progress of a run."""
        self._logged = time.monotonic()
        if not self._live:
            yield
            return

        def draw() -> Table:
            grid = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=max(tally.total, 1), completed=tally.done, width=24)
            grid.add_row(bar, Text(tally.line()))
            return grid

        with self._shown(draw):
            yield

    @contextmanager
    def _shown(self, draw: Callable[[], Text | Table]) -> Iterator[None]:
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

    def tick(self, tally: Tally) -> None:
        """Called now and then while a run goes on: a log line when it is time for one."""
        now = time.monotonic()
        if not self._live and now - self._logged >= LOG_EVERY:
            self._logged = now
            self.say(tally.line())


def summary(tally: Tally) -> str:
    """The last line of a run that came to its end."""
    text = _(
        "{total} rows: {answered} answered, {failed} failed. "
        "{n} in {time}: {rate:.1f} rows/s, {tokens:.0f} tokens/s."
    )
    return text.format(
        total=tally.total,
        answered=tally.answered_before + tally.answered,
        failed=tally.all_failed,
        n=tally.answered + tally.failed,
        time=duration(tally.seconds),
        rate=tally.rows_per_second,
        tokens=tally.tokens_per_second,
    )
