"""The machine as the installed build of vLLM would use it."""

from dataclasses import replace

import click

from ...engine.machine.hardware import Machine, detect
from ...engine.runtime import platforms
from ...errors import EngineError
from ...i18n import _


def target_machine(cpu: bool) -> Machine | None:
    """Return this machine, without its GPUs for vLLM's `cpu` build; None, after a note, where its
    GPU or another accelerator can't be measured. Raises `EngineError` where a build for GPUs finds
    none."""
    machine = detect()
    if cpu:
        return replace(machine, gpus=())
    if machine.gpus:
        return machine
    if machine.gpu_note:
        click.echo(machine.gpu_note, err=True)
        return None
    if (accelerator := platforms.other_accelerator()) is not None:
        click.echo(platforms.unmeasured(accelerator), err=True)
        return None
    text = _(
        "The installed vLLM is built for GPUs, and this machine shows none. Check with nvidia-smi "
        "and qchat doctor, or install vLLM's CPU build."
    )
    raise EngineError(text)
