"""Run a server in the foreground: `qchat serve` without --detach."""

import sys

import click

from ...errors import Exit
from ...i18n import _
from ..planning.plan import ServePlan
from ..registry.records import ServerRegistry
from .phases import Phase, Step
from .ready_message import print_ready
from .start_display import Display
from .supervisor import Supervisor


def run_attached(plan: ServePlan, registry: ServerRegistry) -> int:
    """Supervise the server in this process until a signal, and return the exit code."""
    display = Display(sys.stderr, plan.model)
    was_ready = False

    def report(step: Step) -> None:
        nonlocal was_ready
        display(step)
        if step.phase is Phase.READY:
            was_ready = True
            display.end()
            print_ready(plan)

    try:
        code = Supervisor(plan, registry, report).run()
    finally:
        display.end()
    if code in (Exit.INTERRUPTED, Exit.TERMINATED) and not was_ready:
        click.echo(_("Stopped before the server was ready."), err=True)
    return code
