"""NVIDIA's management library (NVML), through nvidia-ml-py."""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..i18n import _

_MIB = 1 << 20
_DEVICE = Path("/dev/nvidiactl")


class NoGpuError(Exception):
    """NVML is not usable. The text says why; it is empty if there is no GPU at all."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver's version and the CUDA version that it supports."""

    version: str
    cuda: tuple[int, int]


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
