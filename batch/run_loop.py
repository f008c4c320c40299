"""The frame of a command: messages, signals, the time limit, and an event loop for its work."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvloop

from ..errors import Exit
from ..signals import Interrupted, raise_on_signal, terminate_after
from .job import BatchJob
from .message_stream import open_message_stream
from .progress import JsonProgress, ProgressDisplay


def run_in_loop(
    job: BatchJob,
    interruption: str,
    work: Callable[[ProgressDisplay], Coroutine[Any, Any, Exit]],
    finished: Sequence[Exit] = (),
) -> Exit:
    """Run `work` to its end with a display of `job`'s kind, and return its exit code.

    A signal, or the time limit, ends it with its own code and the sentence `interruption`; with the
    code in `finished` where `work` has put it there, as only its closing was cut short.
    """
    # A copy of stderr: while vLLM runs in this process, descriptors 1 and 2 go to a log file (see
    # engine_log.redirect_output).
    with (
        open_message_stream(2) as stderr,
        raise_on_signal(),
        terminate_after(job.time_limit),
    ):
        display = JsonProgress(stderr) if job.json else ProgressDisplay(stderr, quiet=job.quiet)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(work(display))
        except Interrupted as stop:
            if finished:
                return finished[-1]
            display.warn(interruption)
            return stop.exit_code
