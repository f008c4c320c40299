"""The environment of whole commands, for the tests here and for the soak tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty working directory and a QCHAT_HOME of its own."""
    for name in list(os.environ):
        if name.startswith(("QCHAT_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work
