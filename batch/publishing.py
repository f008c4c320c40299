"""Tell others on this machine of a run: see `qchat.running_batches`."""

from collections.abc import Sequence
from pathlib import Path

from ..running_batches import BatchEntry
from .run_hooks import RunHooks
from .run_messages import resume_command
from .run_stats import RunStats


def publish_run(
    entry: BatchEntry,
    results: Path | None,
    command: Sequence[str],
    hooks: RunHooks,
    stats: RunStats,
) -> None:
    """Publish the state of a run, and stop one within another program where that was asked for."""
    eta = stats.eta()
    entry.write(
        {
            "results": "" if results is None else str(results.absolute()),
            "done": stats.done,
            "total": stats.total,
            "rows_per_second": round(stats.rows_per_second, 2),
            "eta_seconds": None if eta is None else round(eta, 1),
            "low_priority": next(
                (one.yielding.allowed for one in stats.states if one.yielding is not None), None
            ),
            "servers": {state.name: state.in_flight for state in stats.states},
            "claims": {
                state.name: state.yielding.claim
                for state in stats.states
                if state.yielding is not None
            },
            "is_yielding": any(
                state.yielding is not None and state.yielding.is_live for state in stats.states
            ),
            "takes_signals": hooks.takes_signals,
            "command": resume_command(command),
        }
    )
    if not hooks.takes_signals and entry.pause_requested:
        hooks.pause()
