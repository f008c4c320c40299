"""The search for the highest load that keeps the service level objectives of `--goodput`.

A load keeps them if a given share of its requests, failed ones included, do. The load is doubled
until one does not (or halved until one does), and then the gap is bisected. A search assumes that
more load never helps: of loads that contradict it, the lowest that failed counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ...i18n import _
from ...json_types import JsonObject
from .load_shapes import ClosedLoop, Load, OpenLoop

PRECISION = 1.05
"""A search ends where the lowest load that failed is at most so many times the highest kept."""

SHARE = 0.99
"""The share of requests within the limits that a load must have."""

_LOWEST = {"rate": 1 / 16, "concurrency": 1.0}
_HIGHEST = {"rate": 10_000.0, "concurrency": 8192.0}

SearchKind = Literal["rate", "concurrency"]


@dataclass(frozen=True, slots=True)
class GoodputSearch:
    """What to search: the request rate or the concurrency, from `start` on."""

    kind: SearchKind
    start: float = 1.0
    burstiness: float = 1.0
    share: float = SHARE

    def load(self, value: float) -> Load:
        """The load of a request rate, or of a concurrency."""
        if self.kind == "rate":
            return OpenLoop(value, self.burstiness)
        return ClosedLoop(round(value))

    def loads(self, phases: Sequence[JsonObject]) -> Iterator[Load]:
        """Yield one load after the other; `phases` must have the metrics of each before the next
        one is asked for."""
        value: float | None = self.start
        while value is not None:
            yield self.load(value)
            value = next_value(self, [self.trial(phase) for phase in phases])

    def trial(self, phase: JsonObject) -> "Trial":
        """How a measured load did."""
        load, goodput = phase["load"], phase["goodput"]
        share = float(goodput["share"] or 0.0)
        value = load["rate"] if self.kind == "rate" else load["concurrency"]
        return Trial(float(value), share, share >= self.share)


@dataclass(frozen=True, slots=True)
class Trial:
    """A load, the share of its requests within the limits, and whether that is enough."""

    value: float
    share: float
    kept: bool


def next_value(search: GoodputSearch, trials: Sequence[Trial]) -> float | None:
    """The next load to try; None where the search has ended."""
    lowest_failed = min((trial.value for trial in trials if not trial.kept), default=None)
    kept = highest_kept(trials)
    if lowest_failed is None:
        highest = max((trial.value for trial in trials), default=0.0)
        doubled = 2 * highest or search.start
        return doubled if doubled <= _HIGHEST[search.kind] else None
    if kept is None:
        half = lowest_failed / 2
        if search.kind == "concurrency":
            half = float(int(half))
        return half if half >= _LOWEST[search.kind] else None
    if lowest_failed <= PRECISION * kept:
        return None
    middle = (lowest_failed + kept) / 2
    if search.kind == "concurrency":
        middle = float(int(middle))
        return middle if middle > kept else None
    return float(f"{middle:.4g}")


def highest_kept(trials: Sequence[Trial]) -> float | None:
    """The highest load that was kept, below all that were not."""
    failed = [trial.value for trial in trials if not trial.kept]
    kept = [
        trial.value for trial in trials if trial.kept and trial.value < min(failed, default=2e9)
    ]
    return max(kept, default=None)


def search_result(
    search: GoodputSearch, phases: Sequence[JsonObject], *, interrupted: bool = False
) -> JsonObject:
    """The outcome as the results have it: the highest load that was kept, the lowest that was not,
    and all that were tried, in order. A phase that was `interrupted`, the last one, says nothing.
    """
    trials = [search.trial(phase) for phase in (phases[:-1] if interrupted else phases)]
    return {
        "kind": search.kind,
        "share": search.share,
        "highest_kept": highest_kept(trials),
        "lowest_failed": min((trial.value for trial in trials if not trial.kept), default=None),
        "trials": [
            {"value": trial.value, "share": trial.share, "kept": trial.kept} for trial in trials
        ],
        "complete": bool(trials) and not interrupted and next_value(search, trials) is None,
    }


def best_phase(search: JsonObject, phases: Sequence[JsonObject]) -> JsonObject | None:
    """The phase of the highest load that was kept."""
    for trial, phase in zip(search["trials"], phases, strict=False):
        if trial["kept"] and trial["value"] == search["highest_kept"]:
            return phase
    return None


def trial_note(name: str, trial: Trial, share: float) -> str:
    """A line of progress."""
    text = _("{load}: {share:.1%} within the limits, which is enough.")
    if not trial.kept:
        text = _("{load}: {share:.1%} within the limits, where {least:.1%} must be.")
    return text.format(load=name, share=trial.share, least=share)
