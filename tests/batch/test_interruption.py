"""Signals while files are read or sorted: the run ends at once, and the files are intact."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qchat.batch.background import WorkCounter
from qchat.batch.status import status

from tests.batch.commands import batch, read, write
from tests.batch.echo import Echo, echoing

pytestmark = pytest.mark.usefixtures("home")

ROWS = 20


@contextmanager
def signal_at(step: int, signum: int) -> Iterator[list[str]]:
    """Send a signal when a thread counts its `step`-th row, and hold the thread until the run
    has reacted. Yields the counted steps."""
    counted: list[str] = []
    original = WorkCounter.step

    def counting(counter: WorkCounter, size: int) -> None:
        counted.append("row")
        if len(counted) == step:
            os.kill(os.getpid(), signum)
            deadline = time.monotonic() + 20
            while not counter.cancelled:
                assert time.monotonic() < deadline, "the signal was not answered"
                time.sleep(0.001)
        original(counter, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkCounter, "step", counting)
        yield counted


@pytest.mark.parametrize(
    ("step", "place"),
    [
        (5, "scan"),
        (ROWS + 5, "journal"),
        (2 * ROWS + 5, "thoughts"),
        (3 * ROWS + 5, "sort"),
        (4 * ROWS + 5, "rewrite"),
    ],
)
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_files_are_read_or_sorted(
    capfd: pytest.CaptureFixture[str], step: int, place: str, signum: int, code: int
) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(ROWS)))
    results = Path("in.results.jsonl")
    with echoing():
        assert batch("in.jsonl") == 0
        reverse = b"".join(reversed(results.read_bytes().splitlines(keepends=True)))
        results.write_bytes(reverse)
        capfd.readouterr()
        with signal_at(step, signum) as counted:
            assert batch("in.jsonl", "--ordered") == code, place
        assert len(counted) == step
        assert "Interrupted. Run the same command again to resume." in capfd.readouterr().err
        assert results.read_bytes() == reverse
        assert sorted(path.name for path in Path().iterdir()) == [
            "in.jsonl",
            "in.results.jsonl",
            "in.results.manifest.json",
        ]
        expected = "finished" if place in ("scan", "journal", "thoughts") else "interrupted"
        assert status("in.jsonl").state == expected
        assert batch("in.jsonl", "--ordered") == 0
    marks = [row["_qchat"]["line"] for row in read("in.results.jsonl")]  # type: ignore[index]
    assert marks == list(range(1, ROWS + 1))
    assert status("in.jsonl").state == "finished"


def test_a_signal_while_damaged_lines_are_moved() -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(ROWS)))
    results = Path("in.results.jsonl")
    original = WorkCounter.check
    with echoing():
        assert batch("in.jsonl") == 0
        results.write_bytes(b"damaged\n" + results.read_bytes())
        data = results.read_bytes()
        checks: list[int] = []

        def check(counter: WorkCounter) -> None:
            checks.append(1)
            if len(checks) == ROWS // 2:  # of the rewrite
                counter.cancelled = True
                os.kill(os.getpid(), signal.SIGINT)
            original(counter)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(WorkCounter, "check", check)
            assert batch("in.jsonl") == 130
        assert results.read_bytes() == data
        assert not list(Path().glob(".*"))
        assert batch("in.jsonl") == 0
    assert Path("in.results.damaged.jsonl").read_bytes().startswith(b"damaged\n")
    lines = {row["_qchat"]["line"] for row in read("in.results.jsonl")}  # type: ignore[index]
    assert len(lines) == len(read("in.results.jsonl")) == ROWS


def test_a_signal_while_the_engine_of_a_finished_run_closes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Slow(Echo):
        async def close(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(20)

    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(ROWS)))
    began = time.monotonic()
    with echoing(Slow()):
        assert batch("in.jsonl") == 0
    assert time.monotonic() - began < 10
    assert len(read("in.results.jsonl")) == ROWS
    assert "Interrupted" not in capfd.readouterr().err
