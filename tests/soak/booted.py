"""A systemd that runs as PID 1 of namespaces of its own, for tests as root.

It sees a copy of this machine's files (an overlay, so that nothing is written to them), starts the
units that it is given and nothing else, and shares the network.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

SYSTEMD = Path("/lib/systemd/systemd")
_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")

# $1 is the folder of the overlay, with the units in it; the other arguments are folders that may be
# of another file system than /, to be read there.
_BOOT = r"""
set -eu
state=$1 root=$1/root
shift
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$state/upper,workdir=$state/work" "$root"
for folder; do
    mkdir -p "$root$folder"
    above=$(dirname "$folder")
    while [ "$above" != / ]; do
        chmod a+x "$root$above"  # as where every user may run Python
        above=$(dirname "$above")
    done
done
for folder; do
    mount --bind "$folder" "$root$folder"
    mount -o remount,ro,bind "$root$folder"
done
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys" || mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/lock" "$root/run/old"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
for device in null zero full random urandom tty; do cp -a "/dev/$device" "$root/dev/"; done
cp -a "$root/dev/null" "$root/dev/console"  # systemd sets its mode: not that of a mounted one
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/systemd/system/*.requires
# The kernel is this machine's, and /tmp is not to be emptied.
for unit in sysctl modules-load binfmt tmpfiles-setup tmpfiles-setup-dev random-seed logind; do
    ln -sf /dev/null "$root/etc/systemd/system/systemd-$unit.service"
done
ln -sf /dev/null "$root/etc/systemd/system/console-getty.service"
ln -sf /dev/null "$root/etc/systemd/system/timers.target"
cp "$state"/units/* "$root/etc/systemd/system/"
for unit in "$state"/units/*; do
    systemctl --root "$root" --quiet enable "$(basename "$unit")"
done
cd "$root"
pivot_root . run/old
umount -l /run/old
export container=other
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no
"""


class Booted:
    """A machine that has booted with these units; `folder` keeps its disk from boot to boot."""

    def __init__(self, folder: Path, units: Sequence[Path], folders: Sequence[Path]) -> None:
        for name in ("upper", "work", "root", "units"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for unit in units:
            shutil.copy(unit, folder / "units")
        self._cgroup = _own_cgroup() / f"qchat-boot-{os.getpid()}"
        self._cgroup.mkdir(exist_ok=True)
        command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(self._cgroup)]
        command += ["unshare", *_NAMESPACES, "--fork", "--kill-child", "sh", "-c", _BOOT, "boot"]
        self._process = subprocess.Popen([*command, str(folder), *map(str, folders)])
        deadline = time.monotonic() + 30
        while not self.run("systemctl", "is-system-running").stdout.strip():
            assert self._process.poll() is None and time.monotonic() < deadline, "no systemd"
            time.sleep(0.2)

    @property
    def pid(self) -> int | None:
        """Its first process, as this machine counts them; None before it has booted."""
        first = psutil.Process(self._process.pid).children()
        return first[0].pid if first and first[0].name() == "systemd" else None

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on that machine."""
        if (pid := self.pid) is None:
            return subprocess.CompletedProcess(command, 1, "", "it has not booted")
        enter = ["nsenter", "-t", str(pid), "-m", "-p", "-u", "-i", "-C"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=60)

    def property(self, unit: str, name: str) -> str:
        """A property of a unit, as ``systemctl show`` gives it."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def cut_power(self) -> None:
        """End everything that runs there, at once."""
        first = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        psutil.wait_procs(first, timeout=10)
        for path, _folders, _files in os.walk(self._cgroup, topdown=False):
            Path(path).rmdir()


def _own_cgroup() -> Path:
    """The folder of this process's control group, in the unified hierarchy."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    roots = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    groups = Path("/proc/self/cgroup").read_text().splitlines()
    own = [line.removeprefix("0::/") for line in groups if line.startswith("0::/")]
    if not roots or not own:
        pytest.skip("there are no control groups of version 2")
    return Path(roots[0]) / own[0]


def require_boot(folders: Sequence[Path]) -> None:
    """Skip the test where no systemd can be booted, or hides one of the folders from its units."""
    if os.geteuid() != 0 or not SYSTEMD.exists():
        pytest.skip("systemd is not installed, or this is not root")
    hidden = ("/tmp", "/var/tmp", "/run")
    if any(folder.is_relative_to(one) for folder in folders for one in hidden):
        pytest.skip("the unit has a /tmp of its own, and qchat or Python is in this one")
    done = subprocess.run(["unshare", *_NAMESPACES, "--fork", "true"], capture_output=True)
    if done.returncode:
        pytest.skip("no namespaces can be made here")


@contextlib.contextmanager
def booted(folder: Path, units: Sequence[Path], folders: Sequence[Path]) -> Iterator[Booted]:
    """A machine that has booted; its power is cut at the end."""
    machine = Booted(folder, units, folders)
    try:
        yield machine
    finally:
        machine.cut_power()
