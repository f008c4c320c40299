"""Commands that run with a signal ignored, as `nohup` and background jobs start them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qchat.errors import Exit
from qchat.signals import (
    DEADLINE,
    STOP_SIGNALS,
    Interrupted,
    call_on_signal,
    exit_code,
    handle_signals,
    ignore_signals,
    raise_on_signal,
    restored_signals,
    terminate_after,
)
from tests import faults

SUPERVISOR = """
import sys
import threading
from qchat.engine.machine.hardware import Machine
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.supervision.supervisor import Supervisor
from qchat.settings import Paths

class Plan(ServePlan):
    def command(self, parent_pid=None):
        return [sys.executable, *self.vllm_args]

port, server = int(sys.argv[1]), sys.argv[2]
plan = make_plan(ServeOptions("demo", port=port), Machine((), 9000, 8000, 2), {})
values = {name: getattr(plan, name) for name in ServePlan.__slots__}
plan = Plan(**{**values, "vllm_args": ("-c", server, str(port))})
sys.exit(Supervisor(plan, ServerRegistry(Paths.find()), lambda step: None).run())
"""

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("INFO:     Application startup complete.", flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def ignoring(
    ignored: signal.Signals, home: Path, *command: str
) -> Iterator["subprocess.Popen[str]"]:
    """`python COMMAND` in the folder `home`, started with a signal ignored."""
    previous = signal.signal(ignored, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=home,
            env={
                **os.environ,
                "QCHAT_HOME": str(home),
                "PYTHONPATH": str(Path(__file__).parent.parent),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(ignored, previous)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_batch_outlives_a_signal_that_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'"q{n}"\n' for n in range(200)))
    with faults.running(answers="latency=0.2") as server:
        command = ["-m", "qchat", "batch", "in.jsonl", "--base-url", server.url]
        command += ["--concurrency", "2"]
        with ignoring(signal.SIGHUP, tmp_path, *command) as run:
            wait_until(lambda: len(server.log.answered) >= 2)
            run.send_signal(signal.SIGHUP)
            before = len(server.log.answered)
            wait_until(lambda: len(server.log.answered) >= before + 10)  # more than those in flight
            run.send_signal(signal.SIGTERM)
            _out, error = run.communicate(timeout=30)
    assert run.returncode == Exit.TERMINATED, error
    assert "to resume:" in error


def test_the_time_limit_of_a_batch_needs_no_sigterm(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'"q{n}"\n' for n in range(2000)))
    with faults.running(answers="latency=0.2") as server:
        command = ["-m", "qchat", "batch", "in.jsonl", "--base-url", server.url]
        command += ["--concurrency", "2", "--time-limit", "3s"]
        with ignoring(signal.SIGTERM, tmp_path, *command) as run:
            _out, error = run.communicate(timeout=60)
    assert run.returncode == Exit.TERMINATED, error
    assert "to resume:" in error


def test_bench_outlives_a_signal_that_is_ignored(tmp_path: Path) -> None:
    with faults.running(answers="latency=0.05;length=4") as server:
        command = ["-m", "qchat", "bench", "--base-url", server.url, "--output-len", "4"]
        command += ["--concurrency", "1", "--duration", "60s"]
        command += ["--warm-up", "0s", "--json", "a.json"]
        with ignoring(signal.SIGHUP, tmp_path, *command) as run:
            wait_until(lambda: len(server.log.records) >= 5)
            run.send_signal(signal.SIGHUP)
            before = len(server.log.records)
            wait_until(lambda: len(server.log.records) >= before + 10)
            run.send_signal(signal.SIGTERM)
            _out, error = run.communicate(timeout=60)
    assert run.returncode == Exit.TERMINATED, error
    assert json.loads((tmp_path / "a.json").read_text())["phases"][0]["answered"] >= 5


def test_a_supervisor_outlives_a_signal_that_is_ignored(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    record = tmp_path / "state" / "servers" / "demo.json"

    def state() -> str:
        return str(json.loads(record.read_text())["state"]) if record.exists() else ""

    command = ("-c", SUPERVISOR, str(port), SERVER)
    with ignoring(signal.SIGHUP, tmp_path, *command) as run:
        wait_until(lambda: state() == "ready" or run.poll() is not None)
        server = int(json.loads(record.read_text())["vllm"])
        run.send_signal(signal.SIGHUP)
        # The server's own end wakes the supervisor, which would obey the signal now.
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: json.loads(record.read_text())["restarts"] == 1 and state() == "ready")
        run.send_signal(signal.SIGTERM)
        _out, error = run.communicate(timeout=60)
    assert run.returncode == Exit.TERMINATED, error
    assert not record.exists()


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT])
def test_an_ignored_signal_stays_ignored(ignored: signal.Signals) -> None:
    received: list[int] = []
    previous = signal.signal(ignored, signal.SIG_IGN)
    try:
        with handle_signals(received.append, signal.SIGUSR1):
            for signum in (ignored, signal.SIGTERM, signal.SIGUSR1):
                os.kill(os.getpid(), signum)
        assert signal.getsignal(ignored) is signal.SIG_IGN
    finally:
        signal.signal(ignored, previous)
    assert received == [signal.SIGTERM, signal.SIGUSR1]


def test_other_signals_are_handled_even_where_they_are_ignored() -> None:
    received: list[int] = []
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with handle_signals(received.append, signal.SIGUSR1):
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert received == [signal.SIGUSR1]


def test_the_handlers_are_restored() -> None:
    before = [signal.getsignal(signum) for signum in (*STOP_SIGNALS, DEADLINE)]
    with raise_on_signal(), restored_signals():
        ignore_signals()
    assert [signal.getsignal(signum) for signum in (*STOP_SIGNALS, DEADLINE)] == before


def test_the_deadline_interrupts_a_call_that_blocks() -> None:
    reader, writer = os.pipe()
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(Interrupted) as caught, raise_on_signal(), terminate_after(0.05):
            os.read(reader, 1)
    finally:
        signal.signal(signal.SIGTERM, previous)
        os.close(reader)
        os.close(writer)
    assert caught.value.exit_code == Exit.TERMINATED


async def test_the_loop_is_called() -> None:
    received: asyncio.Queue[int] = asyncio.Queue()
    with call_on_signal(received.put_nowait, 60.0, lambda: False):
        for signum in (signal.SIGINT, DEADLINE):
            os.kill(os.getpid(), signum)
            assert await asyncio.wait_for(received.get(), 10) == signum
    assert [exit_code(s) for s in (signal.SIGINT, DEADLINE)] == [Exit.INTERRUPTED, Exit.TERMINATED]


async def test_no_signal_is_sent_again_after_the_end() -> None:
    received: asyncio.Queue[int] = asyncio.Queue()
    before = set(threading.enumerate())
    with call_on_signal(received.put_nowait, 60.0, lambda: False):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(received.get(), 10)
        (timer,) = set(threading.enumerate()) - before
    timer.join(10)
    assert not timer.is_alive()
