"""What a run does differently when it is not the process's own command."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ..errors import Exit
from ..signals import call_on_signal
from .journal.sink import Sink
from .run_stats import RunStats

OnStop = Callable[[Callable[[int], None], float, Callable[[], bool]], AbstractContextManager[None]]
"""While entered, a stop calls the first argument with a signal's number in the running loop; see
`signals.call_on_signal` for the others."""

WatchSink = Callable[[Sink, RunStats], Sink]
"""Called once the output is open, with the counts that the run updates; returns the sink that the
run records into."""


@dataclass(frozen=True, slots=True)
class RunHooks:
    """How a run is told to stop, and who watches what it records: by default signals, and nobody.

    Without `takes_signals` the run is a part of another program, and `pause` stops it.
    `records_rate`: later estimates go by the run's rate. `finished` gets the exit code once all but
    the closing of the engine is done.
    """

    on_stop: OnStop = call_on_signal
    watch: WatchSink = lambda sink, _stats: sink
    takes_signals: bool = True
    pause: Callable[[], None] = lambda: None
    records_rate: bool = True
    finished: Callable[[Exit], object] = lambda _code: None
