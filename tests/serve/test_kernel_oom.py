"""What the kernel records of memory that ran out, read from made-up /proc and /sys."""

from pathlib import Path

import pytest
from qchat.serve.processes.kernel_oom import MemoryGroup, OomKill, parse_kmsg

PID = 7
V1_MOUNT = "31 30 0:31 {root} {place} rw - cgroup cgroup rw,memory\n"
V2_MOUNT = "30 23 0:26 / {place} rw - cgroup2 cgroup2 rw\n"


def tree(root: Path, cgroup: str, mounts: str, **files: str) -> MemoryGroup | None:
    """The group of process `PID` in a tree of `files`: ``__`` in a name stands for a slash."""
    files = {f"proc__{PID}__cgroup": cgroup, "proc__self__mountinfo": mounts} | files
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("memory_", "memory.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return MemoryGroup.of(PID, root)


@pytest.mark.parametrize("mount_root", ["/docker/abc", "/"])
@pytest.mark.parametrize("place", ["/sys/fs/cgroup/memory", "/cgroups/mem"])
def test_a_container_of_v1_sees_its_group_as_the_root(
    tmp_path: Path, mount_root: str, place: str
) -> None:
    """/proc has the host's path; the folder of it is not there."""
    base = place.strip("/").replace("/", "__")
    group = tree(
        tmp_path,
        "9:pids:/docker/abc\n4:memory:/docker/abc\n",
        V1_MOUNT.format(root=mount_root, place=place),
        **{
            f"{base}__memory_oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            f"{base}__memory_limit_in_bytes": f"{512 << 20}\n",
        },
    )
    assert group is not None and (group.kills(), group.limit_mib()) == (3, 512)


def test_both_versions_at_once(tmp_path: Path) -> None:
    """The hybrid layout: memory is v1's, and v2 has a tree without it."""
    mounts = V2_MOUNT.format(place="/sys/fs/cgroup/unified")
    mounts += V1_MOUNT.format(root="/", place="/sys/fs/cgroup/memory")
    group = tree(
        tmp_path,
        "0::/job\n4:memory:/job\n",
        mounts,
        sys__fs__cgroup__unified__job__x="",
        sys__fs__cgroup__memory__job__memory_oom_control="oom_kill 1\n",
        sys__fs__cgroup__memory__memory_limit_in_bytes="9223372036854771712\n",
    )
    assert group is not None and (group.kills(), group.limit_mib()) == (1, None)


def test_the_lowest_limit_of_a_v2_group_and_those_above_it(tmp_path: Path) -> None:
    base = "sys__fs__cgroup__models.slice"
    group = tree(
        tmp_path,
        "0::/models.slice/vllm.service/x\n",
        V2_MOUNT.format(place="/sys/fs/cgroup"),
        **{
            f"{base}__vllm.service__x__y": "",  # without the controller
            f"{base}__vllm.service__memory_events": "oom 5\noom_kill 2\n",
            f"{base}__vllm.service__memory_max": "max\n",
            f"{base}__memory_max": f"{256 << 20}\n",
        },
    )
    assert group is not None and (group.kills(), group.limit_mib()) == (2, 256)


def test_where_nothing_is_visible(tmp_path: Path) -> None:
    assert tree(tmp_path, "0::/x\n", "") is None
    assert MemoryGroup.of(PID, tmp_path / "none") is None


def test_the_kernels_log() -> None:
    text = "Out of memory: Killed process 9 (VLLM::EngineCor) total-vm:9kB, anon-rss:2048kB"
    records = [f"6,1,{1_000_000 * second},-;{text}" for second in (1, 5)]
    assert parse_kmsg(records[:1], since=2.0) == {}
    expected = OomKill(9, "VLLM::EngineCor", 2, is_group=False)
    assert parse_kmsg(["3,1,x,-;none", *records], since=2.0) == {9: expected}
