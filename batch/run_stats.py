"""The counts and rates of a run, as a line of text and as JSON."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.cells import cell_len

from ..errors import Code
from ..i18n import _, comma, plural
from .engines.engine import EngineState
from .histogram import LogHistogram
from .quality import COUNTED, INVALID, Quality, quality_of
from .request import Outcome

_LISTED = 8  # replicas that the summary lists; more are listed by machine


@dataclass(slots=True)
class RunStats:
    """Counts of a run; those `*_before` are of earlier runs. Times are in seconds, `lengths` in
    completion tokens."""

    total: int
    answered_before: int = 0
    failed_before: int = 0
    answered: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    copied: int = 0
    unordered: bool = False  # a row has ended after one that stands behind it
    in_flight: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    qualities: Counter[str] = field(default_factory=Counter)  # in earlier runs too
    again: Counter[str] = field(default_factory=Counter)  # see `Outcome.again`
    latency: LogHistogram = field(default_factory=LogHistogram)  # in earlier runs too
    lengths: LogHistogram = field(default_factory=LogHistogram)
    finish_reasons: Counter[str] = field(default_factory=Counter)
    states: tuple[EngineState, ...] = ()
    questions: Mapping[str, Any] = field(default_factory=dict)  # how good the answers are
    unsure: int | None = None  # rows below the threshold
    verification: Mapping[str, Any] | None = None  # see `verification.VerificationResult`
    started_at: float = field(default_factory=time.monotonic)
    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=60))

    def start(self) -> None:
        """Start the clock: the first row is about to be asked."""
        self.started_at = time.monotonic()
        self._samples.append((self.started_at, 0))

    def sample(
        self, in_flight: int, retries: Mapping[Code, int], states: Iterable[EngineState] = ()
    ) -> None:
        """Update the current state and add a sample for `eta`; called once a second."""
        self.in_flight = in_flight
        self.retries = Counter({str(code): n for code, n in retries.items()})
        self.states = tuple(states)
        self._samples.append((time.monotonic(), self.answered + self.failed))

    @property
    def done(self) -> int:
        """Rows that are finished, in earlier runs too."""
        return self.answered_before + self.failed_before + self.answered + self.failed

    @property
    def all_failed(self) -> int:
        """Rows in the errors file."""
        return self.failed_before + self.failed

    @property
    def seconds(self) -> float:
        """Seconds since the first row was asked."""
        return max(time.monotonic() - self.started_at, 1e-9)

    @property
    def rows_per_second(self) -> float:
        """Finished rows a second, of this run."""
        return (self.answered + self.failed) / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens a second, of this run."""
        return self.completion_tokens / self.seconds

    def add(self, outcome: Outcome) -> None:
        """Count a finished row."""
        if outcome.answered:
            self.answered += 1
            self.qualities[quality_of(outcome.body or {}).value] += 1
            self.copied += outcome.copied
            if outcome.again is not None:
                self.again[outcome.again] += 1
            self.prompt_tokens += outcome.usage.prompt_tokens
            self.completion_tokens += outcome.usage.completion_tokens
            if not outcome.copied:
                self.latency.add(outcome.seconds)
                self.lengths.add(outcome.usage.completion_tokens)
            self.finish_reasons.update(finish_reasons(outcome.body or {}))
        else:
            self.failed += 1
            assert outcome.failure is not None
            self.failures[str(outcome.failure.code)] += 1
            self.qualities[INVALID] += outcome.failure.code is Code.INVALID_ANSWER

    def add_kept(self) -> None:
        """Count a row that was asked again in vain, and keeps its earlier answer."""
        self.answered_before += 1
        self.again["in vain"] += 1

    def eta(self) -> float | None:
        """Return the remaining seconds at the rate of the last minute; None without a rate.

        The rate of the whole run would include a slow start and earlier outages.
        """
        finished = self.answered + self.failed
        sampled_at, before = self._samples[0] if self._samples else (self.started_at, 0)
        if finished == before:
            return None
        seconds = time.monotonic() - sampled_at
        return (self.total - self.done) * seconds / (finished - before)

    def line(self, columns: int | None = None) -> str:
        """Return the state in one line; parts that don't fit into `columns` are left out."""
        parts = {
            "rows": _("{done}/{total} rows").format(done=self.done, total=self.total),
            "rate": _("{rate:.1f} rows/s").format(rate=self.rows_per_second),
            "tokens": _("{rate:.0f} tokens/s").format(rate=self.tokens_per_second),
        }
        if replicas := _replicas(self.states):
            parts["replicas"] = replicas
        eta = self.eta()
        if eta is not None and self.done < self.total:
            parts["eta"] = _("ETA {time}").format(time=duration(eta))
        if self.all_failed:
            n = self.all_failed
            parts["errors"] = plural("{n} error", "{n} errors", n).format(n=n)
        if marks := quality_counts(self.qualities):
            parts["qualities"] = marks
        if self.retries:
            causes = ", ".join(f"{code} {n}" for code, n in self.retries.most_common())
            parts["retries"] = _("retries: {causes}").format(causes=causes)
        for name in ("retries", "tokens", "rate", "replicas", "qualities", "errors"):
            if columns is None or cell_len(comma().join(parts.values())) <= columns:
                break
            parts.pop(name, None)
        return comma().join(parts.values())

    def answers_line(self) -> str:
        """Return times, lengths and ends of the answers in one line; '' before the first one."""
        parts: list[str] = []
        if times := self.latency.quantiles():
            text = _("{p50} an answer (95% within {p95})")
            named = {name: duration(value) for name, value in times.items()}
            parts.append(text.format(p50=named["p50"], p95=named["p95"]))
        if lengths := self.lengths.quantiles():
            text = _("{p50:.0f} tokens (95% at most {p95:.0f})")
            parts.append(text.format(p50=lengths["p50"], p95=lengths["p95"]))
        if self.finish_reasons:
            reasons = (f"{name} {n:,}" for name, n in self.finish_reasons.most_common(4))
            parts.append(_("ended by {reasons}").format(reasons=", ".join(reasons)))
        if self.failures:
            causes = (f"{name} {n:,}" for name, n in self.failures.most_common(3))
            parts.append(_("failed: {causes}").format(causes=", ".join(causes)))
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return the state for another program; times in seconds, rates of this run."""
        eta = self.eta()
        return {
            "total": self.total,
            "done": self.done,
            "answered": self.answered_before + self.answered,
            "failed": self.all_failed,
            **{name: self.qualities[name] for name in COUNTED},
            "copied": self.copied,
            "in_flight": self.in_flight,
            "again": dict(self.again),
            "retries": dict(self.retries),
            "failures": dict(self.failures),
            "finish_reasons": dict(self.finish_reasons),
            "latency_seconds": self.latency.quantiles(),
            "answer_tokens": self.lengths.quantiles(),
            "servers": [_state_as_json(state) for state in self.states],
            "seconds": round(self.seconds, 1),
            "rows_per_second": round(self.rows_per_second, 2),
            "prompt_tokens_per_second": round(self.prompt_tokens / self.seconds, 1),
            "completion_tokens_per_second": round(self.tokens_per_second, 1),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "eta_seconds": None if eta is None else round(eta, 1),
            "questions": dict(self.questions),
            "unsure": self.unsure,
            "verification": self.verification,
        }


def finish_reasons(body: Mapping[str, Any]) -> list[str]:
    """Return the reasons why the choices of a response ended, those that are known."""
    choices = body.get("choices")
    if not isinstance(choices, list):
        return []
    reasons = (choice.get("finish_reason") for choice in choices if isinstance(choice, Mapping))
    return [reason for reason in reasons if isinstance(reason, str)]


def _state_as_json(state: EngineState) -> dict[str, Any]:
    load = state.load
    return {
        "name": state.name,
        "up": state.up,
        "in_flight": state.in_flight,
        "window": state.window,
        "answered": state.answered,
        **({} if state.yielding is None else {"yielding": asdict(state.yielding)}),
        "running": None if load is None else load.running,
        "waiting": None if load is None else load.waiting,
        "kv_cache": None if load is None else load.kv_cache,
        **({} if state.node is None else {"node": state.node, "phase": state.phase}),
    }


def _replicas(states: Iterable[EngineState]) -> str:
    """``3/4 replicas on 2 machines``; '' where the states are not of replicas."""
    replicas = [state for state in states if state.node is not None]
    if not replicas:
        return ""
    up = [state for state in replicas if state.up]
    nodes = len({state.node for state in up})
    text = plural(
        "{up}/{all} replicas on {n} machine", "{up}/{all} replicas on {n} machines", nodes
    )
    return text.format(up=len(up), all=len(replicas), n=nodes)


def merge_by_node(states: Iterable[EngineState]) -> list[EngineState]:
    """Return one state for each node of many replicas."""
    nodes: dict[str, list[EngineState]] = {}
    for state in states:
        if state.node:
            nodes.setdefault(state.node, []).append(state)
    text = _("{node}, {up}/{all} replicas")
    return [
        EngineState(
            text.format(node=node, up=sum(state.up for state in members), all=len(members)),
            sum(state.in_flight for state in members),
            sum(state.window for state in members),
            sum(state.answered for state in members),
            up=any(state.up for state in members),
            node=node,
        )
        for node, members in nodes.items()
    ]


def state_line(state: EngineState) -> str:
    """Return the state of a server as a line of text."""
    if state.phase:
        text = _("{name}: {phase}, {answered} answered")
        return text.format(name=state.name, phase=state.phase, answered=state.answered)
    if not state.up:
        text = _("{name}: failing, {n} in flight, {answered} answered")
        return text.format(name=state.name, n=state.in_flight, answered=state.answered)
    text = _("{name}: {n} of {window} in flight, {answered} answered")
    line = text.format(
        name=state.name, n=state.in_flight, window=state.window, answered=state.answered
    )
    if state.yielding is not None and state.yielding.is_live:
        line += ", " + _("yielding to live requests")
    if state.load is not None:
        text = _("running {running:.0f}, waiting {waiting:.0f}")
        line += ", " + text.format(running=state.load.running, waiting=state.load.waiting)
        if state.load.kv_cache is not None:
            line += ", " + _("KV cache {share:.0%}").format(share=state.load.kv_cache)
    return line


def duration(seconds: float) -> str:
    """Format a duration: ``0.8 s``, ``12 s``, ``3:07``, ``2:03:07``."""
    if seconds < 10:
        return _("{n:.1f} s").format(n=seconds)
    if seconds < 60:
        return _("{n:.0f} s").format(n=seconds)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def quality_counts(qualities: Mapping[str, int]) -> str:
    """Return what is not simply answered or failed: ``3 cut, 1 empty``; '' for nothing."""
    texts = {
        Quality.CUT.value: _("{n:,} cut"),
        Quality.EMPTY.value: _("{n:,} empty"),
        Quality.LOOPED.value: _("{n:,} looped"),
        INVALID: _("{n:,} invalid"),
    }
    counts = ((texts[name], qualities.get(name, 0)) for name in COUNTED)
    return comma().join(text.format(n=n) for text, n in counts if n)


def summary(stats: RunStats) -> str:
    """Return the last line of a finished run."""
    text = plural(
        "{total} row: {answered} answered, {failed} failed{qualities}. "
        "{n} in {time}: {rate:.1f} rows/s, {tokens:.0f} tokens/s.",
        "{total} rows: {answered} answered, {failed} failed{qualities}. "
        "{n} in {time}: {rate:.1f} rows/s, {tokens:.0f} tokens/s.",
        stats.total,
    )
    marks = quality_counts(stats.qualities)
    return text.format(
        qualities=_(" ({differences})").format(differences=marks) if marks else "",
        total=stats.total,
        answered=stats.answered_before + stats.answered,
        failed=stats.all_failed,
        n=stats.answered + stats.failed,
        time=duration(stats.seconds),
        rate=stats.rows_per_second,
        tokens=stats.tokens_per_second,
    )


def details(stats: RunStats) -> list[tuple[str, str]]:
    """Return labels and values that the summary leaves out; without those that are zero."""
    rate = _("{n:,} ({rate:,.0f} per second)")
    rows: list[tuple[str, str]] = []
    for label, n in (
        (_("Prompt tokens"), stats.prompt_tokens),
        (_("Completion tokens"), stats.completion_tokens),
    ):
        if n:
            rows.append((label, rate.format(n=n, rate=n / stats.seconds)))
    if stats.latency.count:
        times = {name: duration(value) for name, value in stats.latency.quantiles().items()}
        text = _("median {p50}, 95% within {p95}, longest {max}")
        rows.append((_("Time to an answer"), text.format(**times)))
    if len(stats.finish_reasons) > 1:
        reasons = (f"{name} {n:,}" for name, n in stats.finish_reasons.most_common())
        rows.append((_("Ended by"), ", ".join(reasons)))
    if stats.copied:
        rows.append((_("Duplicate rows"), _("{n:,} not asked again").format(n=stats.copied)))
    if stats.again:
        names = {
            "continued": _("{n:,} continued"),
            "larger budget": _("{n:,} with a larger budget"),
            "penalty": _("{n:,} with a penalty"),
            "resampled": _("{n:,} resampled"),
            "in vain": _("{n:,} in vain (their earlier answers stay)"),
        }
        texts = [names[name].format(n=n) for name, n in stats.again.most_common()]
        rows.append((_("Asked again"), ", ".join(texts)))
    for label, counts in ((_("Retries"), stats.retries), (_("Failed"), stats.failures)):
        if counts:
            causes = ", ".join(f"{name} {n:,}" for name, n in counts.most_common())
            rows.append((label, causes))
    rows += _yielding_details(stats)
    if len(stats.states) > 1:
        answered = _("{n:,} answered")
        states = list(stats.states)
        if states[0].node is not None and len(states) > _LISTED:
            states = merge_by_node(states)
        rows += [(state.name, answered.format(n=state.answered)) for state in states]
    return rows


def _yielding_details(stats: RunStats) -> list[tuple[str, str]]:
    """Return how fast the run was beside live requests and alone, by the server with most of them,
    and what it withdrew for them."""
    yielding = [state.yielding for state in stats.states if state.yielding is not None]
    if not any(one.live_seconds for one in yielding):
        return []
    seconds = max(one.live_seconds for one in yielding)
    beside = sum(one.answered_beside for one in yielding)
    alone = stats.answered - stats.copied - beside
    text = _("{rate:.1f} rows/s for {time}")
    rows = [(_("Beside live requests"), text.format(rate=beside / seconds, time=duration(seconds)))]
    if (rest := stats.seconds - seconds) > 1:
        rows.append((_("Alone"), text.format(rate=max(0, alone) / rest, time=duration(rest))))
    if withdrawn := sum(one.withdrawn for one in yielding):
        rows.append((_("Withdrawn for them"), _("{n:,} requests, sent again").format(n=withdrawn)))
    return rows
