"""Real vLLM for the end-to-end tests: a server, and ways to see that no process is left."""

import http.client
import json
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
from typing import Any

import pytest
from qchat.serve import process_tree as tree
from qchat.serve.keys import MIN_LENGTH

from qchat.processes import alive, kill_processes, process_family

READY = 240.0  # seconds that a server gets to start, on a busy machine too
STOP = 30.0

ALICE, BOB = "a" * MIN_LENGTH, "b" * MIN_LENGTH
QCHAT = [sys.executable, "-m", "qchat"]


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
    while (left := alive(pids)) and time.monotonic() < deadline:
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
        members = process_family([process.pid])
        yield Server(f"http://127.0.0.1:{port}/v1", log, process.pid)
        members = process_family(members)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP)
        left = wait_until_gone(members, STOP)
        assert left == [], f"processes outlived the server: {left}"
    finally:
        kill_processes(process_family(members))
        process.wait(STOP)


class Home:
    """A QCHAT_HOME of its own, and commands in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "VLLM_API"))}
        self.environ = {**kept, "QCHAT_HOME": str(path)}

    def run(self, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*QCHAT, *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=READY,
        )

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*QCHAT, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def record(self, name: str = "demo") -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                said: dict[str, Any] = json.loads(
                    (self.path / "state" / "servers" / f"{name}.json").read_text()
                )
                if said["vllm"] is not None:
                    return said
            except (OSError, ValueError):
                pass
            time.sleep(0.05)
        raise AssertionError("there is no record")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, int, Path]]:
    """A server in the background with two keys: its home, port and key file."""
    folder = tmp_path_factory.mktemp("served")
    home, port = Home(folder / "home"), free_port()
    file = folder / "keys"
    file.write_text(f"alice {ALICE}\nbob {BOB}\n")
    file.chmod(0o600)
    started = home.run(
        *("serve", "demo", "--served-model-name", "Qwen3-32B", "--name", "demo", "--detach"),
        *("--port", str(port), "--api-key-file", str(file)),
    )
    try:
        assert started.returncode == 0, started.stderr
        assert "Qwen3-32B is ready" in started.stderr
        yield home, port, file
    finally:
        record = home.record()
        stopped = home.run("stop", "demo")
        left = tree.members(None, record["mark"])
        kill_processes(left)
    assert stopped.returncode == 0, stopped.stderr
    assert left == []
    assert not Path(record["temporary"]).exists()
    assert json.loads(home.run("status", "--json").stdout)["servers"] == []


def ask(
    port: int, method: str, path: str, key: str | None = None, body: Any = None
) -> tuple[int, Any]:
    """Status and answer, read where it is JSON. A body that is text is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    try:
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text.decode()
