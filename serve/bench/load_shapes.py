"""The shapes of a load, as pure schedules: when requests are sent, before any is.

A closed loop has no schedule: its next request is sent when one has finished. An open loop sends at
times of its own, however slow the answers are: at a constant rate, or along a ramp.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ...i18n import N_, _
from ...json_types import JsonObject

CONSTANT = math.inf
"""The burstiness of arrivals at equal intervals."""

Strategy = Literal["linear", "exponential"]


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A constant number of requests in flight: the next is sent when one has finished."""

    concurrency: int

    @property
    def name(self) -> str:
        """The name in the results."""
        return english_name(self.to_json())

    @property
    def warm_up(self) -> "ClosedLoop":
        """The load of a warm-up of its own."""
        return self

    def to_json(self) -> JsonObject:
        """The load as the results have it."""
        return {"kind": "closed", "concurrency": self.concurrency}


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Arrivals at `rate` requests per second, independent of how fast responses come.

    The intervals follow a gamma distribution of shape `burstiness`, as in `vllm bench serve`: 1 is
    a Poisson process, less is burstier (the squared coefficient of variation is its reciprocal),
    more is more even, and `CONSTANT` is equal intervals.
    """

    rate: float
    burstiness: float = 1.0

    @property
    def name(self) -> str:
        """The name in the results."""
        return english_name(self.to_json())

    @property
    def peak_rate(self) -> float:
        """The highest rate, per second."""
        return self.rate

    @property
    def warm_up(self) -> "OpenLoop":
        """The load of a warm-up of its own."""
        return self

    def to_json(self) -> JsonObject:
        """The load as the results have it; a Poisson process has no burstiness there."""
        return {"kind": "open", "rate": self.rate, **_burstiness_json(self.burstiness)}


@dataclass(frozen=True, slots=True)
class Ramp:
    """An open loop whose rate goes from `start` to `end` requests per second over the window.

    Linear: by equal differences; exponential: by equal ratios. `burstiness` is as in `OpenLoop`.
    """

    start: float
    end: float
    strategy: Strategy = "linear"
    burstiness: float = 1.0

    @property
    def name(self) -> str:
        """The name in the results."""
        return english_name(self.to_json())

    @property
    def peak_rate(self) -> float:
        """The highest rate, per second."""
        return max(self.start, self.end)

    @property
    def warm_up(self) -> OpenLoop:
        """The load of a warm-up of its own: the rate that the ramp starts with."""
        return OpenLoop(self.start or self.end, self.burstiness)

    def to_json(self) -> JsonObject:
        """The load as the results have it."""
        ends = {"start": self.start, "end": self.end, "strategy": self.strategy}
        return {"kind": "ramp", **ends, **_burstiness_json(self.burstiness)}


Load = ClosedLoop | OpenLoop | Ramp


def english_name(load: JsonObject) -> str:
    """What a load, as the results have it, is called in what programs read."""
    return _name(load, lambda text: text)


def label(load: Load) -> str:
    """What a load is called where people read it."""
    return _name(load.to_json(), _)


def shown_name(phase: JsonObject) -> str:
    """What the load of a phase of the results is called where people read it. Files of an earlier
    qchat may have its name in the language of their writer."""
    try:
        return _name(phase["load"], _)
    except (KeyError, TypeError, ValueError):
        return str(phase["name"])  # a file that somebody else wrote


def _name(load: JsonObject, translate: Callable[[str], str]) -> str:
    if load["kind"] == "closed":
        return translate(N_("{n} at a time")).format(n=load["concurrency"])
    if load["kind"] == "ramp":
        text = N_("{start:g} to {end:g} a second")
        if load["strategy"] != "linear":
            text = N_("{start:g} to {end:g} a second, exponential")
    else:
        text = N_("{rate:g} a second")
    name = translate(text).format(**load)
    burstiness = load.get("burstiness", 1)
    if burstiness == 1:
        return name
    if burstiness == "inf":
        return name + translate(N_(", constant"))
    return name + translate(N_(", burstiness {n:g}")).format(n=burstiness)


def _burstiness_json(burstiness: float) -> JsonObject:
    """JSON has no infinity."""
    if burstiness == 1:
        return {}
    return {"burstiness": "inf" if burstiness == CONSTANT else burstiness}


def arrival_times(
    load: OpenLoop | Ramp,
    seed: int,
    *,
    warm_up: float = 0.0,
    duration: float = math.inf,
    requests: int | None = None,
) -> Iterator[float]:
    """Yield the times of arrivals without end, in seconds from the start of the window.

    They begin `warm_up` seconds before it. A ramp reaches its end after `duration` seconds, or with
    the last of so many `requests`. A seed gives the same times.
    """
    if isinstance(load, OpenLoop):
        for number in _unit_arrivals(load.burstiness, seed):
            yield number / load.rate - warm_up
        return
    length = duration if requests is None else _ramp_length(load, requests)
    first = -load.start * warm_up
    for number in _unit_arrivals(load.burstiness, seed):
        yield _ramp_time(load, first + number, length)


def _unit_arrivals(burstiness: float, seed: int) -> Iterator[float]:
    """Yield the times of a renewal process at a rate of 1."""
    rng = random.Random(seed)  # noqa: S311 - the same arrivals for a seed
    at = 0.0
    while True:
        at += 1.0 if burstiness == CONSTANT else rng.gammavariate(burstiness, 1 / burstiness)
        yield at


def _ramp_length(ramp: Ramp, requests: int) -> float:
    """The seconds within which so many requests are due: their number over the mean rate."""
    if ramp.strategy == "linear" or ramp.start == ramp.end:
        return 2 * requests / (ramp.start + ramp.end)
    return requests * math.log(ramp.end / ramp.start) / (ramp.end - ramp.start)


def _ramp_time(ramp: Ramp, number: float, length: float) -> float:
    """The time at which `number` requests are due: the inverse of the integral of the rate.

    Before the ramp the rate is its start, after it its end.
    """
    start, end = ramp.start, ramp.end
    if number < 0 or start == end:
        return number / start
    if ramp.strategy == "linear":
        total = (start + end) / 2 * length
        root = math.sqrt(start**2 + 2 * (end - start) * min(number, total) / length)
        at = 2 * min(number, total) / (start + root)
    else:
        slope = math.log(end / start) / length
        total = (end - start) / slope
        at = math.log1p(slope * min(number, total) / start) / slope
    return at + max(0.0, number - total) / end
