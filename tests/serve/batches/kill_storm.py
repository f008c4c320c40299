"""Kills of the parts of a server with batches, and what is left of its work."""

import os
import random
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import openai
from qchat.serve.processes.process_tree import process_arguments

from .serving import (
    Served,
    create,
    ended,
    free_port,
    is_ready,
    lines,
    records,
    start,
    stop,
    wait_for,
)

ROWS = 60


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


def run(folder: Path, kills: int) -> None:
    """Kill a part at a random moment, `kills` times, and check that every row has one answer."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    served = start(folder, free_port())
    jobs: list[str] = []
    try:
        for _kill in range(kills):
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
