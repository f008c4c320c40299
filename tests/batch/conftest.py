"""What the tests of whole commands share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import faults


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in, and settings of nobody."""
    for name in list(os.environ):
        if name.startswith(("QCHAT_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def server() -> Iterator[faults.Running]:
    with faults.running() as running:
        yield running
