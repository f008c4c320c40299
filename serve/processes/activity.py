"""How much processor time processes have used, and those of them that compile."""

from collections.abc import Iterable
from pathlib import Path

from .process_tree import process_arguments

_TICKS_PER_S = 100  # of /proc/PID/stat, on every Linux machine (USER_HZ)
_COMPILERS = frozenset(
    {
        *("nvcc", "cicc", "ptxas", "cudafe++", "fatbinary", "nvlink", "ninja"),
        *("cc", "c++", "gcc", "g++", "cc1", "cc1plus", "clang", "clang++", "ld", "as", "hipcc"),
    }
)
_COMPILE_WORKER = "torch/_inductor/compile_worker"


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that the processes have used so far, in seconds."""
    return sum(_ticks(stat) for pid in pids if (stat := _stat(pid))) / _TICKS_PER_S


def compiler_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of those processes that compile code for the model: compilers,
    and PyTorch's compile workers."""
    return cpu_seconds(pid for pid in pids if _compiles(pid))


def _compiles(pid: int) -> bool:
    arguments = process_arguments(pid)
    if not arguments:
        return False
    name = arguments[0].rpartition("/")[2]
    return name in _COMPILERS or any(_COMPILE_WORKER in argument for argument in arguments)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty where it can't be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _ticks(stat: list[str]) -> int:
    return int(stat[11]) + int(stat[12])  # utime and stime of proc_pid_stat(5)
