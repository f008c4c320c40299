"""Findings of `qchat doctor` for tests, and a GPU where there is none."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace

from qchat.serve.doctor.finding import Finding, Level

from qchat.engine.machine.hardware import Gpu, Machine

HERE = Machine((), 24_000, 20_000, 2)
L4 = Gpu(0, "NVIDIA L4", 23_034, 22_000, (8, 9))


def by_check(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Of each check the worst finding."""
    worst: dict[str, Finding] = {}
    order = list(Level)
    for one in findings:
        if one.check not in worst or order.index(one.level) > order.index(worst[one.check].level):
            worst[one.check] = one
    return worst


def levels(findings: Iterable[Finding]) -> dict[str, str]:
    return {name: str(one.level) for name, one in by_check(findings).items()}


class FakeNvml:
    """As much of nvidia-ml-py as is asked for beside the GPUs themselves."""

    class NVMLError(Exception):
        pass

    def __getattr__(self, name: str) -> Callable[..., object]:
        used = [SimpleNamespace(pid=7, usedGpuMemory=300 << 20), SimpleNamespace(pid=8)]
        used[1].usedGpuMemory = None  # where the driver won't tell
        answers = {
            "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetComputeRunningProcesses": used,
            "nvmlSystemGetCudaDriverVersion": 12_040,
            "nvmlSystemGetDriverVersion": "550.54",
        }
        return lambda *_args: answers.get(name)
