"""A run of `qchat batch` as the service has it; another program stands in its place."""

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from qchat.serve.batches.child import BatchChild

from qchat.running_batches import batches_at
from qchat.settings import Paths
from tests.serve.supervised import LINUX

pytestmark = LINUX

# Tells how far it is and who it is, then goes on until it is stopped.
PROGRAM = """
import json, os, sys, time
print(json.dumps({"event": "progress", "answered": os.getpid(), "failed": 0}),
      file=sys.stderr, flush=True)
time.sleep(3600)
"""


class EndlessRun(BatchChild):
    def command(self) -> list[str]:
        return [sys.executable, "-c", PROGRAM]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_run_that_nobody_follows_any_more_is_stopped(tmp_path: Path) -> None:
    pids: list[int] = []

    def counts(answered: int, _failed: int) -> None:
        pids.append(answered)
        raise sqlite3.OperationalError("database or disk is full")

    child = EndlessRun(tmp_path / "run", tmp_path / "in.jsonl", "http://127.0.0.1:1/v1", "key")

    async def run() -> None:
        with pytest.raises(sqlite3.OperationalError):
            await child.run(counts)
        assert not is_running(pids[0])

    asyncio.run(run())


ENTERED = """
import json, os, sys, time
from qchat.running_batches import BatchEntry
from qchat.settings import Paths
with BatchEntry(Paths.find(os.environ)) as entry:
    entry.write({"results": "out.jsonl", "done": 1, "total": 3, "servers": {"http://a/v1": 1}})
    event = {"event": "progress", "answered": 1, "failed": 0}
    print(json.dumps(event), file=sys.stderr, flush=True)
    time.sleep(3600)
"""


class EnteredRun(BatchChild):
    def command(self) -> list[str]:
        return [sys.executable, "-c", ENTERED]


def test_a_run_is_seen_by_the_chat_and_by_other_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    state = Paths.find(os.environ).state
    summaries: list[str] = []

    def counts(_answered: int, _failed: int) -> None:
        summaries.extend(one.summary() for one in batches_at(state, "http://a"))
        raise sqlite3.OperationalError  # which ends it

    child = EnteredRun(tmp_path / "batch_7", tmp_path / "in.jsonl", "http://127.0.0.1:1/v1", "key")
    with pytest.raises(sqlite3.OperationalError):
        asyncio.run(child.run(counts))
    assert summaries == ["1 of 3 rows; cancel it: qchat batches cancel batch_7"]


@pytest.mark.parametrize("name", ["output.jsonl", "output.errors.jsonl", "other.jsonl"])
def test_what_a_run_recorded_before_it_was_killed(tmp_path: Path, name: str) -> None:
    class KilledRun(BatchChild):
        def command(self) -> list[str]:
            program = (
                f"import os; file = open({name!r}, 'a'); file.write('{{}}'); file.flush(); "
                "os.kill(os.getpid(), 9)"
            )
            return [sys.executable, "-c", program]

    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    (folder / "output.jsonl").write_text("{}\n")
    child = KilledRun(folder, tmp_path / "in.jsonl", "http://127.0.0.1:1/v1", "key")
    end = asyncio.run(child.run(lambda _answered, _failed: None))
    assert (end.code, end.done, end.has_recorded) == (-9, 0, name != "other.jsonl")
