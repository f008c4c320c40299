"""`--engine ray` with the real vLLM: two replicas on two nodes, one of which is killed."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from qchat import demo
from qchat.processes import alive, process_family
from tests.batch.ray.cluster import cluster

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(2400), pytest.mark.slow]

ROWS = 3000
ANSWERS = {
    pair.prompt: pair.content
    for pair in demo.pairs()
    if len(pair.messages) == 1 and not pair.tools and pair.enable_thinking is None
}


def test_a_node_with_a_replica_is_killed(tmp_path: Path) -> None:
    """Every row is answered once, and to the letter as the offline engine answers it."""
    prompts = sorted(prompt for prompt in ANSWERS if prompt)[:40]
    source, out, err = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "err"
    rows = [{"prompt": prompts[n % len(prompts)]} for n in range(ROWS)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "OPENAI_"))}
    environ["QCHAT_HOME"] = str(tmp_path / "home")
    others = set(process_family([os.getpid()]))  # of other tests: a server that several share
    with cluster(nodes=2) as running, err.open("w") as errors:
        environ |= {k: v for k, v in os.environ.items() if k.startswith("RAY_")}
        run = subprocess.Popen(
            [
                *(sys.executable, "-m", "qchat", "batch", str(source), "-o", str(out)),
                *("--model", "demo", "--engine", "ray", "--ray-address", running.address),
                *("--replicas", "2"),
            ],
            stderr=errors,
            env=environ,
        )
        try:
            deadline = time.monotonic() + 1200
            while len(re.findall(r"replica \d on \S+ is ready: vLLM", err.read_text())) < 2:
                assert run.poll() is None, err.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            family = [pid for pid in process_family([os.getpid()]) if pid not in others]
            running.kill(1)
            assert run.wait(600) == 0, err.read_text()
        finally:
            run.kill()
            run.wait()
    assert re.search(r"was lost: .* Its \d+ rows? (is|are) asked again", err.read_text())
    results = [json.loads(line) for line in out.read_bytes().splitlines()]
    lines = Counter(row["_qchat"]["line"] for row in results)
    assert lines == dict.fromkeys(range(1, ROWS + 1), 1)
    assert all(row["output"] == ANSWERS[row["prompt"]] for row in results)
    deadline = time.monotonic() + 30  # what was killed may take a moment to give its memory back
    while left := [pid for pid in alive(family) if _is_of_the_run(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _is_of_the_run(pid: int) -> bool:
    """Whether it belongs to vLLM or Ray."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return command.startswith((b"ray::", b"VLLM::")) or b"/ray/" in command
