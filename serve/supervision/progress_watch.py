"""Observe one server's progress, while it starts and while it serves, for the `StallDetector`.

A running server is observed through its request gauge alone; its processes are looked at only
while something is suspicious.
"""

import time
from collections.abc import Callable
from pathlib import Path

from ...i18n import _
from ..access import request_gauge
from ..access.request_gauge import Figures
from ..processes import activity, process_tree
from .phases import downloaded
from .stall_detector import Observation, StallDetector, StallLimits, Verdict

WATCH_INTERVAL = 1.0  # seconds between observations
_LEAST_SHARE = 0.02  # of a processor: whoever uses less does nothing but wait


class _Watch:
    def __init__(
        self, first: int, mark: str, limits: StallLimits, clock: Callable[[], float]
    ) -> None:
        self._first = first
        self._mark = mark
        self._clock = clock
        self._detector = StallDetector(limits, longest_gap=2 * WATCH_INTERVAL)

    def _members(self) -> list[int]:
        return process_tree.members(self._first, self._mark)

    @property
    def quiet(self) -> float:
        """The seconds without progress."""
        return self._detector.quiet


class ServingWatch(_Watch):
    """Whether a ready server still gets on with its requests."""

    def __init__(
        self,
        folder: Path,
        first: int,
        mark: str,
        limits: StallLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` has the request gauges, `first` and `mark` identify the processes."""
        super().__init__(first, mark, limits, clock)
        self._folder = folder
        self._before: Figures | None = None
        self._compiled = 0.0  # seconds of compilers
        self._compile_steps = 0
        self._stopped: list[int] = []  # processes that a signal has stopped

    def check(self) -> Verdict:
        """Observe the server now. One without a request gauge counts as fine."""
        figures = request_gauge.read(self._folder)
        if figures is None:
            return Verdict.FINE
        return self._detector.observe(self._clock(), self._observation(figures))

    def _observation(self, figures: Figures) -> Observation:
        before, self._before = self._before, figures
        pending = max(figures.awaiting, figures.engine_running + figures.engine_waiting)
        if figures.awaiting == 0 and figures.open == 0:
            pending = 0  # vLLM's own figures are copied once a second, and stay when it stops
        progress = _moving(figures)
        if before is None or _moving(before) != progress:
            self._stopped = []
        elif pending:
            members = self._members()
            compiled = activity.compiler_seconds(members)
            self._compile_steps += compiled - self._compiled >= _LEAST_SHARE * WATCH_INTERVAL
            self._compiled = compiled
            self._stopped = process_tree.stopped(members)
            if not figures.has_engine and not self._stopped:
                pending = 0  # without vLLM's counters a long answer can't be told from a stall
        else:  # who is stopped answers nobody, whether or not somebody waits for it
            self._stopped = process_tree.stopped(self._stopped)
            pending = len(self._stopped)
        return Observation(figures.heartbeat_ns, pending, (progress, self._compile_steps))

    def description(self) -> str:
        """Say what stands still, for how long."""
        seconds = f"{self._detector.quiet:.0f}"
        if self._detector.is_api_silent:
            return _("its API process has not run for {n} s").format(n=seconds)
        if self._stopped:
            text = _("no token for {n} s, and a signal has stopped its process {pid}")
            return text.format(n=seconds, pid=self._stopped[0])
        text = _("no token for {n} s, with {requests} requests waiting for the engine")
        return text.format(n=seconds, requests=self._detector.pending)


def _moving(figures: Figures) -> tuple[int, ...]:
    """Return the figures of which each change is progress.

    With vLLM's counters those alone: the API process answers GET /v1/models and refuses bad
    requests with a dead engine, too. A client that gives up is no progress either.
    """
    if not figures.has_engine:
        return (figures.chunks,)
    return (figures.generated, figures.prompt_tokens, figures.kv_millionths)


class StartingWatch(_Watch):
    """Whether a start gets on: output, processor time or a download that grows is progress."""

    def __init__(
        self,
        log: Path,
        model: str,
        first: int,
        mark: str,
        limits: StallLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`model` is the id whose download is watched."""
        super().__init__(first, mark, limits, clock)
        self._log = log
        self._model = model
        self._progress = 0
        self._before: tuple[float, float, object] | None = None
        self._next_check = clock()

    def check(self) -> Verdict | None:
        """Observe the start now, where `WATCH_INTERVAL` has passed; else return None."""
        now = self._clock()
        if now < self._next_check:
            return None
        self._next_check = now + WATCH_INTERVAL
        used = activity.cpu_seconds(self._members())
        grown = (_size(self._log), downloaded(self._model))
        if self._before is not None:
            then, used_before, grown_before = self._before
            works = abs(used - used_before) >= _LEAST_SHARE * (now - then)
            self._progress += works or grown != grown_before
        self._before = (now, used, grown)
        return self._detector.observe(now, Observation(self._progress, 0, None))

    def description(self) -> str:
        """Say what stands still, for how long."""
        text = _("its start has made no progress for {n} s")
        return text.format(n=f"{self._detector.quiet:.0f}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
