"""The unit of `--write-deploy` under a systemd that has booted: keys, a reboot, an orderly end."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from qchat.processes import alive, process_family
from tests.e2e.servers import READY, Home, ask, free_port

from .booted import Booted, booted, require_boot

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).resolve().parents[2]
NEW = "n" * 40
_NOTICED = 15.0  # seconds until a changed key file must have been read


def _wait(port: int, machine: Booted) -> None:
    deadline = time.monotonic() + READY
    while True:
        try:
            if ask(port, "GET", "/health")[0] == 200:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            pytest.fail(machine.run("journalctl", "--no-pager", "-u", "qchat").stdout)
        time.sleep(0.5)


def _status(port: int, key: str) -> int:
    return ask(port, "GET", "/v1/models", key)[0]


def _wait_for(port: int, key: str, status: int) -> None:
    deadline = time.monotonic() + _NOTICED
    while _status(port, key) != status:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.timeout(3 * READY)
def test_keys_change_without_a_restart_and_a_reboot_brings_it_back(tmp_path: Path) -> None:
    folders = [ROOT, Path(sys.prefix), Path(sys.base_prefix)]
    require_boot(folders)
    port = free_port()
    service = tmp_path / "service"
    arguments = ["serve", "demo", "--port", str(port), "--generate-key"]
    done = Home(tmp_path / "home").run(*arguments, "--write-deploy", str(service))
    assert done.returncode == 0, done.stderr
    keys = service / "keys"
    key = keys.read_text().split()[1]
    disk = tmp_path / "disk"
    with booted(disk, [service / "qchat.service"], [*folders, service]) as machine:
        _wait(port, machine)
        assert _status(port, key) == 200 and _status(port, NEW) == 401
        process = machine.property("qchat", "MainPID")
        copy = machine.run("stat", "-c", "%a %U", "/run/qchat-keys/keys").stdout.split()
        user = machine.run("stat", "-c", "%U", f"/proc/{process}").stdout.strip()
        assert copy == ["400", user] and user not in ("root", "UNKNOWN")

        with keys.open("a") as file:
            file.write(f"new {NEW}\n")
        time.sleep(2)
        assert _status(port, NEW) == 401  # a private copy
        assert machine.run("systemctl", "reload", "qchat").returncode == 0
        _wait_for(port, NEW, 200)
        other = service / "other"
        other.write_text(f"new {NEW}\n")
        other.replace(keys)  # as editors do
        assert machine.run("systemctl", "reload", "qchat").returncode == 0
        _wait_for(port, key, 401)
        assert _status(port, NEW) == 200
        assert machine.property("qchat", "MainPID") == process
        assert machine.property("qchat", "NRestarts") == "0"

    with booted(disk, [], [*folders, service]) as machine:
        _wait(port, machine)
        assert _status(port, NEW) == 200 and _status(port, key) == 401
        assert machine.pid is not None
        members = process_family([machine.pid])
        assert machine.run("systemctl", "stop", "qchat").returncode == 0
        assert machine.property("qchat", "Result") == "success"
        assert machine.run("ls", "/run/qchat-keys").returncode != 0
        left = [psutil.Process(pid).name() for pid in alive(members)]
        assert not any(name.startswith(("python", "VLLM")) for name in left), left
