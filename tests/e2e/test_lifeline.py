"""After `kill -9` of the process that works with vLLM, no process of it is left."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .servers import READY, free_port, wait_until_gone

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

GONE = 15.0  # seconds that the processes get to end, on a busy machine too
MODEL = "demo"

OFFLINE = f"""
import asyncio, sys
from pathlib import Path
from qchat.batch.engines.engine_log import redirect_output
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions

async def main(terminal):
    engine = OfflineEngine({MODEL!r}, "demo", options=OfflineOptions(log=Path(sys.argv[1])))
    await engine.start()
    print("ready", file=terminal.stdout, flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    with redirect_output(Path(sys.argv[1])) as terminal:
        asyncio.run(main(terminal))
"""


def marked(mark: str) -> list[int]:
    """Processes with `mark` in their environment, which every child inherits."""
    pids = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environ.read_bytes():
                pids.append(int(environ.parent.name))
        except OSError:
            continue
    return pids


@contextmanager
def started(
    command: list[str], stdout: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    mark = f"QCHAT_TEST_MARK={uuid.uuid4().hex}"
    name, value = mark.split("=")
    process = subprocess.Popen(
        command,
        env={**os.environ, name: value},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process, mark
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def assert_all_gone_after_kill(process: "subprocess.Popen[str]", mark: str) -> int:
    """Kill -9 and wait; returns how many processes there had been."""
    before = len(marked(mark))
    process.kill()
    process.wait()
    deadline = time.monotonic() + GONE
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
    assert left == [], f"still running: {commands}"
    return before


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """A program with the offline engine, as a command."""
    path = tmp_path / "program.py"
    path.write_text(OFFLINE, "utf-8")
    return [sys.executable, str(path), str(tmp_path / "vllm.log")]


def test_kill_of_a_running_engine(script: list[str]) -> None:
    with started(script, subprocess.PIPE) as (process, mark):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert assert_all_gone_after_kill(process, mark) >= 3  # us, the fork server, the engine


@pytest.mark.parametrize("latest", [1.0, 4.0, 8.0, 12.0])
def test_kill_at_a_random_moment_of_the_start(script: list[str], latest: float) -> None:
    moment = random.uniform(latest / 4, latest)
    with started(script) as (process, mark):
        time.sleep(moment)
        assert process.poll() is None
        assert_all_gone_after_kill(process, mark)


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """The starter is killed while the server starts: SIGTERM reaches it, nothing is left."""
    starter = (
        "import subprocess, sys, time, os\n"
        "subprocess.Popen([sys.executable, '-m', 'qchat.serve.launcher', '--model', sys.argv[1],"
        " '--port', sys.argv[2], '--parent-pid', str(os.getpid())])\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", starter, MODEL, str(free_port())]
    with started(command, subprocess.DEVNULL) as (process, mark):
        deadline = time.monotonic() + READY
        while len(marked(mark)) < 4:  # the starter, the launcher, a resource tracker, a fork server
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(random.uniform(0.5, 6.0))
        assert_all_gone_after_kill(process, mark)


def test_wait_until_gone_sees_a_process() -> None:
    with started([sys.executable, "-c", "import time; time.sleep(600)"]) as (process, _mark):
        assert wait_until_gone([process.pid], 0.2) == [process.pid]
