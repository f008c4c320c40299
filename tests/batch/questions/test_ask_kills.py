"""A run with questions that is killed goes on: every row once, with all its answers."""

import csv
import signal
import subprocess
import time
from pathlib import Path

from ..commands import batch, command, read
from ..label_server import favourite, label_server

COUNT = 150
REVIEWS = ("lovely and light", "it broke, refund me", "the light broke")
QUESTIONS = """\
text: "{{ review }}"
questions:
  - {name: mood, type: choice, ask: "How does the customer feel", options: [good, bad, mixed]}
  - {name: refund, type: yesno, ask: "Is it money that the customer wants"}
"""


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_killed_run_asks_each_row_to_its_end_once(home: Path) -> None:
    Path("q.yaml").write_text(QUESTIONS)
    with Path("in.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["custom_id", "review"])
        writer.writerows([f"r{n}", REVIEWS[n % 3]] for n in range(COUNT))
    out = Path("out.jsonl")
    with label_server() as url:
        args = ("in.csv", "--ask", "q.yaml", "-o", str(out), "--base-url", url)
        for target in (10, 60):
            process = subprocess.Popen(
                command(*args, "--concurrency", "3"),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            deadline = time.monotonic() + 120
            while lines(out) < target and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert lines(out) < COUNT, "it was not killed in its middle"
        assert batch(*args) == 0
    rows = read(str(out))
    assert sorted(str(row["custom_id"]) for row in rows) == sorted(f"r{n}" for n in range(COUNT))
    for row in rows:
        text = str(row["review"])
        assert row["mood"] == favourite(text, ["bad", "good", "mixed"])
        assert row["refund"] == favourite(text, ["no", "yes"])
        assert row["_qchat"]["requests"] == 4  # type: ignore[index]
