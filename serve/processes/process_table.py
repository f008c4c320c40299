"""All processes of this machine at one moment, for several questions about them (Linux's /proc)."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ENDED = ("Z", "X", "x")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    state: str
    variables: frozenset[bytes]  # those that were looked for, NAME=VALUE


class ProcessTable:
    """The processes, their parents, and which of some environment variables they have."""

    def __init__(self, variables: Iterable[str]) -> None:
        """Read all of /proc once, looking for `variables`, NAME=VALUE."""
        entries = {variable.encode() for variable in variables}
        self._processes: dict[int, _Process] = {}
        self._children: dict[int, list[int]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                process = _Process(int(stat[1]), stat[0], _variables(folder, entries))
                self._processes[int(folder.name)] = process
                self._children.setdefault(process.parent, []).append(int(folder.name))

    def __bool__(self) -> bool:
        """Return whether there is a /proc."""
        return bool(self._processes)

    def family(self, variables: Iterable[str], first: int | None = None) -> list[int]:
        """Return the live processes that have one of `variables`, or are `first`, with all of their
        descendants; this process is none of them."""
        entries = {variable.encode() for variable in variables}
        roots = {pid for pid, process in self._processes.items() if process.variables & entries}
        pending = list((roots | ({first} if first is not None else set())) - {os.getpid()})
        family: set[int] = set()
        while pending:
            pid = pending.pop()
            if pid not in family:
                family.add(pid)
                pending += self._children.get(pid, [])
        return sorted(pid for pid in family if self._runs(pid))

    def _runs(self, pid: int) -> bool:
        process = self._processes.get(pid)
        return process is not None and process.state not in _ENDED


def _variables(folder: Path, entries: set[bytes]) -> frozenset[bytes]:
    try:
        return frozenset(entries.intersection((folder / "environ").read_bytes().split(b"\0")))
    except OSError:  # another user's
        return frozenset()


def resident_mib(pids: Iterable[int]) -> int:
    """Return the MiB of all `pids` together from what the kernel keeps count of anyway: of the
    shared pages, only those of the largest. At once, and near to the exact figure."""
    private, shared = 0, 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()  # proc_pid_statm(5)
            private += int(pages[1]) - int(pages[2])
            shared = max(shared, int(pages[2]))
    return (private + shared) * _PAGE_KIB // 1024
