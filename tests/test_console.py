"""Colours: whether a stream gets them."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qchat.cells import width
from qchat.console import fitted_table, styled, table


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


ROWS = [
    ("ID", "STATUS", "DONE", "ENDPOINT"),
    ("batch_0123456789abcdef", "completed", "1,000", "/v1/chat/completions"),
    ("批处理任务的名称", "failed", "1", "/v1/embeddings"),
]


def fitted(monkeypatch: pytest.MonkeyPatch, columns: int, *, terminal: bool = True) -> str:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    return fitted_table(ROWS, shrink=0, right=(2,), drop=(3,))


def test_a_table_leaves_out_and_cuts_what_a_terminal_has_no_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fitted(monkeypatch, 80) == table(ROWS, right=(2,))
    without = fitted(monkeypatch, 50)
    assert "ENDPOINT" not in without and "batch_0123456789abcdef  completed" in without
    for columns in (38, 34, 30):
        cut = fitted(monkeypatch, columns).splitlines()
        assert max(map(width, cut)) <= columns
        assert cut[0].startswith("ID") and "…" in cut[1] and cut[1].endswith("completed  1,000")
    assert fitted(monkeypatch, 30, terminal=False) == table(ROWS, right=(2,))
