"""Signals, kills, faults and a second run while rows are asked: no row is lost or asked twice."""

import random
import signal
import subprocess
import time

import pytest

from tests import faults
from tests.batch.commands import batch, command, once_each, read, write

pytestmark = pytest.mark.usefixtures("home")


def test_a_second_run_on_one_output_is_refused_with_the_first_ones_pid() -> None:
    with faults.running(answers="latency=0.3") as server:
        write("in.jsonl", *[f"q{n}" for n in range(400)])
        args = command("in.jsonl", "--base-url", server.url, "--concurrency", "4")
        first = subprocess.Popen(args, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: server.log.answered)
            second = subprocess.run(args, capture_output=True, text=True, timeout=30)
            assert second.returncode == 2
            assert f"PID {first.pid}" in second.stderr
        finally:
            first.kill()
            first.wait()


def wait_for(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)],
)
def test_a_first_signal_drains_and_says_how_to_resume(signum: int, code: int) -> None:
    with faults.running(answers="latency=0.2") as server:
        write("in.jsonl", *[f"q{n}" for n in range(60)])
        args = command("in.jsonl", "--base-url", server.url, "--concurrency", "4")
        run = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(server.log.answered) >= 4)
        run.send_signal(signum)
        _out, error = run.communicate(timeout=30)
        assert run.returncode == code, error
        assert f"to resume:\n  qchat batch in.jsonl --base-url {server.url}" in error
        assert "Traceback" not in error
        done = len(read("in.results.jsonl"))
        log = server.log
        assert log.outcomes["gone"] == 0 and sum(log.answered.values()) == done < 60
        assert subprocess.run(args, stderr=subprocess.DEVNULL, timeout=60).returncode == 0
        once_each("in.results.jsonl", 60)
        assert set(server.log.answered.values()) == {1}


def test_a_second_signal_stops_at_once() -> None:
    with faults.running(answers="latency=20") as server:
        write("in.jsonl", "a", "b")
        args = command("in.jsonl", "--base-url", server.url)
        run = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: server.log.in_flight == 2)
        run.send_signal(signal.SIGINT)
        assert run.stderr is not None
        assert any("Stopping" in line for line in run.stderr)
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        _out, error = run.communicate(timeout=30)
        assert run.returncode == 130, error
        assert time.monotonic() - began < 3


def test_kill_9_at_any_moment_and_each_row_is_there_once() -> None:
    with faults.running(answers="latency=0.02;jitter=0.03") as server:
        write("in.jsonl", *[f"q{n}" for n in range(300)])
        args = command("in.jsonl", "--base-url", server.url, "--concurrency", "8")
        kills = 0
        for _round in range(40):
            run = subprocess.Popen(args, stderr=subprocess.DEVNULL)
            try:
                code = run.wait(timeout=random.uniform(0.4, 1.2))
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                kills += 1
                continue
            assert code == 0
            break
        assert kills >= 1
        assert subprocess.run(args, stderr=subprocess.DEVNULL, timeout=60).returncode == 0
        once_each("in.results.jsonl", 300)


def test_faults_of_every_kind_cost_no_row() -> None:
    kinds = [
        *("reset", "reset_mid_body", "503", "429;retry_after=0", "500", "502", "200_garbage"),
        *("200_empty", "200_wrong_shape", "wrong_content_length", "half_utf8", "close_keepalive"),
    ]
    with faults.running() as server:
        lines = [f"q{n}" for n in range(150)]
        lines += [f"f{n} [[fault:{kind};times=2]]" for n, kind in enumerate(kinds * 4)]
        write("in.jsonl", *lines)
        assert batch("in.jsonl", "--base-url", server.url, "-q") == 0
        once_each("in.results.jsonl", len(lines))


def test_a_server_that_goes_and_comes_back_costs_no_row() -> None:
    with faults.running("die:skip=40,burst=1,seconds=2", answers="latency=0.01") as server:
        write("in.jsonl", *[f"q{n}" for n in range(120)])
        assert batch("in.jsonl", "--base-url", server.url, "-q", "--concurrency", "8") == 0
        assert server.log.deaths == 1
        once_each("in.results.jsonl", 120)
