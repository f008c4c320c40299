"""Real vLLM for the end-to-end tests: a server, and ways to see that no process is left."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from qchat.serve.processes import process_tree

from qchat.processes import kill_processes, process_family

from .servers import ALICE, BOB, READY, STOP, Home, Server, free_port, wait_until_gone

PATIENCE = 1200
"""Seconds for a test of the real vLLM: some start an engine three times, each for up to `READY`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of the real vLLM their time."""
    for item in items:
        if item.get_closest_marker("vllm") and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE))


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
        *("--port", str(port), "--api-key-file", str(file), "--batches"),
        *("--", "--enable-tokenizer-info-endpoint"),
    )
    try:
        assert started.returncode == 0, started.stderr
        assert "Qwen3-32B is ready" in started.stderr
        yield home, port, file
    finally:
        record = home.record()
        stopped = home.run("stop", "demo")
        left = process_tree.members(None, record["mark"])
        kill_processes(left)
    assert stopped.returncode == 0, stopped.stderr
    assert left == []
    assert not Path(record["temporary"]).exists()
    assert json.loads(home.run("status", "--json").stdout)["servers"] == []
