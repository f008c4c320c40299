"""Processes and their descendants: list, check and kill them.

psutil is imported by the functions that need it: `qchat --help` does without.
"""

import atexit
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from typing import NoReturn


def process_family(roots: Iterable[int]) -> list[int]:
    """Process ids of `roots`, whether they still run or not, and of all their descendants."""
    import psutil

    family = list(roots)
    children: dict[int, list[int]] = {}
    for pid in psutil.pids():
        parent = parent_pid(pid)
        if parent is not None:
            children.setdefault(parent, []).append(pid)
    for pid in family:
        family += [child for child in children.get(pid, ()) if child not in family]
    return family


def parent_pid(pid: int) -> int | None:
    """The id of the parent process, which changes when the parent exits; None where `pid` does not
    exist or its parent can't be read."""
    import psutil

    try:
        return int(psutil.Process(pid).ppid())
    except (psutil.Error, ValueError):
        return None


def alive(pids: Iterable[int]) -> list[int]:
    """Those of `pids` that are running; a zombie is not."""
    return [pid for pid in pids if _is_running(pid)]


def _is_running(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.AccessDenied:
        return True
    except (psutil.Error, ValueError):
        return False


def kill_processes(pids: Sequence[int], seconds: float = 3.0) -> list[int]:
    """SIGKILL those that are running, wait up to `seconds`, and return those that remain."""
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
