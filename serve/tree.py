"""A server with every process of it: to find them all, and to end them all.

They are known by a mark in their environment, which goes to every child, whoever its parent is by
now. A process that writes its title over its environment, as vLLM's engine does, is known by its
parent. Without /proc (macOS) the family of the first process stands for it.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..processes import end, family, parent, running

MARK = "_QCHAT_SERVER"
_STARTERS = (b"vllm", b"python", b"ray")
_OTHERS = (b"vllm.entrypoints", b"VLLM::", b"vllm serve", b"qchat.serve.launcher")


def members(first: int | None, mark: str) -> list[int]:
    """Processes of the server with `mark`, whose first process is `first`."""
    roots = _marked([mark]) | ({first} if first is not None else set())
    return running(sorted(family(roots)))


def _marked(marks: Iterable[str]) -> set[int]:
    """Processes with one of `marks` in their environment, without this one."""
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted & set(path.read_bytes().split(b"\0")):
                found.add(int(path.parent.name))
    return found - {os.getpid()}


def stop(
    first: int | None, mark: str, seconds: float, hurry: Callable[[], bool] = lambda: False
) -> list[int]:
    """SIGTERM, up to `seconds` for a decent end, then SIGKILL; gives back what still runs.

    `hurry` is asked meanwhile: True ends the patience.
    """
    if first is not None and running([first]):
        with contextlib.suppress(OSError):
            os.kill(first, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while running([first]) and time.monotonic() < deadline and not hurry():
            time.sleep(0.02)
    left = members(first, mark)
    # Python's resource trackers remove shared memory when the others are gone; they end by
    # themselves.
    trackers = [pid for pid in left if b"resource_tracker" in _command(pid)]
    end([pid for pid in left if pid not in trackers])
    deadline = time.monotonic() + 2.0
    while running(trackers) and time.monotonic() < deadline:
        time.sleep(0.02)
    return end(members(first, mark))


def memory_mib(pids: Iterable[int]) -> int:
    """MiB that processes take together, shared pages counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total // 1024


def foreign(marks: Iterable[str]) -> list[tuple[int, str]]:
    """vLLM processes that belong to none of the servers with `marks`: id and command line."""
    ours = set(family(_marked(marks)))
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        pid = int(path.parent.name)
        command = _command(pid)
        if pid not in ours and any(sign in command for sign in _OTHERS):
            found.append((pid, command.decode("utf-8", "replace").strip()))
    return sorted(found)


def is_orphan(pid: int) -> bool:
    """Whether an engine or a worker of vLLM has lost the process that started it: its parent is
    by now one that takes in any orphan, and none that starts engines."""
    above = parent(pid)
    if above is None or not _command(pid).startswith(b"VLLM::"):
        return False
    command = _command(above).lower()
    return not any(sign in command for sign in _STARTERS)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""
