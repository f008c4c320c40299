"""NVIDIA's management library, where nvidia-ml-py is installed and the driver answers."""

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
    """There is nothing to ask. The text says why; it is empty where there is simply no GPU."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver's version and the CUDA version that it can run."""

    version: str
    cuda: tuple[int, int]


@contextlib.contextmanager
def library() -> Iterator[Any]:
    """The module `pynvml`, ready to be asked. Raises `NoGpuError`, also for what fails within."""
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
    """Whether nvidia-ml-py is there."""
    return importlib.util.find_spec("pynvml") is not None


def has_device() -> bool:
    """Whether the driver has made its device here: there is a GPU that can be used."""
    return _DEVICE.exists()


def driver() -> Driver:
    """Raises `NoGpuError`."""
    with library() as nvml:
        cuda = int(nvml.nvmlSystemGetCudaDriverVersion())
        return Driver(text_of(nvml.nvmlSystemGetDriverVersion()), (cuda // 1000, cuda % 1000 // 10))


def memory_by_process() -> dict[int, int]:
    """MiB that each process has on all GPUs together, by process id. Raises `NoGpuError`.

    In a container the driver may name other ids than are known there.
    """
    found: dict[int, int] = {}
    with library() as nvml:
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            for one in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                used = int(one.usedGpuMemory or 0) // _MIB  # None where the driver won't tell
                found[int(one.pid)] = found.get(int(one.pid), 0) + used
    return found


def text_of(value: str | bytes) -> str:
    """What the library calls text: bytes in its older versions."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
