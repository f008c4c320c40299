"""`qchat batch --pause`, and what others see of a batch that runs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from qchat.batch import run_batch

from qchat import cli
from qchat.running_batches import BatchEntry, RunningBatch, batches_at, running_batches
from qchat.settings import Paths, load
from tests import faults
from tests.batch.commands import batch, command, once_each, read, write

pytestmark = pytest.mark.usefixtures("home")


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state() -> Path:
    return load().paths.state


def started(*args: str) -> "subprocess.Popen[str]":
    """A run of which others know."""
    process = subprocess.Popen(command(*args), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(b.pid == process.pid and b.servers for b in running_batches(state())))
    return process


def test_a_paused_run_ends_as_after_sigterm_and_is_resumed(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(100)))
    server.set_answers("latency=0.2")
    args = ("in.jsonl", "--base-url", server.url, "--concurrency", "2")
    process = started(*args)
    try:
        [seen] = batches_at(state(), server.base_url.replace("127.0.0.1", "localhost"))
        assert (seen.pid, seen.total, seen.takes_signals) == (process.pid, 100, True)
        assert Path(seen.results) == Path("in.results.jsonl").absolute()
        assert "qchat batch --pause" in seen.summary()
        assert cli.run(["status", "--json"]) == 0
        [shown] = json.loads(capfd.readouterr().out)["batches"]
        assert shown["total"] == 100 and shown["servers"] == {server.base_url: 2}
        assert cli.run(["status"]) == 0
        assert "of 100 rows" in capfd.readouterr().out
        assert batch("--pause", "in.jsonl") == 0
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.communicate()
    out = capfd.readouterr().out
    assert "interrupted" in out and "To resume:" in out and "--concurrency 2" in out
    assert 0 < len(read("in.results.jsonl")) < 100
    assert list(running_batches(state())) == []
    server.set_answers("latency=0")
    assert batch(*args) == 0
    once_each("in.results.jsonl", 100)
    assert batch("--pause", "in.results.jsonl") == 0
    assert "finished" in capfd.readouterr().out


def test_a_run_within_a_program_is_paused_without_a_signal(server: faults.Running) -> None:
    server.set_answers("latency=0.2")
    program = (
        "from qchat.batch import run_batch\n"
        f"run = run_batch([f'row {{n}}' for n in range(100)], base_url='{server.base_url}',"
        "                output='out.jsonl', concurrency=2)\n"
        "n = len(list(run))\n"
        "print('alive', n, run.summary.complete)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: any(b.pid == process.pid for b in running_batches(state())))
    [seen] = running_batches(state())
    assert not seen.takes_signals
    assert batch("--pause", "out.jsonl") == 0
    out, _err = process.communicate(timeout=30)
    assert process.returncode == 0
    word, count, complete = out.split()
    assert (word, complete) == ("alive", "False") and 0 < int(count) < 100
    assert len(read("out.jsonl")) == int(count)
    assert list((state() / "batches").iterdir()) == []


def test_nothing_to_pause(capfd: pytest.CaptureFixture[str]) -> None:
    assert batch("--pause", "nowhere.jsonl") == 2
    assert "No run of qchat has written nowhere" in capfd.readouterr().err


def test_what_a_killed_run_left_is_removed() -> None:
    folder = state() / "batches"
    folder.mkdir(parents=True)
    record = {"pid": os.getpid(), "results": "x.jsonl", "total": 5}
    (folder / "1-abc.lock").write_text(json.dumps(record) + "\n")
    assert list(running_batches(state())) == []
    assert list(folder.iterdir()) == []


def test_an_entry_is_seen_while_it_lasts() -> None:
    with BatchEntry(Paths.find()) as entry:
        assert list(running_batches(state())) == []  # nothing is known of it yet
        entry.write({"results": "/a b.jsonl", "done": 3, "total": 7, "is_yielding": True})
        [seen] = running_batches(state())
        assert isinstance(seen, RunningBatch)
        assert seen.summary() == (
            "3 of 7 rows, yielding to live requests; pause it: qchat batch --pause '/a b.jsonl'"
        )
        assert entry.path is not None and entry.path.stat().st_mode & 0o777 == 0o600
    assert list((state() / "batches").iterdir()) == []


def test_a_folder_that_can_t_be_made_does_not_end_a_run(server: faults.Running) -> None:
    Path(state()).parent.mkdir(parents=True, exist_ok=True)
    state().mkdir()
    (state() / "batches").write_text("in the way")
    results = list(run_batch(["a"], base_url=server.base_url))
    assert results[0].output == "echo: a"
