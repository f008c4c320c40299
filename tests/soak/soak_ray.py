"""`--engine ray` for ten minutes on a Ray whose nodes are killed at random: `make soak`.

`make test` runs the same in short (tests/batch/ray/test_cluster.py).
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.batch.commands import read, write
from tests.batch.ray.cluster import ROOT, cluster

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.timeout(3600)]

SECONDS = float(os.environ.get("QCHAT_SOAK_SECONDS", "600"))
REPLICAS = 3
ROWS_PER_SECOND = 16 * REPLICAS  # of the stub `slow`, if none is ever lost


def test_nodes_are_killed_at_random() -> None:
    """Each row is answered once, with its own answer, in one run; none fails."""
    count = int(SECONDS * ROWS_PER_SECOND)
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(1, count + 1)))
    arguments = [
        *(sys.executable, "-m", "tests.batch.ray.driver", "slow"),
        *("batch", "in.jsonl", "--model", "demo", "--engine", "ray"),
    ]
    with cluster(nodes=REPLICAS + 1) as running, Path("err").open("w") as errors:
        arguments += ["--ray-address", running.address, "--replicas", f"1-{REPLICAS}"]
        run = subprocess.Popen(
            arguments, stderr=errors, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        try:
            nodes = list(range(1, REPLICAS + 1))
            last, kills = REPLICAS, 0
            deadline = time.monotonic() + SECONDS
            while run.poll() is None and time.monotonic() < deadline:
                if _ended_within(run, random.uniform(5, 20)):
                    break
                running.kill(nodes.pop(random.randrange(len(nodes))))
                kills += 1
                _ended_within(run, random.uniform(0, 5))
                running.add()
                last += 1
                nodes.append(last)
            assert run.wait(SECONDS * 3) == 0, Path("err").read_text()[-4000:]
        finally:
            run.kill()
            run.wait()
    print(f"{count} rows, {kills} nodes killed")
    assert kills > SECONDS / 60
    rows = read("in.results.jsonl")
    lines = Counter(row["_qchat"]["line"] for row in rows)  # type: ignore[index]
    assert lines == dict.fromkeys(range(1, count + 1), 1)
    assert all(row["output"] == f"echo: {row['prompt']}" for row in rows)


def _ended_within(run: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
