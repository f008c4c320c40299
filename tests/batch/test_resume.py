"""Resuming a run with other options than before."""

import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from qchat.batch.journal.manifest import Manifest

from tests import faults
from tests.batch.commands import batch, command, once_each, place, read, write

pytestmark = pytest.mark.usefixtures("home")


def test_retry_failed_asks_again_what_failed_for_good(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a", "b [[fault:400;times=1]]", {"no": "request"})
    assert batch("in.jsonl", "--base-url", server.url) == 1
    assert {row["line"] for row in read("in.results.errors.jsonl")} == {2, 3}
    capfd.readouterr()
    assert batch("in.jsonl", "--base-url", server.url) == 1
    stderr = capfd.readouterr().err
    assert "All 3 rows are done already (2 of them failed)." in stderr
    assert "(2 rows; --retry-failed asks them again)" in stderr
    assert server.log.attempts["b [[fault:400;times=1]]"] == 1
    assert batch("in.jsonl", "--base-url", server.url, "--retry-failed") == 1
    assert sorted(map(place, read("in.results.jsonl"))) == [1, 2]
    assert [row["line"] for row in read("in.results.errors.jsonl")] == [3]
    assert server.log.attempts["a"] == 1


def test_a_run_that_ended_before_its_manifest_was_written_can_be_repeated(
    server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_manifest: Manifest, _path: Path, **_changes: object) -> Manifest:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write("in.jsonl", "a")
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "save", full)
        assert batch("in.jsonl", "--base-url", server.url) == 3
    assert batch("in.jsonl", "--base-url", server.url) == 0
    once_each("in.results.jsonl", 1)


def test_edited_rows_are_asked_again_and_deleted_ones_kept_elsewhere(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a", "b", "c", "d")
    assert batch("in.jsonl", "--base-url", server.url) == 0
    write("in.jsonl", "a", "B", "c")
    capfd.readouterr()
    assert batch("in.jsonl", "--base-url", server.url) == 0
    stderr = capfd.readouterr().err
    assert "1 answered row has changed and is asked again." in stderr
    assert "2 answers whose rows are gone or have changed were moved to" in stderr
    assert {place(row): row["output"] for row in read("in.results.jsonl")} == {
        1: "echo: a",
        2: "echo: B",
        3: "echo: c",
    }
    removed = [row["prompt"] for row in read("in.results.removed.jsonl")]
    assert sorted(removed) == ["b", "d"]  # in the order in which they were answered
    assert server.log.attempts == {"a": 1, "b": 1, "c": 1, "d": 1, "B": 1}
    assert batch("in.jsonl", "--base-url", server.url) == 0


def test_ordered_results_stand_as_the_input_does(server: faults.Running) -> None:
    server.set_answers("jitter=0.2")
    write("one.jsonl", *(f"row {n}" for n in range(30)))
    write("two.jsonl", *({"custom_id": f"r{n}", "prompt": f"{n}"} for n in range(30)))
    args = ("one.jsonl", "two.jsonl", "-o", "out.jsonl", "--base-url", server.url)
    assert batch(*args) == 0
    lines = sorted(Path("out.jsonl").read_bytes().splitlines())
    assert batch(*args, "--ordered") == 0  # a finished run can be put in order afterwards
    assert sorted(Path("out.jsonl").read_bytes().splitlines()) == lines
    marks = [row["_qchat"] for row in read("out.jsonl")]
    places = [(mark["file"], mark["line"]) for mark in marks]  # type: ignore[index]
    assert places == [(name, n) for name in ("one.jsonl", "two.jsonl") for n in range(1, 31)]
    write("one.jsonl", *(f"row {n}" for n in range(31)))
    assert batch(*args, "--ordered") == 0
    assert [row["prompt"] for row in read("out.jsonl")][28:32] == [
        "row 28",
        "row 29",
        "row 30",
        "0",
    ]


def test_answers_beyond_the_limit_survive_ordered(server: faults.Running) -> None:
    write("in.jsonl", "a", "b", "c")
    args = ("in.jsonl", "--base-url", server.url, "--ordered")
    assert batch(*args) == 0
    results = Path("in.results.jsonl")
    backwards = b"".join(reversed(results.read_bytes().splitlines(keepends=True)))
    results.write_bytes(backwards)
    assert batch(*args, "--limit", "2") == 0
    assert results.read_bytes() == backwards
    assert batch(*args) == 0
    assert list(map(place, read("in.results.jsonl"))) == [1, 2, 3]


def test_ordered_and_standard_output_exclude_each_other(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    assert batch("in.jsonl", "-o", "-", "--ordered", "--base-url", server.url) == 2
    assert "--ordered" in capfd.readouterr().err


def test_a_time_limit_stops_as_sigterm_does_and_the_hint_resumes() -> None:
    write("in.jsonl", *(f"row {n}" for n in range(200)))
    with faults.running(answers="latency=0.1") as server:
        args = command(
            "in.jsonl", "--base-url", server.url, "--concurrency", "4", "--time-limit", "2.5s"
        )
        began = time.monotonic()
        done = subprocess.run(args, capture_output=True, text=True, timeout=60)
        assert done.returncode == 143, done.stderr
        assert time.monotonic() - began < 30
        assert "Stopping" in done.stderr and "to resume:" in done.stderr
        assert 0 < len(read("in.results.jsonl")) < 200
        assert json.loads(Path("in.results.manifest.json").read_text())["state"] == "interrupted"
        last = batch("in.jsonl", "--base-url", server.url, "--concurrency", "64")
        assert last == 0
        assert sorted(map(place, read("in.results.jsonl"))) == list(range(1, 201))
        assert set(server.log.answered.values()) == {1}


def test_what_is_not_ours_or_not_all_is_refused_and_nothing_is_lost(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("a.jsonl", "a")
    write("b.jsonl", "b")
    url = ("--base-url", server.url)
    assert batch("a.jsonl", "b.jsonl", "-o", "o.jsonl", *url) == 0
    before = Path("o.jsonl").read_bytes()
    assert batch("a.jsonl", "-o", "o.jsonl", *url) == 0  # an input that is left out
    assert batch("a.jsonl", "b.jsonl", "-o", "o.jsonl", "--prefix", "x_", *url) == 2
    assert "--prefix" in capfd.readouterr().err
    assert Path("o.jsonl").read_bytes() == before
    Path("poetry.lock").write_text("precious")
    assert batch("a.jsonl", "-o", "poetry.jsonl", *url) == 2
    assert Path("poetry.lock").read_text() == "precious"


def test_a_limit_leaves_the_failures_beyond_it_alone(server: faults.Running) -> None:
    write("in.jsonl", "a", "b [[fault:400]]", {"messages": [{"role": ["user"], "content": "x"}]})
    assert batch("in.jsonl", "--base-url", server.url) == 1
    errors = Path("in.results.errors.jsonl").read_bytes()
    assert errors.count(b"\n") == 2
    batch("in.jsonl", "--base-url", server.url, "--limit", "1")
    assert Path("in.results.errors.jsonl").read_bytes() == errors


def test_rows_appended_to_the_first_input_leave_the_second_ones_in_place() -> None:
    with faults.running(answers="latency=0.3") as server:
        write("a.jsonl", *(f"a{n}" for n in range(20)))
        write("b.jsonl", *(f"b{n}" for n in range(5)))
        args = command(
            "a.jsonl", "b.jsonl", "-o", "o.jsonl", "--base-url", server.url, "--concurrency", "4"
        )
        run = subprocess.Popen(args, stderr=subprocess.PIPE)
        while not server.log.answered:
            time.sleep(0.02)
        with Path("a.jsonl").open("a") as file:
            file.write('"late"\n')
        _out, stderr = run.communicate(timeout=60)
        assert run.returncode == 0, stderr
        assert len(read("o.jsonl")) == 25


def test_the_same_glob_resumes_beside_its_own_output(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("a.jsonl", "a", "b [[fault:400]]")
    write("b.jsonl", "c")
    args = ("*.jsonl", "-o", "out.jsonl", "--base-url", server.url)
    assert batch(*args) == 1
    assert batch(*args, "--restart") == 1
    attempts = server.log.attempts["a"]
    assert batch(*args) == 1
    assert "All 3 rows are done already" in capfd.readouterr().err
    assert server.log.attempts["a"] == attempts == 2
    assert batch("out.errors.jsonl", "-o", "x.jsonl", "--base-url", server.url) == 2


def test_long_numbers_and_deep_answers_are_kept(server: faults.Running) -> None:
    big = 12345678901234567890123
    write("in.jsonl", {"prompt": "a", "id": big, "x": 1.5}, {"prompt": "b", "seed": big})
    assert batch("in.jsonl", "--base-url", server.url) == 0
    rows = {place(row): row for row in read("in.results.jsonl")}
    assert (rows[1]["id"], rows[1]["x"], rows[2]["seed"]) == (big, 1.5, big)
    assert batch("in.jsonl", "--base-url", server.url) == 0
    assert server.log.attempts == {"a": 1, "b": 1}


def test_signals_end_a_run_whose_reader_has_stopped_reading() -> None:
    write("in.jsonl", *(f"row {n} " + "x" * 2000 for n in range(500)))
    with faults.running() as server:
        run = subprocess.Popen(
            command("in.jsonl", "-o", "-", "--base-url", server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            end = time.monotonic() + 30
            before = -1  # the pipe of 64 KiB gets full, and the loop stands in its write
            while (now := len(server.log.answered)) == 0 or now != before:
                assert time.monotonic() < end, "the run goes on, or has not begun"
                before = now
                time.sleep(0.5)
            assert now < 500
            run.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            run.send_signal(signal.SIGTERM)
            assert run.wait(20) == 143
            assert b"Traceback" not in (run.stderr.read() if run.stderr else b"")
        finally:
            run.kill()
            run.wait()
            for pipe in (run.stdout, run.stderr):
                assert pipe is not None
                pipe.close()


def test_lines_that_cost_no_row_are_not_said_to_be_asked_again(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a", "b")
    assert batch("in.jsonl", "--base-url", server.url) == 0
    with Path("in.results.jsonl").open("a") as file:
        file.write('{"foreign": 1}\n')
    capfd.readouterr()
    assert batch("in.jsonl", "--base-url", server.url) == 0
    stderr = capfd.readouterr().err
    assert "1 line of the output that is damaged, repeated or of no row was moved to" in stderr
    assert "its row is asked again" not in stderr and "All 2 rows are done already." in stderr
