"""Runs in the background, and `--status`."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qchat.batch.journal.lock import RunLock, holder_of, is_held
from qchat.batch.status import status, status_lines

from qchat.errors import UsageError
from qchat.processes import alive
from tests import faults
from tests.batch.commands import batch, command, once_each, write

pytestmark = pytest.mark.usefixtures("home")


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextlib.contextmanager
def detached(*args: str) -> Iterator[tuple[int, str]]:
    """Start a run in the background; yield its PID and the messages of the start; end it."""
    done = subprocess.run(command(*args, "--detach"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    match = re.search(r"as PID (\d+)", done.stderr)
    assert match is not None, done.stderr
    pid = int(match[1])
    try:
        yield pid, done.stderr
    finally:
        if alive([pid]):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not alive([pid]))


def test_a_detached_run_continues_and_shows_its_status(
    capfd: pytest.CaptureFixture[str],
) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(200)))
    with faults.running(answers="latency=0.1") as server:
        url = ("--base-url", server.url, "--concurrency", "4")
        with detached("in.jsonl", *url) as (pid, stderr):
            assert os.getsid(pid) == pid  # no terminal's end reaches it
            assert "qchat batch --status in.results.jsonl" in stderr
            log = re.search(r"log: +(.+)", stderr)
            assert log is not None and Path(log[1]).stat().st_mode & 0o777 == 0o600
            assert batch("--status", "in.jsonl") == 0  # by the input's name too
            stdout = capfd.readouterr().out
            assert f"running (PID {pid} on" in stdout and "of 200 rows" in stdout
            assert batch("--status", "in.results.jsonl", "--progress", "json") == 0
            state = json.loads(capfd.readouterr().out)
            assert (state["state"], state["rows"], state["holder"]["pid"]) == ("running", 200, pid)
            assert batch("in.jsonl", *url) == 2  # one writer
            assert f"PID {pid}" in capfd.readouterr().err
            wait_until(lambda: not alive([pid]))
    once_each("in.results.jsonl", 200)
    assert batch("--status", "in.results.jsonl") == 0
    assert "finished. 200 of 200 rows are done, 0 of them failed." in capfd.readouterr().out


def test_stopped_by_its_pid_and_killed(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(100)))
    with faults.running(answers="latency=0.1") as server:
        url = ("--base-url", server.url, "--concurrency", "2")
        with detached("in.jsonl", *url) as (pid, _stderr):
            wait_until(lambda: status("in.jsonl").answered > 2)
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not alive([pid]))
            assert status("in.jsonl").state == "interrupted"
        with detached("in.jsonl", *url) as (pid, _stderr):
            before = status("in.jsonl").answered
            wait_until(lambda: status("in.jsonl").answered > before)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: status("in.jsonl").state == "killed")
            state = status("in.jsonl")
            assert before < state.answered < 100
            assert "Run the same command again to resume." in status_lines(state)[0]
        assert batch("in.jsonl", *url) == 0
    once_each("in.results.jsonl", 100)
    capfd.readouterr()


def test_a_run_that_ends_at_once_reports_its_error() -> None:
    write("in.jsonl", "a")
    run = [*command("in.jsonl", "--base-url", "http://127.0.0.1:9", "--detach")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "can't be reached" in done.stderr and "background" not in done.stderr
    done = subprocess.run(
        [*command("-", "-o", "x.jsonl", "--detach")], capture_output=True, text=True, input=""
    )
    assert done.returncode == 2 and "can neither read standard input" in done.stderr


def test_status_without_a_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert batch("--status", "none.jsonl") == 2
    assert (
        "No run of qchat has written none.jsonl, nor none.results.jsonl from it"
        in capfd.readouterr().err
    )
    Path("none.results.jsonl").write_text("mine")
    with pytest.raises(UsageError):
        status("none.results.jsonl")
    Path("none.results.manifest.json").write_text("{")
    for name in ("none.results.jsonl", "none.jsonl"):
        with pytest.raises(UsageError, match=r"^none\.results\.manifest\.json is not a manifest"):
            status(name)
    assert batch() == 2
    assert "Missing INPUT" in capfd.readouterr().err


def test_reading_the_state_does_not_disturb_the_run(tmp_path: Path) -> None:
    path = tmp_path / "out.lock"
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_held(path)
            time.sleep(0.001)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for n in range(200):
            with RunLock(path) as lock:
                lock.tell({"progress": {"done": n, "more": "x" * (n * 7 % 100)}})
                assert holder_of(path)["progress"] == {"done": n, "more": "x" * (n * 7 % 100)}
    finally:
        over.set()
        looking.join()
    assert not is_held(path)
