"""A process with all that it started: to see it and to end it."""

import atexit
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn


def process_family(roots: Iterable[int]) -> list[int]:
    """Process ids of `roots` and of everything below them; on systems without /proc the roots."""
    found = list(roots)
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        above = parent_pid(int(folder.name))
        if above is not None:
            children.setdefault(above, []).append(int(folder.name))
    for pid in found:
        found += [child for child in children.get(pid, ()) if child not in found]
    return found


def parent_pid(pid: int) -> int | None:
    """The process that `pid` belongs to now; None where it is gone, and without /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        # After the name, which may hold blanks and brackets: state, then the parent's id.
        return int(stat.rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def alive(pids: Iterable[int]) -> list[int]:
    """Those that still run; a zombie does not."""
    return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            return False
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def kill_processes(pids: Sequence[int], seconds: float = 3.0) -> list[int]:
    """Kill those that still run and wait up to `seconds`; gives back those that remain."""
    for pid in alive(pids):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while (left := alive(pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def exit_now(code: int) -> NoReturn:
    """Exit now. For a process that has vLLM in it: taking its modules apart costs seconds.

    What is registered to run at exit (multiprocessing's temporary folders among it) is run.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)


_SPARE_FILES = 128  # for everything else that a process has open


def raise_file_limit(wanted: int) -> int:
    """Make room for `wanted` connections; returns how many can be open at once, `wanted` at most.

    Many systems begin with 1,024 open files a process and allow far more on request.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + _SPARE_FILES:
        soft = wanted + _SPARE_FILES
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS: not beyond its own maximum
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - _SPARE_FILES))
