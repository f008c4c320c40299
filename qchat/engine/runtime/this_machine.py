"""The hardware that the installed vLLM can use."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import EngineError
from ...i18n import _

if TYPE_CHECKING:
    from ..machine.hardware import Machine


def detect_for_vllm() -> "tuple[Machine, str | None]":
    """Detect the hardware that the installed vLLM can use, with a note on what it can't use."""
    from ..machine import hardware as machine_
    from . import platforms
    from .vllm_startup import installed_vllm

    machine = machine_.detect()
    note = machine.gpu_note
    try:
        cpu = installed_vllm().cpu
    except EngineError as error:
        return machine, str(error)
    if not cpu and not machine.gpus and note is None:
        accelerator = platforms.other_accelerator()
        note = None if accelerator is None else platforms.unmeasured(accelerator)
        machine = replace(machine, gpu_note=note)
    if cpu and machine.gpus:
        note = _("The installed vLLM is a CPU build; it does not use the GPU.")
        machine = replace(machine, gpus=())
    return machine, note
