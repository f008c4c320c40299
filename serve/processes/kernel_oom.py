"""What the kernel records when it kills a process because memory ran out.

Its log names the process; a control group counts its killed processes. Where neither can be read,
such as in a container without that right, nothing is known.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...engine.machine.cgroups import Group, groups_of

_KILLED = re.compile(
    r"(?P<group>Memory cgroup out of memory|Out of memory): Killed process (?P<pid>\d+)"
    r" \((?P<name>[^)]*)\)(?:.*?anon-rss:(?P<kib>\d+)kB)?"
)
_UNLIMITED = 1 << 60  # bytes; version 1 shows a number near 2**63 for no limit
_RECORD = 8192  # bytes of a record of /dev/kmsg at most


@dataclass(frozen=True, slots=True)
class OomKill:
    """A process that the kernel killed: its id and name, its memory in MiB (None where that is
    unknown), and whether the limit of a control group was the reason."""

    pid: int
    name: str
    mib: int | None
    is_group: bool


def parse_kmsg(records: Iterable[str], since: float) -> dict[int, OomKill]:
    """Return the killed processes in records of /dev/kmsg (``PRIORITY,NUMBER,MICROSECONDS,…;TEXT``)
    of the time from `since` on, in seconds of the monotonic clock."""
    kills = {}
    for record in records:
        head, _semicolon, text = record.partition(";")
        match = _KILLED.search(text)
        stamp = head.split(",")[2:3]
        if match is None or not stamp or not stamp[0].isdecimal() or int(stamp[0]) < since * 1e6:
            continue
        pid = int(match["pid"])
        mib = int(match["kib"]) // 1024 if match["kib"] else None
        kills[pid] = OomKill(pid, match["name"], mib, match["group"].startswith("Memory cgroup"))
    return kills


def kernel_log() -> list[str]:
    """Return the records of the kernel's log; empty where it can't be read."""
    records: list[str] = []
    try:
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return records
    try:
        while True:
            try:
                records.append(os.read(descriptor, _RECORD).decode("utf-8", "replace"))
            except BrokenPipeError:
                continue  # records were overwritten meanwhile
    except OSError:
        return records  # EAGAIN: that was the last one
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """The control group of a process, and those above it: the nearest first."""

    groups: tuple[Group, ...]

    @classmethod
    def of(cls, pid: int, root: Path = Path("/")) -> "MemoryGroup | None":
        """Return the group that accounts for the memory of `pid`; None where it is not visible.
        `root` is the folder that has ``proc`` and ``sys``, for tests."""
        groups = list(groups_of(pid, "memory", root))
        # Where both versions are mounted, memory is with one of them.
        for place, own in enumerate(groups):
            if (own.folder / _events(own)).is_file():
                return cls(tuple(each for each in groups[place:] if each.is_v2 == own.is_v2))
        return None

    def kills(self) -> int:
        """Return how many of its processes the kernel has killed so far; 0 where unknown."""
        file = self.groups[0].folder / _events(self.groups[0])
        with contextlib.suppress(OSError, ValueError):
            for line in file.read_text("ascii").splitlines():
                name, _blank, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
        return 0

    def limit_mib(self) -> int | None:
        """Return the lowest memory limit of the group and those above it; None for no limit."""
        limits = []
        for group in self.groups:
            name = "memory.max" if group.is_v2 else "memory.limit_in_bytes"
            with contextlib.suppress(OSError, ValueError):
                limits.append(int((group.folder / name).read_text("ascii")))
        lowest = min(limits, default=_UNLIMITED)
        return None if lowest >= _UNLIMITED else lowest >> 20


def _events(group: Group) -> str:
    """Return the name of the file that counts the killed processes."""
    return "memory.events" if group.is_v2 else "memory.oom_control"
