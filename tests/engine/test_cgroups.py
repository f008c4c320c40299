"""Limits of control groups, read from made-up /proc and /sys."""

from pathlib import Path

import pytest

from qchat.engine.machine.cgroups import Limits, read_limits

MIB = 1 << 20
NO_LIMIT = "9223372036854771712"  # what v1 writes


class Tree:
    """A machine's files."""

    def __init__(self, root: Path, cgroup: str, mounts: str) -> None:
        self._root = root
        self._write("proc/self/cgroup", cgroup)
        self._write("proc/self/mountinfo", mounts)

    def _write(self, name: str, text: str) -> None:
        file = self._root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def group(self, path: str, **files: object) -> None:
        """A group's folder with its files; ``__`` in a name stands for a dot."""
        for name, value in files.items():
            self._write(f"sys/fs/cgroup/{path}/{name.replace('__', '.')}", f"{value}\n")

    def limits(self) -> Limits:
        return read_limits(self._root)


V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def v2(tmp_path: Path, path: str, mounts: str = V2_MOUNT) -> Tree:
    return Tree(tmp_path, f"0::{path}\n", mounts)


def v1(tmp_path: Path, path: str, root: str = "/") -> Tree:
    mounts = "".join(
        f"3{n} 31 0:3{n} {root} /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{name}\n"
        for n, name in enumerate(("memory", "cpu,cpuacct", "pids"))
    )
    groups = f"9:pids:{path}\n4:memory:{path}\n3:cpu,cpuacct:{path}\n1:name=systemd:/x\n0::/x\n"
    return Tree(tmp_path, groups, mounts)


def test_a_systemd_slice_limits_the_services_in_it(tmp_path: Path) -> None:
    tree = v2(tmp_path, "/models.slice/vllm.service")
    tree.group("models.slice/vllm.service", memory__max="max", cpu__max="max 100000")
    tree.group(
        "models.slice",
        memory__max=4096 * MIB,
        memory__current=1000 * MIB,
        memory__stat=f"anon 1\ninactive_file {200 * MIB}",
        cpu__max="250000 100000",
    )
    assert tree.limits() == Limits(4096 * MIB, 3296 * MIB, 2.5)


def test_the_least_of_all_groups_counts(tmp_path: Path) -> None:
    """The job may use 8 GiB and has used 7; the step in it may use 4 and has used 1."""
    tree = v2(tmp_path, "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0")
    job = "system.slice/slurmstepd.scope/job_7"
    tree.group(f"{job}/step_0/user/task_0", memory__max="max")
    tree.group(f"{job}/step_0", memory__max=4096 * MIB, memory__current=1024 * MIB)
    tree.group(job, memory__max=8192 * MIB, memory__current=7168 * MIB)
    assert tree.limits() == Limits(4096 * MIB, 1024 * MIB)


def test_a_soft_limit_counts(tmp_path: Path) -> None:
    tree = v2(tmp_path, "/user.slice")
    tree.group("user.slice", memory__max=4096 * MIB, memory__high=2048 * MIB, memory__current=0)
    assert tree.limits().memory == 2048 * MIB


def test_slurm_with_cgroup_v1(tmp_path: Path) -> None:
    tree = v1(tmp_path, "/slurm/uid_1000/job_7/step_0/task_0")
    job = "slurm/uid_1000/job_7"
    tree.group(f"memory/{job}/step_0/task_0", memory__limit_in_bytes=NO_LIMIT)
    tree.group(
        f"memory/{job}",
        memory__limit_in_bytes=2048 * MIB,
        memory__usage_in_bytes=512 * MIB,
        memory__stat=f"inactive_file 5\ntotal_inactive_file {256 * MIB}",
    )
    tree.group("memory", memory__limit_in_bytes=NO_LIMIT)
    tree.group(f"cpu,cpuacct/{job}", cpu__cfs_quota_us=400_000, cpu__cfs_period_us=100_000)
    tree.group(f"cpu,cpuacct/{job}/step_0/task_0", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    assert tree.limits() == Limits(2048 * MIB, 1792 * MIB, 4.0)


@pytest.mark.parametrize("root", ["/docker/abc", "/"])
def test_a_container_of_v1_sees_its_group_as_the_root(tmp_path: Path, root: str) -> None:
    """With the host's path in /proc/self/cgroup, whether or not the mount says so."""
    tree = v1(tmp_path, "/docker/abc", root)
    tree.group("memory", memory__limit_in_bytes=1024 * MIB, memory__usage_in_bytes=24 * MIB)
    assert tree.limits() == Limits(1024 * MIB, 1000 * MIB)


def test_a_container_of_v2_has_a_namespace(tmp_path: Path) -> None:
    tree = v2(tmp_path, "/")
    tree.group("", memory__max=1024 * MIB, memory__current=24 * MIB, cpu__max="150000 100000")
    assert tree.limits() == Limits(1024 * MIB, 1000 * MIB, 1.5)


def test_both_versions_at_once(tmp_path: Path) -> None:
    """The hybrid layout: memory is v1's, and v2 has a tree without it."""
    tree = v1(tmp_path, "/job")
    tree.group("memory/job", memory__limit_in_bytes=1024 * MIB, memory__usage_in_bytes=0)
    assert tree.limits() == Limits(1024 * MIB, 1024 * MIB)


@pytest.mark.parametrize(
    ("cgroup", "mounts"),
    [
        ("", ""),
        ("nonsense\n\x00", "a b c - d\n"),
        ("0::/x\n", V2_MOUNT),
        ("0::/../../x\n", V2_MOUNT),
    ],
)
def test_without_limits(tmp_path: Path, cgroup: str, mounts: str) -> None:
    assert Tree(tmp_path, cgroup, mounts).limits() == Limits()


def test_unreadable_numbers_are_no_limit(tmp_path: Path) -> None:
    tree = v2(tmp_path, "/a")
    tree.group("a", memory__max="many", cpu__max="many 0")
    assert tree.limits() == Limits()


def test_a_group_over_its_limit_has_nothing_free(tmp_path: Path) -> None:
    tree = v2(tmp_path, "/a")
    tree.group("a", memory__max=100 * MIB, memory__current=101 * MIB)
    assert tree.limits() == Limits(100 * MIB, 0)
