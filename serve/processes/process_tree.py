"""The processes of a server: find all of them, and end all of them.

They are identified by a mark in their environment, which every child inherits, even one that was
reparented. A process that writes its title over its environment, as vLLM's engine does, is
identified by its parent. Without /proc (macOS) the first process and its descendants are the tree.
"""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...lifeline import ENVIRONMENT
from ...processes import alive, kill_processes, parent_pid, process_family
from ...sanitize import one_line
from .argument_secrets import mask_secrets

MARK = "_QCHAT_SERVER"
NO_ENGINE_TIMEOUT = 2.0
"""Seconds that a server gets after its engines have ended: no answer can come any more, and vLLM
would keep connections open for as long as their clients wait."""

_QCHAT_VARIABLE = f"{ENVIRONMENT}=1"
_ENGINE_TITLE = "VLLM::"  # begins the title of vLLM's engine and workers
_VLLM_MODULES = ("vllm.entrypoints.", "qchat.serve.launcher")
_REAPERS = ("systemd", "init", "tini", "dumb-init", "docker-init", "catatonit", "conmon")


def members(first: int | None, mark: str) -> list[int]:
    """Return the live processes of the server with `mark`; `first` is its first process."""
    roots = _with_variables([f"{MARK}={mark}"]) | ({first} if first is not None else set())
    return alive(sorted(process_family(roots)))


def _with_variables(variables: Iterable[str]) -> set[int]:
    """Return the other processes with one of `variables`, NAME=VALUE, in their environment."""
    entries = {variable.encode() for variable in variables}
    pids = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if entries & set(path.read_bytes().split(b"\0")):
                pids.add(int(path.parent.name))
    return pids - {os.getpid()}


def stop(
    first: int | None, mark: str, timeout: float, hurry: Callable[[], bool] = lambda: False
) -> list[int]:
    """Send SIGTERM to `first`, wait up to `timeout` seconds, then kill all; return the process ids
    that still run.

    `hurry` is called meanwhile: True ends the wait. When the engines end, the wait ends within
    `NO_ENGINE_TIMEOUT`.
    """
    first = _if_alive(first)
    everyone = members(first, mark)
    if first is not None:
        engines = [
            pid for pid in everyone if _program(process_arguments(pid)).startswith(_ENGINE_TITLE)
        ]
        with contextlib.suppress(OSError):
            os.kill(first, signal.SIGTERM)
        # A stopped process takes no signal but SIGKILL, and vLLM would wait for a stopped engine.
        deadline = time.monotonic() + (0.0 if stopped(everyone) else timeout)
        while alive([first]) and time.monotonic() < deadline and not hurry():
            if engines and not alive(engines):
                engines, deadline = [], min(deadline, time.monotonic() + NO_ENGINE_TIMEOUT)
            time.sleep(0.02)
    first = _if_alive(first)
    left = members(first, mark)
    # Python's resource trackers remove shared memory when the others have ended, and then exit.
    trackers = [pid for pid in left if "resource_tracker" in " ".join(process_arguments(pid))]
    kill_processes([pid for pid in left if pid not in trackers])
    # A process that is exiting has no environment left, so `members` does not see it.
    deadline = time.monotonic() + 2.0
    while alive({*trackers, *everyone}) and time.monotonic() < deadline:
        time.sleep(0.02)
    return kill_processes(members(first, mark))


def _if_alive(pid: int | None) -> int | None:
    """Return None once the process has ended: after it was waited for, its id may be reused."""
    return pid if pid is not None and alive([pid]) else None


def stopped(pids: Iterable[int]) -> list[int]:
    """Return the processes that a signal such as SIGSTOP has stopped: they take no other signal
    than SIGKILL and SIGCONT."""
    return [pid for pid in pids if _state(pid) == "T"]


def _state(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]  # the third field of proc_pid_stat(5)


def memory_mib(pids: Iterable[int]) -> int:
    """Return the MiB of all `pids` together, shared pages counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total // 1024


def foreign(marks: Iterable[str]) -> list[tuple[int, str]]:
    """Return the vLLM processes that qchat did not start, and that belong to none of the servers
    with `marks`: process ids and command lines as of `command`."""
    ours = set(
        process_family(_with_variables([f"{MARK}={mark}" for mark in marks] + [_QCHAT_VARIABLE]))
    )
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        pid = int(path.parent.name)
        if pid not in ours and is_vllm(process_arguments(pid)):
            processes.append((pid, command(pid)))
    return sorted(processes)


def is_orphan(pid: int) -> bool:
    """Return whether an engine or worker of vLLM has lost the process that started it: its parent
    is one that adopts orphans, and not a container's first process that starts engines."""
    parent = parent_pid(pid)
    if parent is None or not _program(process_arguments(pid)).startswith(_ENGINE_TITLE):
        return False
    parent_arguments = process_arguments(parent)
    name = _program(parent_arguments)
    if is_vllm(parent_arguments) or name.startswith("python"):
        return False
    return parent == 1 or name in _REAPERS


def command(pid: int) -> str:
    """Return the command line of a process on one line, safe for a terminal, with keys masked; ""
    where it can't be read."""
    return one_line(" ".join(mask_secrets(process_arguments(pid)))).strip()


def is_vllm(arguments: list[str]) -> bool:
    """Return whether a command line is one of vLLM's: an engine, ``vllm serve``, or ``python -m``
    with a server module."""
    if _program(arguments).startswith("python"):
        arguments = arguments[1:]
        if any(
            option == "-m" and module.startswith(_VLLM_MODULES)
            for option, module in itertools.pairwise(arguments)
        ):
            return True
    return _program(arguments).startswith(_ENGINE_TITLE) or (
        _program(arguments) == "vllm" and arguments[1:2] == ["serve"]
    )


def _program(arguments: Sequence[str]) -> str:
    return arguments[0].rpartition("/")[2] if arguments else ""


def process_arguments(pid: int) -> list[str]:
    """Return the command line of a process; empty where it can't be read."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return data.rstrip(b"\0").decode("utf-8", "replace").split("\0") if data else []
