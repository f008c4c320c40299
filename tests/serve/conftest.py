"""Fixtures of the server's tests."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from qchat.serve.registry.records import ServerRegistry

from qchat.engine.machine.hardware import Gpu, Machine
from qchat.engine.runtime import vllm_startup
from qchat.settings import Paths

H100 = Gpu(0, "NVIDIA H100", 81_559, 81_000, (9, 0))


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QCHAT_HOME that does not exist yet."""
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def registry(home: Path) -> ServerRegistry:
    """The registry of servers in `home`."""
    return ServerRegistry(Paths.find())


@pytest.fixture
def machine(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """This machine has no GPU, or one: by default none."""
    for name in ("QCHAT_API_KEY", "VLLM_API_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def become(gpu: bool) -> None:
        detected = Machine((H100,) if gpu else (), 24_000, 20_000, 16)
        monkeypatch.setattr(
            vllm_startup, "installed_vllm", lambda: vllm_startup.InstalledVllm("0.32.0", not gpu)
        )
        monkeypatch.setattr("qchat.serve.planning.target_machine.detect", lambda: detected)

    become(gpu=False)
    return become
