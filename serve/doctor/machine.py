"""Checks of this machine: processor, memory, GPUs and their driver."""

import os
import platform
from collections.abc import Collection
from pathlib import Path

from ...engine.machine import nvml
from ...engine.machine.hardware import Machine
from ...i18n import _
from ...installation import pip_command
from .finding import Finding, Findings, ok, problem, warning

_CPUINFO = Path("/proc/cpuinfo")
_DRIVER = Path("/proc/driver/nvidia/gpus")
_LEAST_MIB = 2048  # vLLM's processes took 1,440 on the CPU with the smallest model


def check_machine(machine: Machine, cpu_build: bool) -> Findings:
    """Check system, cores, memory and processor. `cpu_build`: the installed vLLM is for CPUs."""
    system = platform.system()
    if system == "Linux":
        text = f"{system} {platform.release()}, {platform.machine()}"
        yield ok("system", text + _("."))
    else:
        text = _("vLLM runs on Linux; this is {system}: a server must run on another machine.")
        fix = "qchat tui --base-url http://HOST:8000/v1"
        yield warning("system", text.format(system=system), fix)
    if machine.cores < 2:
        text = _("Only one CPU core is available: vLLM's processes compete for it.")
        fix = _("Give it more; in a container: docker run --cpus 2.")
        yield warning("cores", text, fix, cores=machine.cores)
    else:
        yield ok(
            "cores", _("{n} CPU cores are available.").format(n=machine.cores), cores=machine.cores
        )
    yield from _memory(machine)
    yield _processor(cpu_build)


def _memory(machine: Machine) -> Findings:
    figures = {"free_mib": machine.free_mib, "total_mib": machine.memory_mib}
    if machine.free_mib >= _LEAST_MIB:
        text = _("{free:,} of {total:,} MiB of memory are free.")
        yield ok("memory", text.format(free=machine.free_mib, total=machine.memory_mib), **figures)
        return
    text = _(
        "Only {free:,} of {total:,} MiB of memory are free; vLLM needs {least:,} even with the "
        "smallest model."
    )
    yield warning(
        "memory",
        text.format(free=machine.free_mib, total=machine.memory_mib, least=_LEAST_MIB),
        "ps -eo pid,rss,args --sort=-rss | head",
        **figures,
    )


def _processor(cpu_build: bool) -> Finding:
    name = platform.machine()
    flags = processor_flags(_CPUINFO)
    if name != "x86_64" or not flags:
        return ok("processor", _("The processor is {name}.").format(name=name))
    supported = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    if "avx2" in flags:
        text = _("The processor supports the instructions that vLLM's CPU build needs ({flags}).")
        return ok("processor", text.format(flags=", ".join(supported)))
    text = _("This processor does not support AVX2, which vLLM's CPU build needs.")
    fix = _("Run models on a GPU, or on another machine.")
    return problem("processor", text, fix) if cpu_build else warning("processor", text, fix)


def processor_flags(cpuinfo: Path) -> frozenset[str]:
    """The flags of the first processor in /proc/cpuinfo; empty if there are none."""
    try:
        text = cpuinfo.read_text("utf-8", "replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def check_gpus(machine: Machine, ours: Collection[int]) -> Findings:
    """Check the GPUs, the driver and GPU memory of processes that are not `ours`, the process ids
    of qchat's servers."""
    if not machine.gpus:
        yield _no_gpu(machine)
        return
    for gpu in machine.gpus:
        text = _("{gpu}: {name}, {free:,} of {total:,} MiB free, compute capability {cap}.")
        yield ok(
            "gpu",
            text.format(
                gpu=gpu.label,
                name=gpu.name,
                free=gpu.free_mib,
                total=gpu.total_mib,
                cap=".".join(map(str, gpu.capability)),
            ),
            free_mib=gpu.free_mib,
            total_mib=gpu.total_mib,
        )
    try:
        driver, users = nvml.driver(), nvml.memory_by_process()
    except nvml.NoGpuError as error:
        yield problem("driver", str(error), "nvidia-smi")
        return
    text = _("The driver is {version} and supports CUDA up to {cuda}.")
    yield ok("driver", text.format(version=driver.version, cuda=".".join(map(str, driver.cuda))))
    others = {pid: mib for pid, mib in users.items() if pid not in ours}
    if others:
        text = _("Other processes use GPU memory: {list}.")
        usage = ", ".join(_("{pid} ({n:,} MiB)").format(pid=p, n=m) for p, m in others.items())
        yield warning("gpu_users", text.format(list=usage), "nvidia-smi", mib=sum(others.values()))


def _no_gpu(machine: Machine) -> Finding:
    if machine.gpu_note is not None:
        if not nvml.is_installed():
            return warning("gpu", machine.gpu_note, pip_command("install", "nvidia-ml-py"))
        return problem("gpu", machine.gpu_note, "nvidia-smi")
    if nvml.has_device():
        value = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        text = _("CUDA_VISIBLE_DEVICES is {value!r} and hides every GPU of this machine.")
        return warning("gpu", text.format(value=value), "unset CUDA_VISIBLE_DEVICES")
    if _DRIVER.is_dir() and any(_DRIVER.iterdir()):
        text = _("This machine has an NVIDIA GPU that this container has no access to.")
        return warning("gpu", text, "docker run --gpus all ...")
    return ok("gpu", _("There is no NVIDIA GPU here; models run on the CPU."))
