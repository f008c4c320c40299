"""The hardware of this machine as a typed value: GPUs, memory and CPU cores.

GPUs are read through NVML if nvidia-ml-py is installed; memory respects a container's limit.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..i18n import _
from . import nvml

_MIB = 1 << 20
_CGROUP = Path("/sys/fs/cgroup")
_MIG = "MIG-"  # prefix of a MIG device's UUID


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU: its CUDA `index`, memory in MiB and compute capability."""

    index: int
    name: str
    total_mib: int
    free_mib: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Machine:
    """What a model can run on. `gpu_note` says why no GPU is listed if there may be one."""

    gpus: tuple[Gpu, ...]
    memory_mib: int
    free_mib: int
    cores: int
    gpu_note: str | None = None

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
    gpus, note = _gpus(environ)
    total, free = memory()
    return Machine(gpus, total, free, len(_cores()), note)


def memory() -> tuple[int, int]:
    """Total MiB that this process may use, and MiB that are available now without swapping."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    free = total // 2  # a guess for systems without /proc/meminfo
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, _colon, value = line.partition(":")
            if name == "MemAvailable":
                free = int(value.split()[0]) // 1024
    limit, used = _container()
    if limit is not None and limit < total:
        return limit, min(free, max(0, limit - used))
    return total, free


def _container() -> tuple[int | None, int]:
    """The memory limit of this cgroup (v2) and its current usage, in MiB."""
    with contextlib.suppress(OSError, ValueError):
        limit = (_CGROUP / "memory.max").read_text("ascii").strip()
        if limit != "max":
            used = int((_CGROUP / "memory.current").read_text("ascii"))
            for line in (_CGROUP / "memory.stat").read_text("ascii").splitlines():
                if line.startswith("inactive_file "):  # reclaimable page cache
                    used -= int(line.split()[1])
            return int(limit) // _MIB, max(0, used) // _MIB
    return None, 0


def _cores() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _gpus(environ: Mapping[str, str]) -> tuple[tuple[Gpu, ...], str | None]:
    try:
        with nvml.library() as library:
            return _visible(library, environ), None
    except nvml.NoGpuError as error:
        return (), str(error) or None


def _visible(library: Any, environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    visible_devices = environ.get("CUDA_VISIBLE_DEVICES")
    if visible_devices is not None and visible_devices.strip().startswith(_MIG):
        text = _("CUDA_VISIBLE_DEVICES is {name}, a MIG device, whose memory can't be measured.")
        raise nvml.NoGpuError(text.format(name=visible_devices.strip()))
    handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
    ids = [nvml.decode(library.nvmlDeviceGetUUID(handle)) for handle in handles]
    return tuple(
        _gpu(library, handles[at], index)
        for index, at in enumerate(visible_gpus(visible_devices, ids))
    )


def visible_gpus(visible_devices: str | None, ids: Sequence[str]) -> list[int]:
    """Indexes into `ids` (UUIDs) of the GPUs that CUDA_VISIBLE_DEVICES selects.

    As CUDA parses it: indexes or prefixes of UUIDs; the list ends at the first invalid one.
    """
    if visible_devices is None:
        return list(range(len(ids)))
    indexes: list[int] = []
    for item in visible_devices.split(","):
        name = item.strip()
        if name.isdecimal():
            index = int(name) if int(name) < len(ids) else None
        else:
            index = next((i for i, uuid in enumerate(ids) if name and uuid.startswith(name)), None)
        if index is None:
            break
        indexes.append(index)
    return indexes


def _gpu(library: Any, handle: Any, index: int) -> Gpu:
    memory_info = library.nvmlDeviceGetMemoryInfo(handle)
    major, minor = library.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index,
        nvml.decode(library.nvmlDeviceGetName(handle)),
        int(memory_info.total) // _MIB,
        int(memory_info.free) // _MIB,
        (int(major), int(minor)),
    )
