"""The requests of one server, as its access layer counts them."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from ..access import request_gauge


class RunningRequests:
    """What runs, since when nothing does, and a gate for new requests."""

    def __init__(self, folder: Path, server_runs: Callable[[], bool]) -> None:
        """`folder` has the request gauges; `server_runs` tells whether they are of a live one."""
        self._folder = folder
        self._server_runs = server_runs

    def count(self) -> int:
        """Return how many run, as far as it is known."""
        figures = request_gauge.read(self._folder) if self._server_runs() else None
        return 0 if figures is None else figures.open

    def idle_seconds(self, ready_at: float) -> float:
        """Return for how long no request has run in a server that is ready since `ready_at`; 0
        where that is unknown."""
        figures = request_gauge.read(self._folder)
        if figures is None or figures.open:
            return 0.0
        return time.monotonic() - max(ready_at, figures.last_ns / 1e9)

    def refuse_new(self) -> None:
        """Close the gate, until the next start."""
        with contextlib.suppress(OSError):
            request_gauge.set_gate(self._folder, closed=True)
