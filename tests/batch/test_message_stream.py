"""Messages and progress whose reader is gone, or does not read: the run goes on."""

import fcntl
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from qchat.batch.message_stream import open_message_stream

from tests import faults
from tests.batch.commands import batch, command, once_each, read, write

pytestmark = pytest.mark.usefixtures("home")


def test_a_reader_of_the_progress_that_goes_away_ends_nothing() -> None:
    write("in.jsonl", *({"prompt": f"q{n}"} for n in range(60)))
    with faults.running(answers="latency=0.2") as server:
        args = ("in.jsonl", "--base-url", server.url, "--concurrency", "4", "--progress", "json")
        run = subprocess.Popen(command(*args), stderr=subprocess.PIPE)
        assert run.stderr is not None
        while json.loads(run.stderr.readline())["event"] != "progress":
            pass
        answered = len(server.log.answered)
        run.stderr.close()
        assert run.wait(60) == 0
        assert 0 < answered < 60
    once_each("in.results.jsonl", 60)
    assert json.loads(Path("in.results.manifest.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("progress", ["json", "auto"])
@pytest.mark.parametrize(
    ("line", "args", "code"),
    [
        ("a", [], 0),
        ("a [[fault:400]]", [], 1),
        ("a", ["--encoding", "klingon"], 2),
        ("a", ["--time-limit", "soon"], 2),
        ("a", ["--time-limit", "0"], 2),
        ("a", ["--retry-where", ""], 2),
        ("a", ["--model", "other"], 3),
    ],
)
def test_without_a_reader_the_exit_code_is_right(
    server: faults.Running, progress: str, line: str, args: list[str], code: int
) -> None:
    write("in.jsonl", line)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        full = command("in.jsonl", "--base-url", server.url, "--progress", progress, *args)
        assert subprocess.run(full, stderr=writer, timeout=60).returncode == code
    finally:
        os.close(writer)
    assert Path("in.results.jsonl").exists() == (code < 2)
    assert Path("in.results.errors.jsonl").exists() == (code == 1)


def test_a_full_disk_behind_the_messages_ends_nothing(server: faults.Running) -> None:
    write("in.jsonl", "a", "b")
    with Path("/dev/full").open("w") as full:
        args = command("in.jsonl", "--base-url", server.url)
        assert subprocess.run(args, stderr=full, timeout=60).returncode == 0
    assert len(read("in.results.jsonl")) == 2


def test_a_reader_that_stops_reading_blocks_nothing() -> None:
    write("in.jsonl", *({"prompt": f"q{n}"} for n in range(40)))
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    while True:  # fill it
        try:
            os.write(writer, b"x" * 512)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    try:
        with faults.running(answers="latency=0.1") as server:
            args = ("in.jsonl", "--base-url", server.url, "--concurrency", "4")
            run = command(*args, "--progress", "json")
            assert subprocess.run(run, stderr=writer, timeout=60).returncode == 0
    finally:
        os.close(reader)
        os.close(writer)
    once_each("in.results.jsonl", 40)


def test_a_message_larger_than_the_pipe_blocks_nothing() -> None:
    reader, writer = os.pipe()
    stream = open_message_stream(writer)
    thread = threading.Thread(target=stream.write, args=("x" * 200_000,), daemon=True)
    thread.start()
    thread.join(20)
    blocked = thread.is_alive()
    os.close(reader)  # ends a write that is blocked
    thread.join()
    stream.close()
    os.close(writer)
    assert not blocked


def test_results_on_standard_output_need_their_reader(server: faults.Running) -> None:
    write("in.jsonl", *(f"row {n}" for n in range(2000)))
    args = command("in.jsonl", "-o", "-", "--base-url", server.url)
    run = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.close()
    assert run.wait(60) == 141


def test_what_can_be_written_arrives(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file, open_message_stream(file.fileno()) as stream:
        assert not stream.isatty()
        stream.write("one\n你好 \udcff\n")
        stream.flush()
        assert path.read_text("utf-8") == "one\n你好 ?\n"


def test_the_run_is_the_same_in_this_process(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    assert batch("in.jsonl", "--base-url", server.url, "--progress", "json") == 0
    events = [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()]
    assert events[-2:] == ["summary", "message"]
