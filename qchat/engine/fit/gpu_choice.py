"""Which GPUs of a machine a server takes, and why it leaves the others: pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...i18n import _
from ..machine.hardware import Gpu, Machine

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_PCI = "PCI_BUS_ID"
BUSY = 0.1
"""The share of a GPU's memory that others may use before it counts as busy."""


@dataclass(frozen=True, slots=True)
class IdleGpus:
    """GPUs that a server leaves idle, and the reason for a person."""

    gpus: tuple[Gpu, ...]
    reason: str

    @property
    def note(self) -> str:
        """``GPU 0, 2: in use by other processes (…)``."""
        return _("{gpus}: {reason}").format(gpus=labels(self.gpus), reason=self.reason)


def kinds(gpus: Sequence[Gpu]) -> list[list[Gpu]]:
    """Return the GPUs that can work together: those of one kind.

    Instances of a GPU (MIG) can't, so each is a kind of its own.
    """
    groups: dict[tuple[object, ...], list[Gpu]] = {}
    for gpu in gpus:
        key: tuple[object, ...] = (*gpu.kind, gpu.index) if gpu.is_instance else gpu.kind
        groups.setdefault(key, []).append(gpu)
    return list(groups.values())


def whole(gpus: Sequence[Gpu]) -> list[Gpu]:
    """Return the GPUs that are no instances, which could work together across kinds."""
    return [gpu for gpu in gpus if not gpu.is_instance]


def freest(gpus: Sequence[Gpu], count: int) -> tuple[Gpu, ...]:
    """Return the `count` GPUs with the most free memory, in the machine's order."""
    chosen = sorted(gpus, key=lambda gpu: (-gpu.free_mib, gpu.index))[:count]
    return tuple(sorted(chosen, key=lambda gpu: gpu.index))


def labels(gpus: Sequence[Gpu]) -> str:
    """Return ``GPU 0, 1`` or the names of instances."""
    if any(gpu.is_instance for gpu in gpus):
        return ", ".join(gpu.label for gpu in gpus)
    numbers = [gpu.index if gpu.number is None else gpu.number for gpu in gpus]
    return _("GPU {n}").format(n=", ".join(map(str, numbers)))


def is_busy(gpu: Gpu) -> bool:
    """Return whether others use so much of a GPU that it matters."""
    return gpu.free_mib < (1 - BUSY) * gpu.total_mib


def overview(machine: Machine) -> list[str]:
    """Return lines on a machine: what it has, and which of several GPUs others use."""
    text = _("{gpu}: {used:,} of {total:,} MiB are used by other processes")
    busy = [
        text.format(gpu=gpu.label, used=gpu.total_mib - gpu.free_mib, total=gpu.total_mib)
        for gpu in machine.gpus
        if is_busy(gpu) and len(machine.gpus) > 1
    ]
    return [machine.description, *busy]


def idle_gpus(
    machine: Machine, chosen: Sequence[Gpu], capability: tuple[int, int], enough: str
) -> list[IdleGpus]:
    """Return the GPUs of `machine` that are not `chosen`, by reason: they are in use, do not have
    the compute `capability` that is needed, or are of another kind; `enough` is the reason for
    those that could be used as well."""
    indexes = {gpu.index for gpu in chosen}
    kinds = {gpu.kind for gpu in chosen}
    groups: dict[str, list[Gpu]] = {}
    for gpu in machine.gpus:
        if gpu.index in indexes:
            continue
        if is_busy(gpu):
            text = _("in use by other processes ({used:,} of {total:,} MiB)")
            reason = text.format(used=gpu.total_mib - gpu.free_mib, total=gpu.total_mib)
        elif gpu.capability < capability:
            text = _("too old (compute capability {has}; {needs} is needed)")
            has, needs = (".".join(map(str, pair)) for pair in (gpu.capability, capability))
            reason = text.format(has=has, needs=needs)
        elif gpu.kind not in kinds:
            text = _("another kind ({name}, {total:,} MiB) than the chosen")
            reason = text.format(name=gpu.name, total=gpu.total_mib)
        else:
            reason = enough
        groups.setdefault(reason, []).append(gpu)
    return [IdleGpus(tuple(gpus), reason) for reason, gpus in groups.items()]


def cuda_environment(
    machine: Machine, chosen: Sequence[Gpu], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that show a process only the `chosen` GPUs; empty where it sees just
    those anyway.

    Numbers are nvidia-smi's, also to vLLM itself, and need CUDA_DEVICE_ORDER=PCI_BUS_ID: CUDA's own
    order puts the fastest GPU first. Names that a person gave in CUDA_VISIBLE_DEVICES are kept as
    they are; an order that a person set is changed only where the GPUs differ.
    """
    if not chosen:
        return {}
    names = [gpu.device or str(gpu.index) for gpu in chosen]
    variables = {} if tuple(chosen) == machine.gpus else {VISIBLE: ",".join(names)}
    is_mixed = machine.is_mixed or len({gpu.kind for gpu in machine.gpus}) > 1
    needs_order = is_mixed or (VISIBLE in variables and ORDER not in environ)
    if needs_order and any(name.isdecimal() for name in names) and environ.get(ORDER) != _PCI:
        variables[ORDER] = _PCI
    return variables


def order_note(variables: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """Return the note that `variables` of `cuda_environment` change the order that a person set;
    None where they do not."""
    if ORDER not in variables or ORDER not in environ:
        return None
    text = _("{name}={value} for vLLM, so that the numbers of the GPUs are nvidia-smi's.")
    return text.format(name=ORDER, value=variables[ORDER])
