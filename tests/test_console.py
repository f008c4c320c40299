"""Colours: whether a stream gets them."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qchat.console import styled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colours_by_terminal_and_by_wish(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], terminal: bool, pipe: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert styled(Terminal()) is terminal
    assert styled(io.StringIO()) is pipe


@pytest.mark.parametrize(
    ("environ", "colours"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False)]
)
def test_a_command_in_a_pipe_follows(
    tmp_path: Path, environ: dict[str, str], colours: bool
) -> None:
    ours = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "qchat", "doctor", "--base-url", "http://127.0.0.1:9"],
        capture_output=True,
        env={**ours, "QCHAT_HOME": str(tmp_path), **environ},
        timeout=120,
    )
    assert (b"\x1b[" in done.stdout) is colours
