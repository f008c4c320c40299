"""The hardware of this machine as a typed value: GPUs, memory and CPU cores.

GPUs are read through NVML if nvidia-ml-py is installed; memory and cores respect the limits of a
container, a Slurm job or a systemd slice.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...i18n import _
from . import cgroups, nvml

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or an instance of one (MIG).

    `index` is CUDA's, among those that this process sees; memory is in MiB. `number` is the GPU's
    in nvidia-smi, None where it is unknown; `device` is its name for CUDA_VISIBLE_DEVICES: as the
    person wrote it there, else the number, or the UUID of an instance.
    """

    index: int
    name: str
    total_mib: int
    free_mib: int
    capability: tuple[int, int]
    number: int | None = None
    device: str = ""
    is_instance: bool = False

    @property
    def label(self) -> str:
        """``GPU 1``, by its number in nvidia-smi, or ``MIG-…``."""
        if self.is_instance:
            return self.device or self.name
        return _("GPU {n}").format(n=self.index if self.number is None else self.number)

    @property
    def kind(self) -> tuple[str, int, tuple[int, int]]:
        """What GPUs of one kind have in common."""
        return self.name, self.total_mib, self.capability


@dataclass(frozen=True, slots=True)
class Machine:
    """What a model can run on. `gpu_note` says why no GPU is listed if there may be one; `is_mixed`
    that the machine has GPUs of several kinds, whether they are listed or not."""

    gpus: tuple[Gpu, ...]
    memory_mib: int
    free_mib: int
    cores: int
    gpu_note: str | None = None
    is_mixed: bool = False

    @property
    def description(self) -> str:
        """``2 × NVIDIA L4 (23,034 MiB each)`` or ``2 cores, 23,000 of 24,105 MiB free``."""
        if self.gpus:
            text = _("{n} × {name} ({total:,} MiB, {free:,} free)")
            groups: dict[tuple[str, int], list[Gpu]] = {}
            for gpu in self.gpus:
                groups.setdefault((gpu.name, gpu.total_mib), []).append(gpu)
            return ", ".join(
                text.format(
                    n=len(group), name=name, total=total, free=min(g.free_mib for g in group)
                )
                for (name, total), group in groups.items()
            )
        text = _("{cores} CPU cores, {free:,} of {total:,} MiB of memory free")
        return text.format(cores=self.cores, free=self.free_mib, total=self.memory_mib)

    def at_rest(self) -> "Machine":
        """The same machine without other processes: all of its memory is free."""
        gpus = tuple(replace(gpu, free_mib=gpu.total_mib) for gpu in self.gpus)
        return replace(self, gpus=gpus, free_mib=self.memory_mib)


def detect(environ: Mapping[str, str] = os.environ) -> Machine:
    """Detect the hardware. Never raises: what can't be read is left out and noted."""
    total, free = memory()
    try:
        with nvml.library() as library:
            devices = nvml.devices(library)
    except nvml.NoGpuError as error:
        return Machine((), total, free, cores(), str(error) or None)
    kinds = {(one.name, one.total_mib) for one in devices if not one.is_instance}
    gpus = _visible(devices, environ, total, free)
    return Machine(gpus, total, free, cores(), is_mixed=len(kinds) > 1)


def memory() -> tuple[int, int]:
    """Total MiB that this process may use, and MiB that are available now without swapping."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    free = total // 2  # a guess for systems without /proc/meminfo
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, _colon, value = line.partition(":")
            if name == "MemAvailable":
                free = int(value.split()[0]) // 1024
    limits = cgroups.read_limits()
    if limits.memory is not None:
        total = min(total, limits.memory // _MIB)
    if limits.free is not None:
        free = min(free, limits.free // _MIB)
    return total, free


def cores() -> int:
    """The CPU cores that this process may use: by its affinity, and by the quota of its groups."""
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    quota = cgroups.read_limits().cores
    return number if quota is None else max(1, min(number, int(quota)))


def _visible(
    devices: Sequence[nvml.Device], environ: Mapping[str, str], total: int, free: int
) -> tuple[Gpu, ...]:
    """The GPUs that CUDA shows a process. A GPU that is split into instances shows only those."""
    visible_devices = environ.get("CUDA_VISIBLE_DEVICES")
    names = [] if visible_devices is None else [n.strip() for n in visible_devices.split(",")]
    places = visible_gpus(visible_devices, devices)
    if visible_devices is None:
        places = [n for n in places if devices[n].is_usable]
    return tuple(
        Gpu(
            index,
            device.name,
            # A GPU without memory of its own shares the machine's.
            total if device.total_mib is None else device.total_mib,
            free if device.free_mib is None else device.free_mib,
            device.capability,
            device.number,
            _name(device, names[index]) if names else device.cuda_name,
            device.is_instance,
        )
        for index, device in enumerate(devices[place] for place in places)
    )


def _name(device: nvml.Device, given: str) -> str:
    """Return the name of a device for CUDA_VISIBLE_DEVICES where a person `given` one: a number
    stands for an instance only in the list that they wrote."""
    return device.cuda_name if device.is_instance and given.isdecimal() else given


def visible_gpus(visible_devices: str | None, devices: Sequence[nvml.Device]) -> list[int]:
    """Indexes into `devices` of the GPUs that CUDA_VISIBLE_DEVICES selects.

    As CUDA parses it: numbers or prefixes of UUIDs; the list ends at the first invalid one. The
    number of a GPU that is split means its first instance.
    """
    if visible_devices is None:
        return list(range(len(devices)))
    indexes: list[int] = []
    for item in visible_devices.split(","):
        name = item.strip()
        index = next((i for i, device in enumerate(devices) if device.is_named(name)), None)
        if index is None or index in indexes:
            break
        indexes.append(index)
    return indexes
