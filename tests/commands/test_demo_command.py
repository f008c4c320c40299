"""`qchat demo`: its questions, and what it says where vLLM is missing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from qchat import cli, installation
from qchat.demo import questions_file
from qchat.errors import UsageError

QUESTIONS = Path(__file__).parents[2] / "examples" / "questions.jsonl"


def test_the_questions_are_those_of_the_examples() -> None:
    assert questions_file().read_bytes() == QUESTIONS.read_bytes()


def test_without_vllm_it_leads_to_an_installation_or_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _name: None)
    result = CliRunner().invoke(cli.main, ["demo", str(tmp_path / "demo")])
    assert isinstance(result.exception, UsageError)
    assert "qchat setup" in str(result.exception) and not (tmp_path / "demo").exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_stop_is_left_to_the_batch(tmp_path: Path, signum: signal.Signals) -> None:
    ready, done = tmp_path / "ready", tmp_path / "done"
    program = (
        "import os, pathlib, signal, sys, time\n"
        "def drain(number, frame):\n"
        "    time.sleep(0.5)\n"
        f"    pathlib.Path({str(done)!r}).touch()\n"
        "    sys.exit(5)\n"
        f"signal.signal({int(signum)}, drain)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    runner = (
        "import sys; from qchat.commands.demo import _run\n"
        f"sys.exit(_run([sys.executable, '-c', {program!r}]))"
    )
    process = subprocess.Popen(  # without a terminal, whose Ctrl-C would reach both
        [sys.executable, "-c", runner], stdin=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signum)
    assert process.wait(30) == 5 and done.exists()
