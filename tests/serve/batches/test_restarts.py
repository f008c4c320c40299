"""Batches survive kills: of the supervisor, the service, the engine, the run; each row once."""

import json
import os
import random
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import openai
import pytest
from qchat.serve.processes.process_tree import process_arguments

from qchat.processes import alive
from tests.serve.supervised import LINUX

from .serving import (
    MODEL,
    Served,
    create,
    ended,
    free_port,
    is_ready,
    lines,
    records,
    serving,
    start,
    stop,
    wait_for,
)

pytestmark = LINUX
ROWS = 60
KILLS = int(os.environ.get("QCHAT_BATCHES_KILLS", "6"))


def processes(served: Served, *words: str) -> list[int]:
    """The processes below the server that have arguments which end in each of `words`."""
    folder = str(served.folder)
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        arguments = process_arguments(int(path.name))
        try:
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        is_meant = all(any(each.endswith(word) for each in arguments) for word in words)
        if is_meant and folder.encode() in environment:
            pids.append(int(path.name))
    return pids


def kill_one(served: Served, what: str) -> bool:
    words = {
        "service": ["qchat.serve.batches.service"],
        "run": ["qchat", "batch", "output.jsonl"],
        "engine": ["engine.py"],
    }[what]
    pids = processes(served, *words)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return bool(pids)


def begun(client: openai.OpenAI, batch_id: str) -> bool:
    counts = client.batches.retrieve(batch_id).request_counts
    return counts is not None and counts.completed > 0


def check_whole(client: openai.OpenAI, batch_id: str, rows: int = ROWS) -> None:
    """Every row has one answer."""
    job = ended(client, batch_id, 240)
    assert job.status == "completed", job
    answers = Counter(r["custom_id"] for r in records(client, job.output_file_id))
    assert answers == {f"row-{i}": 1 for i in range(rows)}
    assert job.request_counts.completed == rows and job.error_file_id is None


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
    """A batch of an unfinished server goes on at its next start; one that is checked, too."""
    folder = tmp_path / "s"
    with serving(folder) as served:
        client = served.client()
        first = create(client, lines(ROWS, "slow one"))
        wait_for(lambda: begun(client, first.id), "nothing is answered")
        second = create(client, lines(ROWS))
    with serving(folder) as served:
        check_whole(served.client(), first.id)
        check_whole(served.client(), second.id)


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
    """`QCHAT_BATCHES_KILLS` kills of all parts; the soak sets it to 200."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    served = start(tmp_path / "s", free_port())
    jobs: list[str] = []
    try:
        for _kill in range(KILLS):
            if len(unfinished(served, jobs)) < 2:
                jobs.append(create(served.client(), lines(ROWS, "slow one")).id)
            # A moment of the work, drawn anew each time.
            rows = len(served.asked()) + chance.randrange(ROWS // 2)
            wait_for(partial(has_asked, served, jobs, rows), f"nothing is asked, seed {seed}")
            what = chance.choice(["service", "run", "run", "engine", "supervisor"])
            if what == "supervisor":
                served.process.kill()
                served.process.wait()
                served = start(served.folder, served.port)
            else:
                kill_one(served, what)
                wait_for(partial(is_ready, served), f"{what} does not come back, seed {seed}")
        for job in jobs:
            check_whole(served.client(), job)
    finally:
        stop(served)


def has_asked(served: Served, jobs: list[str], rows: int) -> bool:
    """Whether so many rows were asked in all, or none is left to ask."""
    return len(served.asked()) >= rows or not unfinished(served, jobs)


def unfinished(served: Served, jobs: list[str]) -> list[str]:
    """The batches of `jobs` that have not ended."""
    client = served.client()
    states = {job: client.batches.retrieve(job).status for job in jobs}
    assert "failed" not in states.values(), states
    return [job for job, status in states.items() if status != "completed"]
