"""What a run has done so far, in numbers and in a line."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len

from ..errors import Code
from ..i18n import _, plural
from .engines.engine import EngineState
from .request import Outcome


@dataclass(slots=True)
class RunStats:
    """Counts of a run; `done` includes rows that an earlier run had answered."""

    total: int
    answered_before: int = 0
    failed_before: int = 0
    answered: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    copied: int = 0
    in_flight: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    states: tuple[EngineState, ...] = ()
    began: float = field(default_factory=time.monotonic)
    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=60))

    def start(self) -> None:
        """The first row is about to be asked."""
        self.began = time.monotonic()
        self._samples.append((self.began, 0))

    def sample(
        self, in_flight: int, retries: Mapping[Code, int], states: Iterable[EngineState] = ()
    ) -> None:
        """Called once a second: what goes on, and a sample for the time to go."""
        self.in_flight = in_flight
        self.retries = Counter({str(code): n for code, n in retries.items()})
        self.states = tuple(states)
        self._samples.append((time.monotonic(), self.answered + self.failed))

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
            self.copied += outcome.copied
            self.prompt_tokens += outcome.usage.prompt_tokens
            self.completion_tokens += outcome.usage.completion_tokens
        else:
            self.failed += 1
            assert outcome.failure is not None
            self.failures[str(outcome.failure.code)] += 1

    def eta(self) -> float | None:
        """Seconds to go at the rate of the last minute; None before there is one.

        Not of the whole run: a slow start or an outage an hour ago says nothing about the rest.
        """
        ended = self.answered + self.failed
        then, before = self._samples[0] if self._samples else (self.began, 0)
        if ended == before:
            return None
        return (self.total - self.done) * (time.monotonic() - then) / (ended - before)

    def line(self, columns: int | None = None) -> str:
        """The state in one line; where `columns` are given and few, without what matters less."""
        shown = {
            "rows": _("{done}/{total} rows").format(done=self.done, total=self.total),
            "rate": _("{rate:.1f} rows/s").format(rate=self.rows_per_second),
            "tokens": _("{rate:.0f} tokens/s").format(rate=self.tokens_per_second),
        }
        eta = self.eta()
        if eta is not None and self.done < self.total:
            shown["eta"] = _("ETA {time}").format(time=duration(eta))
        if self.all_failed:
            n = self.all_failed
            shown["errors"] = plural("{n} error", "{n} errors", n).format(n=n)
        if self.retries:
            causes = ", ".join(f"{name} {n}" for name, n in self.retries.most_common())
            shown["retries"] = _("tried again: {causes}").format(causes=causes)
        for least in ("retries", "tokens", "rate", "errors"):
            if columns is None or cell_len(", ".join(shown.values())) <= columns:
                break
            shown.pop(least, None)
        return ", ".join(shown.values())

    def as_json(self) -> dict[str, Any]:
        """The state for another program; times in seconds, rates of this run."""
        eta = self.eta()
        return {
            "total": self.total,
            "done": self.done,
            "answered": self.answered_before + self.answered,
            "failed": self.all_failed,
            "copied": self.copied,
            "in_flight": self.in_flight,
            "retries": dict(self.retries),
            "failures": dict(self.failures),
            "servers": [_state_as_json(state) for state in self.states],
            "seconds": round(self.seconds, 1),
            "rows_per_second": round(self.rows_per_second, 2),
            "prompt_tokens_per_second": round(self.prompt_tokens / self.seconds, 1),
            "completion_tokens_per_second": round(self.tokens_per_second, 1),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "eta_seconds": None if eta is None else round(eta, 1),
        }


def _state_as_json(state: EngineState) -> dict[str, Any]:
    load = state.load
    return {
        "name": state.name,
        "up": state.up,
        "in_flight": state.in_flight,
        "window": state.window,
        "answered": state.answered,
        "running": None if load is None else load.running,
        "waiting": None if load is None else load.waiting,
        "kv_cache": None if load is None else load.kv_cache,
    }


def state_line(state: EngineState) -> str:
    """How a server stands, for a person."""
    if not state.up:
        text = _("{name}: in trouble, {n} in flight, {answered} answered")
        return text.format(name=state.name, n=state.in_flight, answered=state.answered)
    text = _("{name}: {n} of {window} in flight, {answered} answered")
    shown = text.format(
        name=state.name, n=state.in_flight, window=state.window, answered=state.answered
    )
    if state.load is not None:
        text = _("running {running:.0f}, waiting {waiting:.0f}")
        shown += ", " + text.format(running=state.load.running, waiting=state.load.waiting)
        if state.load.kv_cache is not None:
            shown += ", " + _("KV cache {share:.0%}").format(share=state.load.kv_cache)
    return shown


def duration(seconds: float) -> str:
    """``0.8 s``, ``12 s``, ``3:07``, ``2:03:07``."""
    if seconds < 10:
        return _("{n:.1f} s").format(n=seconds)
    if seconds < 60:
        return _("{n:.0f} s").format(n=seconds)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary(tally: RunStats) -> str:
    """The last line of a run that came to its end."""
    text = plural(
        "{total} row: {answered} answered, {failed} failed. "
        "{n} in {time}: {rate:.1f} rows/s, {tokens:.0f} tokens/s.",
        "{total} rows: {answered} answered, {failed} failed. "
        "{n} in {time}: {rate:.1f} rows/s, {tokens:.0f} tokens/s.",
        tally.total,
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


def details(tally: RunStats) -> list[tuple[str, str]]:
    """What the last line leaves out, a label and a value each; only what there is to tell."""
    rate = _("{n:,} ({rate:,.0f} a second)")
    found: list[tuple[str, str]] = []
    for label, n in (
        (_("Prompt tokens"), tally.prompt_tokens),
        (_("Completion tokens"), tally.completion_tokens),
    ):
        if n:
            found.append((label, rate.format(n=n, rate=n / tally.seconds)))
    if tally.copied:
        found.append((_("Equal rows"), _("{n:,} not asked again").format(n=tally.copied)))
    for label, counts in ((_("Tried again"), tally.retries), (_("Failed"), tally.failures)):
        if counts:
            causes = ", ".join(f"{name} {n:,}" for name, n in counts.most_common())
            found.append((label, causes))
    if len(tally.states) > 1:
        answered = _("{n:,} answered")
        found += [(state.name, answered.format(n=state.answered)) for state in tally.states]
    return found
