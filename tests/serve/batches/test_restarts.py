"""Batches survive kills: of the supervisor, the service, the engine, the run; each row once."""

import json
import time
from pathlib import Path

import pytest

from qchat.processes import alive
from tests.serve.supervised import LINUX

from . import kill_storm
from .kill_storm import ROWS, begun, check_whole, kill_one, processes
from .serving import (
    MODEL,
    create,
    free_port,
    is_ready,
    line,
    lines,
    serving,
    start,
    stop,
    wait_for,
)

pytestmark = [LINUX, pytest.mark.slow]
KILLS = 6


@pytest.mark.parametrize("what", ["service", "run", "engine"])
def test_a_part_is_killed(tmp_path: Path, what: str) -> None:
    with serving(tmp_path / "s") as served:
        client = served.client()
        job = create(client, lines(ROWS, "slow one"))
        wait_for(lambda: begun(client, job.id), "nothing is answered")
        assert kill_one(served, what)
        wait_for(lambda: is_ready(served), "it does not come back")
        check_whole(client, job.id)


def test_the_live_api_does_not_notice_the_services_end(tmp_path: Path) -> None:
    with serving(tmp_path / "s") as served:
        client = served.client()
        assert kill_one(served, "service")
        message = {"role": "user", "content": "hello"}
        answer = client.chat.completions.create(model=MODEL, messages=[message])  # type: ignore[list-item]
        assert answer.choices[0].message.content == "echo hello"
        wait_for(lambda: is_ready(served), "the service does not come back")


def test_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Nothing outlives it, and its successor goes on, with the same ids."""
    served = start(tmp_path / "s", free_port())
    try:
        client = served.client()
        job = create(client, lines(ROWS, "slow one"))
        wait_for(lambda: begun(client, job.id), "nothing is answered")
        left = processes(served, "qchat")
        served.process.kill()
        served.process.wait()
        wait_for(lambda: not alive(processes(served, "qchat", "batch")), "a run outlives it")
        assert left
    finally:
        stop(served)
    again = start(served.folder, served.port)
    try:
        check_whole(again.client(), job.id)
    finally:
        stop(again)
    assert processes(served, "qchat", "batch") == []


def test_a_stop_and_a_start(tmp_path: Path) -> None:
    """A batch that runs, and one that waits, go on at the next start. A request that never ends
    does not hold up the stop."""
    folder = tmp_path / "s"
    with serving(folder) as served:
        client = served.client()
        first = create(client, lines(ROWS, "slow one"))
        hangs = create(client, line("never", "hang").encode())
        wait_for(lambda: begun(client, first.id), "nothing is answered")
        second = create(client, lines(ROWS))
        begin = time.monotonic()
    # What takes longer than 15 seconds, `qchat stop` kills.
    assert time.monotonic() - begin < 15 and served.process.returncode == 143
    with serving(folder) as served:
        client = served.client()
        client.batches.cancel(hangs.id)
        check_whole(client, first.id)
        check_whole(client, second.id)


def test_a_server_that_sleeps_is_woken(tmp_path: Path) -> None:
    """With --idle-stop: by a batch, too; and it sleeps again after it."""
    with serving(tmp_path / "s", {"idle_stop": 2.0}) as served:
        record = served.folder / "home" / "state" / "servers" / "demo.json"

        def sleeps() -> bool:
            return bool(json.loads(record.read_text())["state"] == "idle")

        client = served.client()
        wait_for(sleeps, "it does not sleep")
        job = create(client, lines(5))
        check_whole(client, job.id, 5)
        wait_for(sleeps, "it does not sleep again")


def test_kills_at_random_moments(tmp_path: Path) -> None:
    """In short; tests/soak has 200."""
    kill_storm.run(tmp_path / "s", KILLS)
