"""A run of `qchat batch` as the service has it; another program stands in its place."""

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from qchat.serve.batches.child import BatchChild

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
