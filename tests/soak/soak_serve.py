"""`qchat serve` in its long form, on the real vLLM: `make soak`, about ten minutes.

`make test` runs the same in short (tests/e2e/test_serve.py).
"""

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from qchat.processes import alive, kill_processes, process_family
from tests.e2e.servers import READY, Home, free_port, wait_until_gone

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3600)]

STARTS = int(os.environ.get("QCHAT_SOAK_STARTS", "50"))
_SHARED = Path("/dev/shm")


def test_starts_and_stops_leave_nothing(tmp_path: Path) -> None:
    """A third of the servers is killed at a random moment of the start, the others are stopped."""
    home = Home(tmp_path / "home")
    temporary = Path(tempfile.mkdtemp(prefix="qs-"))  # short: sockets have their paths in it
    home.environ |= {"TMPDIR": str(temporary), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "torch")}
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    kills = 0
    for cycle in range(STARTS):
        port, shared = free_port(), set(_SHARED.iterdir())
        process = home.start("serve", "demo", "--port", str(port))
        where, members = f"cycle {cycle}, seed {seed}", [process.pid]
        try:
            if cycle % 3 == 2:
                time.sleep(chance.uniform(0.0, 10.0))
                members = process_family([process.pid])
                process.kill()
                assert process.wait(30) == -signal.SIGKILL, where
                kills += 1
            else:
                _until_ready(home, process, where)
                members = process_family([process.pid])
                stopped = home.run("stop", "demo")
                assert stopped.returncode == 0, f"{where}: {stopped.stderr}"
                process.wait(30)
            assert wait_until_gone(members, 20) == [], where
            assert json.loads(home.run("status", "--json").stdout)["servers"] == [], where
            assert _of(home) == [], where
            with socket.create_server(("127.0.0.1", port)):
                pass
            assert list(temporary.iterdir()) == [], where
            assert _unused_segments(shared) == set(), where
        finally:
            assert process.stderr is not None
            process.stderr.close()
            kill_processes(alive({*members, *process_family(_of(home))}))
    temporary.rmdir()
    assert kills == STARTS // 3


def _until_ready(home: Home, process: "subprocess.Popen[str]", where: str) -> None:
    deadline = time.monotonic() + READY
    while True:
        if process.poll() is not None:
            assert process.stderr is not None
            raise AssertionError(f"{where}: {process.stderr.read()}")
        servers = json.loads(home.run("status", "--json").stdout)["servers"]
        if servers and servers[0]["state"] == "ready":
            return
        assert time.monotonic() < deadline, where
        time.sleep(0.2)


def _of(home: Home) -> list[int]:
    """Processes that were started with this QCHAT_HOME."""
    sign = f"QCHAT_HOME={home.path}".encode()
    pids = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if sign in path.read_bytes().split(b"\0"):
                pids.append(int(path.parent.name))
        except OSError:
            continue
    return alive(pids)


def _unused_segments(before: set[Path]) -> set[Path]:
    """Shared memory that has come since and that no process has: others use some here, too."""
    deadline = time.monotonic() + 10
    while True:
        unused = {path for path in set(_SHARED.iterdir()) - before if not _is_used(path)}
        if not unused or time.monotonic() > deadline:
            return {path for path in unused if path.exists()}
        time.sleep(0.2)


def _is_used(segment: Path) -> bool:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(segment) in maps.read_text("utf-8", "replace"):
                return True
        except OSError:
            continue
    return False
