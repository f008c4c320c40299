"""Real servers for the end-to-end tests: their processes, homes, ports and requests."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qchat.serve.access.keys import MIN_LENGTH

from qchat.processes import alive

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


class Home:
    """A QCHAT_HOME of its own, and commands in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "VLLM_API"))}
        self.environ = {**environ, "QCHAT_HOME": str(path)}

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*QCHAT, *arguments],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=READY,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*QCHAT, *arguments],
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
                record: dict[str, Any] = json.loads(
                    (self.path / "state" / "servers" / f"{name}.json").read_text()
                )
                if record["vllm"] is not None:
                    return record
            except (OSError, ValueError):
                pass
            time.sleep(0.05)
        raise AssertionError("there is no record")


def ask(
    port: int,
    method: str,
    path: str,
    key: str | None = None,
    body: Any = None,
    timeout: float = 60,
) -> tuple[int, Any]:
    """Status and answer, read where it is JSON. A body that is text is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
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
