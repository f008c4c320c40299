"""Real vLLM for the end-to-end tests: a server, and ways to see that no process is left."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qchat.processes import end, family, running

READY = 240.0  # seconds that a server gets to start, on a busy machine too
STOP = 30.0


@dataclass(frozen=True)
class Server:
    """A vLLM server with the demo model."""

    base_url: str
    log: Path
    pid: int

    @property
    def model(self) -> str:
        """What the model is called there."""
        return "demo"


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_gone(pids: list[int], seconds: float) -> list[int]:
    """Wait for the end of processes; gives back those that still run."""
    deadline = time.monotonic() + seconds
    while (left := running(pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _is_ready(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:  # URLError is one
        return False


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model behind vLLM's own server, on a port of its own."""
    log = tmp_path_factory.mktemp("server") / "vllm.log"
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "qchat.serve.launcher"),
                *("--model", "demo", "--port", str(port), "--parent-pid", str(os.getpid())),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    members = [process.pid]
    try:
        deadline = time.monotonic() + READY
        while not _is_ready(f"http://127.0.0.1:{port}/health"):
            tail = log.read_text("utf-8", "replace")[-4000:]
            assert process.poll() is None, f"the server ended while it was starting:\n{tail}"
            assert time.monotonic() < deadline, f"the server is not ready:\n{tail}"
            time.sleep(0.2)
        members = family([process.pid])
        yield Server(f"http://127.0.0.1:{port}/v1", log, process.pid)
        members = family(members)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP)
        left = wait_until_gone(members, STOP)
        assert left == [], f"processes outlived the server: {left}"
    finally:
        end(family(members))
        process.wait(STOP)
