"""A server that gets stuck, runs out of memory, or sleeps, on the real vLLM."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.processes import process_tree

from qchat.processes import kill_processes

from .servers import READY, Home, ask, free_port

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

BODY = {"model": "demo", "prompt": "Hello", "max_tokens": 8}
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")  # version 1


@pytest.fixture
def clean_home(home: Home) -> Iterator[Home]:
    yield home
    marks = [
        json.loads(file.read_text())["mark"] for file in home.path.glob("state/servers/*.json")
    ]
    home.run("stop", "--all")
    for mark in marks:
        kill_processes(process_tree.members(None, mark))


def serve(home: Home, *options: str) -> int:
    port = free_port()
    started = home.run("serve", "demo", "--port", str(port), "--detach", *options)
    assert started.returncode == 0, started.stderr
    return port


def engine_of(home: Home) -> int:
    record = home.record()
    members = process_tree.members(record["vllm"], record["mark"])
    (engine,) = [
        pid for pid in members if process_tree.process_arguments(pid)[0].startswith("VLLM::Engine")
    ]
    return engine


def status(home: Home) -> tuple[int, dict[str, Any]]:
    done = home.run("status", "--json")
    server: dict[str, Any] = json.loads(done.stdout)["servers"][0]
    return done.returncode, server


def wait_for(home: Home, wanted: str, restarts: int | None = None) -> dict[str, Any]:
    deadline = time.monotonic() + READY
    while True:
        _code, server = status(home)
        if server["state"] == wanted and restarts in (None, server["restarts"]):
            return server
        assert time.monotonic() < deadline, server
        time.sleep(0.2)


def ask_in_thread(port: int, answers: list[int]) -> threading.Thread:
    def run() -> None:
        try:
            answers.append(ask(port, "POST", "/v1/completions", body=BODY, timeout=READY)[0])
        except OSError:
            answers.append(0)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_stopped_engine_is_said_to_be_stuck_and_restarted(clean_home: Home) -> None:
    """It was stopped before the request came, so vLLM's own figures show nothing."""
    home = clean_home
    port = serve(home, "--stall-timeout", "5s")
    assert ask(port, "POST", "/v1/completions", body=BODY)[0] == 200
    os.kill(engine_of(home), signal.SIGSTOP)
    answers: list[int] = []
    thread = ask_in_thread(port, answers)
    server = wait_for(home, "stalled")
    assert (server["running"], server["waiting"]) == (1, 0)
    assert status(home)[0] == 3 or status(home)[1]["state"] != "stalled"
    wait_for(home, "ready", restarts=1)
    thread.join()
    assert ask(port, "POST", "/v1/completions", body=BODY)[0] == 200
    log = home.run("logs", "demo").stdout
    assert "The server is stuck: no token for" in log and "restart 1 of 5" in log


def test_the_cause_of_a_killed_engine_is_not_what_a_client_wrote(clean_home: Home) -> None:
    home = clean_home
    port = serve(home)
    assert ask(port, "GET", "/health?OutOfMemoryError")[0] == 200
    os.kill(engine_of(home), signal.SIGKILL)
    deadline = time.monotonic() + READY
    while not (message := home.record()["message"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "its engine died" in message and "memory" not in message


@pytest.mark.skipif(
    not os.access(MEMORY_GROUPS / "cgroup.procs", os.W_OK),
    reason="needs a memory control group (v1) of our own",
)
def test_the_kernels_record_of_an_engine_without_memory(clean_home: Home) -> None:
    home = clean_home
    port = serve(home)
    engine = engine_of(home)
    group = MEMORY_GROUPS / f"qchat-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(30 << 20))
        (group / "cgroup.procs").write_text(str(engine))
        prompts = [[10 + (7 * i + j) % 1900 for j in range(3500)] for i in range(40)]
        ask(port, "POST", "/v1/completions", body={**BODY, "prompt": prompts})
        deadline = time.monotonic() + READY
        while not (message := home.record()["message"]):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert f"The kernel killed its process {engine} (VLLM::EngineCor" in message
    finally:
        home.run("stop", "--all")
        group.rmdir()


def test_three_clients_knock_at_a_sleeping_engine_and_it_sleeps_and_wakes_twice(
    clean_home: Home,
) -> None:
    home = clean_home
    port = serve(home, "--idle-stop", "5s")
    for _round in range(2):
        server = wait_for(home, "idle")
        assert server["wake_s"] > 1 and server["vllm"] is None
        assert process_tree.members(None, home_mark(home)) == []
        assert ask(port, "GET", "/health")[0] == 200
        assert "qchat_asleep 1" in ask(port, "GET", "/metrics")[1]
        asleep = closed_and_absent(port)
        assert status(home)[1]["state"] == "idle"
        answers: list[int] = []
        threads = [ask_in_thread(port, answers) for _client in range(3)]
        for thread in threads:
            thread.join()
        assert answers == [200] * 3
        assert closed_and_absent(port) == asleep


def closed_and_absent(port: int) -> list[str]:
    """What is said to requests for a route that is closed, and for one of another kind of model."""
    answers = [ask(port, "POST", path, body=BODY) for path in ("/invocations", "/v1/embeddings")]
    assert [code for code, _reply in answers] == [404, 404]
    closed, absent = (reply["error"]["message"] for _code, reply in answers)
    assert "closed here" in closed and "its model does not support it" in absent
    return [closed, absent]


def home_mark(home: Home) -> str:
    record = json.loads((home.path / "state" / "servers" / "demo.json").read_text())
    return str(record["mark"])


def test_a_shutdown_timeout_cuts_no_stream(clean_home: Home) -> None:
    home = clean_home
    port = serve(home, "--", "--shutdown-timeout", "60")
    long = {**BODY, "max_tokens": 1500, "ignore_eos": True, "stream": True}
    texts: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: texts.append(
                ask(port, "POST", "/v1/completions", body=long, timeout=READY)[1]
            )
        )
        for _client in range(4)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + READY
    while status(home)[1]["running"] < 4:
        assert time.monotonic() < deadline
    assert home.run("stop", "demo").returncode == 0
    for thread in threads:
        thread.join()
    assert len(texts) == 4 and all(text.rstrip().endswith("data: [DONE]") for text in texts)
