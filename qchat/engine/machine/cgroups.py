"""The control groups of a process and their limits: memory and CPU time, cgroup v1 and v2.

A limit may stand at the process's own group or at any group above it: Slurm limits a job, systemd a
slice, Docker a container. In a container the groups above its own are not visible, and it is the
root of what is mounted.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

_UNLIMITED = 1 << 60  # v1 writes the largest number of pages for no limit


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of memory that this process's groups may use, and how many of them are free; CPU cores
    by quota, which may be a fraction. None where there is no limit."""

    memory: int | None = None
    free: int | None = None
    cores: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group's folder; `is_v2` says which files it has."""

    folder: Path
    is_v2: bool


def read_limits(root: Path = Path("/")) -> Limits:
    """Read the limits of this process, the least of all its groups; never raises. `root` is the
    folder that has ``proc`` and ``sys``, for tests."""
    memory: list[int] = []
    free: list[int] = []
    cores: list[float] = []
    for group in groups_of("self", "memory", root):
        limit = _memory_limit(group)
        if limit is not None:
            memory.append(limit)
            free.append(max(0, limit - _memory_in_use(group)))
    for group in groups_of("self", "cpu", root):
        quota = _cpu_quota(group)
        if quota is not None:
            cores.append(quota)
    return Limits(min(memory, default=None), min(free, default=None), min(cores, default=None))


def groups_of(
    process: int | Literal["self"], controller: str, root: Path = Path("/")
) -> Iterator[Group]:
    """Yield a process's group for `controller` and those above it, as far as they are mounted
    here; of both versions where both are."""
    mounts = _mounts(root)
    for line in _lines(root / f"proc/{process}/cgroup"):
        number, _colon, rest = line.partition(":")
        controllers, _colon, path = rest.partition(":")
        is_v2 = number == "0" and not controllers
        if not is_v2 and controller not in controllers.split(","):
            continue
        for mount_root, mount_point, kind, options in mounts:
            is_mounted = kind == "cgroup2" if is_v2 else controller in options
            if is_mounted:
                yield from _with_parents(root, path, mount_root, mount_point, is_v2)
                break


def _with_parents(
    root: Path, path: str, mount_root: str, mount_point: str, is_v2: bool
) -> Iterator[Group]:
    top = root / mount_point.lstrip("/")
    inside = PurePosixPath(path)
    # A process in a namespace of its own sees ``/``, and groups outside of it as ``/..``.
    with contextlib.suppress(ValueError):
        inside = inside.relative_to(mount_root)
    parts = [part for part in inside.parts if part not in ("/", "..")]
    # A mount that does not have the path, as in a container of cgroup v1, shows the group itself.
    if not top.joinpath(*parts).is_dir():
        parts = []
    for depth in range(len(parts), -1, -1):
        yield Group(top.joinpath(*parts[:depth]), is_v2)


def _mounts(root: Path) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return the root, the mount point, the type and the options of each cgroup mount."""
    mounts = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, separator, after = line.partition(" - ")
        fields, types = before.split(), after.split()
        if separator and len(fields) > 4 and len(types) > 2 and types[0] in ("cgroup", "cgroup2"):
            place = fields[4].replace("\\040", " ")
            mounts.append((fields[3], place, types[0], tuple(types[2].split(","))))
    return mounts


def _memory_limit(group: Group) -> int | None:
    """Return the bytes that the group may use. Above ``memory.high`` the kernel slows a group down
    so much that nothing gets done, so it counts as a limit."""
    names = ("memory.max", "memory.high") if group.is_v2 else ("memory.limit_in_bytes",)
    values = [_number(group.folder / name) for name in names]
    return min((v for v in values if v is not None and v < _UNLIMITED), default=None)


def _memory_in_use(group: Group) -> int:
    """Return the bytes in use without the page cache that the kernel can drop."""
    usage = "memory.current" if group.is_v2 else "memory.usage_in_bytes"
    cache = "inactive_file" if group.is_v2 else "total_inactive_file"
    used = _number(group.folder / usage) or 0
    for line in _lines(group.folder / "memory.stat"):
        name, _space, value = line.partition(" ")
        if name == cache and value.isdecimal():
            used -= int(value)
    return max(0, used)


def _cpu_quota(group: Group) -> float | None:
    if group.is_v2:
        text = next(iter(_lines(group.folder / "cpu.max")), "")
        quota, _space, period = text.partition(" ")
    else:
        quota = next(iter(_lines(group.folder / "cpu.cfs_quota_us")), "")
        period = next(iter(_lines(group.folder / "cpu.cfs_period_us")), "")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _number(file: Path) -> int | None:
    text = next(iter(_lines(file)), "")
    return int(text) if text.isdecimal() else None


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return []
