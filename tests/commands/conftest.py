"""Fixtures for the tests of `qchat ask`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..faults import Running, running
from .ask_command import AskCommand


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.fixture
def ask(tmp_path: Path, server: Running) -> AskCommand:
    server.reset_log()
    return AskCommand(tmp_path, server)
