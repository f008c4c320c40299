"""NVIDIA's management library (NVML), through nvidia-ml-py."""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...i18n import _

_MIB = 1 << 20
_DEVICE = Path("/dev/nvidiactl")


class NoGpuError(Exception):
    """NVML is not usable. The text says why; it is empty if there is no GPU at all."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver's version and the CUDA version that it supports."""

    version: str
    cuda: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU or an instance of one (MIG). `number` is the GPU's in nvidia-smi. Memory is in MiB; it
    is None for a GPU that uses the machine's. `is_usable` is False for a GPU that is split into
    instances: CUDA shows those instead."""

    number: int
    uuid: str
    name: str
    total_mib: int | None
    free_mib: int | None
    capability: tuple[int, int]
    is_instance: bool = False
    is_usable: bool = True

    @property
    def cuda_name(self) -> str:
        """The name for CUDA_VISIBLE_DEVICES: not every vLLM reads the UUIDs of whole GPUs there."""
        return self.uuid if self.is_instance else str(self.number)

    def is_named(self, name: str) -> bool:
        """Return whether `name` in CUDA_VISIBLE_DEVICES may mean this device: of the instances of a
        GPU, a number means the first."""
        if name.isdecimal():
            return self.is_usable and int(name) == self.number
        return bool(name) and self.uuid.startswith(name)


@contextlib.contextmanager
def library() -> Iterator[Any]:
    """The initialized module `pynvml`. Raises `NoGpuError`, also for its errors within."""
    try:
        import pynvml
    except ImportError:
        if not has_device():
            raise NoGpuError from None
        text = _("There is an NVIDIA GPU; install nvidia-ml-py so that qchat can measure it.")
        raise NoGpuError(text) from None
    text = _("The NVIDIA driver does not answer: {why}.")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoGpuError(text.format(why=error) if has_device() else "") from error
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise NoGpuError(text.format(why=error)) from error
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def devices(nvml: Any) -> list[Device]:
    """All GPUs and instances, in nvidia-smi's order, of the initialized module `pynvml`."""
    result: list[Device] = []
    for number in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        instances = list(_instances(nvml, handle))
        whole = _device(nvml, handle, number, handle)
        result.append(replace(whole, is_usable=not instances))
        result += [
            replace(_device(nvml, instance, number, handle), is_instance=True)
            for instance in instances
        ]
    return result


def _device(nvml: Any, handle: Any, number: int, parent: Any) -> Device:
    """Describe the device; `parent` is the whole GPU, which has the compute capability."""
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(parent)
    total: int | None = None
    free: int | None = None
    # GB10 and Jetson have none: they share the machine's memory.
    with contextlib.suppress(nvml.NVMLError_NotSupported):
        info = nvml.nvmlDeviceGetMemoryInfo(handle)
        total, free = int(info.total) // _MIB, int(info.free) // _MIB
    return Device(
        number,
        decode(nvml.nvmlDeviceGetUUID(handle)),
        decode(nvml.nvmlDeviceGetName(handle)),
        total,
        free,
        (int(major), int(minor)),
    )


def _instances(nvml: Any, handle: Any) -> Iterator[Any]:
    """Yield the instances of a GPU in MIG mode."""
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if current else 0
    except nvml.NVMLError:  # it has no MIG
        return
    for index in range(count):
        with contextlib.suppress(nvml.NVMLError):  # there is no instance at this index
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)


def is_installed() -> bool:
    """Whether nvidia-ml-py is installed."""
    return importlib.util.find_spec("pynvml") is not None


def has_device() -> bool:
    """Whether the driver's device file exists: there is a usable GPU."""
    return _DEVICE.exists()


def driver() -> Driver:
    """The NVIDIA driver. Raises `NoGpuError`."""
    with library() as nvml:
        cuda = int(nvml.nvmlSystemGetCudaDriverVersion())
        return Driver(decode(nvml.nvmlSystemGetDriverVersion()), (cuda // 1000, cuda % 1000 // 10))


def memory_by_process() -> dict[int, int]:
    """MiB of each process on all GPUs together, by process id. Raises `NoGpuError`.

    In a container the driver may report ids of the host's process namespace.
    """
    memory_mib: dict[int, int] = {}
    with library() as nvml:
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                used = (
                    int(process.usedGpuMemory or 0) // _MIB
                )  # None: the driver does not report it
                memory_mib[int(process.pid)] = memory_mib.get(int(process.pid), 0) + used
    return memory_mib


def decode(value: str | bytes) -> str:
    """A text of the library, which older versions return as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
