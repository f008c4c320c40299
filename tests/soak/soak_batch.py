"""The promises of `qchat batch` in their long form: `make soak`, about ten minutes.

`make test` runs the same in short (tests/batch/test_command.py).
"""

import os
import random
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import faults
from tests.batch.commands import batch, command, once_each, read, write
from tests.batch.echo import echoing
from tests.batch.edits import storm
from tests.batch.fuzz import check_resume, check_run

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("QCHAT_SOAK_KILLS", "200"))
ROWS = 10_000
FILES = 10_000
KINDS = (
    *("reset", "reset_mid_body", "half_utf8", "503", "429:retry_after=0", "500", "502"),
    *("200_garbage", "200_empty", "200_wrong_shape", "wrong_content_length", "close_keepalive"),
)


def test_kill_9_at_random_moments() -> None:
    """Killed again and again, then let run to its end: each row once, as an undisturbed run has."""
    with faults.running(answers="latency=0.02;jitter=0.03", keep=0) as server:
        count = 100 * KILLS
        write("in.jsonl", *[f"q{n}" for n in range(count)])
        args = command("in.jsonl", "--base-url", server.url, "--concurrency", "8")
        for kill in range(KILLS):
            run = subprocess.Popen(args, stderr=subprocess.DEVNULL)
            try:
                code = run.wait(timeout=random.uniform(0.1, 1.6))
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
            else:
                raise AssertionError(f"ended with {code} after {kill} kills: give it more rows")
        before = len(Path("in.results.jsonl").read_bytes().splitlines())
        assert 0 < before < count
        last = command("in.jsonl", "--base-url", server.url, "--concurrency", "256")
        assert subprocess.run(last, stderr=subprocess.DEVNULL, timeout=600).returncode == 0
        once_each("in.results.jsonl", count)
        whole = command("in.jsonl", "-o", "whole.jsonl", "--base-url", server.url)
        assert subprocess.run(whole, stderr=subprocess.DEVNULL, timeout=600).returncode == 0
        answers = [
            {row["_qchat"]["line"]: row["output"] for row in read(name)}  # type: ignore[index]
            for name in ("in.results.jsonl", "whole.jsonl")
        ]
        assert answers[0] == answers[1]


def test_kills_while_the_input_is_edited() -> None:
    """Inserted, deleted, shuffled, doubled, mended and edited rows, and a kill after each edit."""
    for _round in range(max(1, KILLS // 20)):
        for path in Path().glob("in.*"):
            path.unlink()
        storm(random.Random(), rows=2_000, kills=20)


def test_a_fifth_of_all_tries_fails() -> None:
    """Every kind of fault, at random: each row once, none given up that could be answered."""
    rate = 1 - 0.8 ** (1 / len(KINDS))
    orders = [f"{kind}{',' if ':' in kind else ':'}rate={rate:.4f}" for kind in KINDS]
    with faults.running(*orders, seed=random.randrange(1000), keep=0) as server:
        write("in.jsonl", *[f"q{n}" for n in range(ROWS)])
        assert batch("in.jsonl", "--base-url", server.url, "-q") == 0
        once_each("in.results.jsonl", ROWS)
        assert not Path("in.results.errors.jsonl").exists()
        met = Counter(server.log.faults)
        assert sum(met.values()) > 0.15 * ROWS
        assert len(met) == len(KINDS)


@pytest.mark.parametrize("check", [check_run, check_resume])
def test_ten_thousand_broken_files(
    home: Path, check: Callable[[Path, random.Random], None]
) -> None:
    """No traceback, no hang, every good line answered, every bad one named; memory stays."""
    start = random.randrange(1 << 30)
    before = 0
    with echoing():
        for number in range(FILES // 2):
            folder = home / str(number)
            folder.mkdir()
            try:
                check(folder, random.Random(start + number))
            except BaseException as error:
                error.add_note(f"seed {start + number}")
                raise
            shutil.rmtree(folder)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            before = before or peak
    assert peak - before < 64  # MiB
