"""Run a server in the foreground: `qchat serve` without --detach."""

import sys

from ..planning.plan import ServePlan
from ..registry.records import ServerRegistry
from .phases import Phase, Step
from .ready_message import print_ready
from .start_display import Display
from .supervisor import Supervisor


def run_attached(plan: ServePlan, registry: ServerRegistry) -> int:
    """Supervise the server in this process until a signal, and return the exit code."""
    display = Display(sys.stderr, plan.model)

    def report(step: Step) -> None:
        display(step)
        if step.phase is Phase.READY:
            display.end()
            print_ready(plan)

    try:
        return Supervisor(plan, registry, report).run()
    finally:
        display.end()
