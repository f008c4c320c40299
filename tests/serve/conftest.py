"""For the tests of the server's room."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from qchat.engine import vllm_startup as vllm_start
from qchat.engine.machine import Gpu, Machine

H100 = Gpu(0, "NVIDIA H100", 81_559, 81_000, (9, 0))


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """This machine has no GPU, or one: by default none."""
    for name in ("QCHAT_API_KEY", "VLLM_API_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def become(gpu: bool) -> None:
        found = Machine((H100,) if gpu else (), 24_000, 20_000, 16)
        monkeypatch.setattr(
            vllm_start, "installed_vllm", lambda: vllm_start.InstalledVllm("0.32.0", not gpu)
        )
        monkeypatch.setattr("qchat.serve.command._machine", lambda cpu: found)

    become(gpu=False)
    return become
