"""A misbehaving server, and `qchat ask` against it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..faults import Running, running
from .asking import Asker


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture
def ask(tmp_path: Path, server: Running) -> Asker:
    server.reset_log()
    return Asker(tmp_path, server)
