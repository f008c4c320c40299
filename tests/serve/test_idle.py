"""--idle-stop from end to end, with uvicorn behind the real access layer in vLLM's place."""

import http.client
import json
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access import request_gauge
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan
from qchat.serve.processes import process_tree
from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.supervision.engine_door import EngineDoor
from qchat.serve.supervision.restart_policy import RestartPolicy
from qchat.serve.supervision.supervisor import Supervisor

from qchat import cli
from qchat.engine.machine.hardware import Machine
from qchat.errors import Exit

from .supervised import LINUX, act_when, record_of, signal_when, state, times

for name in ("uvicorn", "uvloop", "httptools"):
    pytest.importorskip(name)

# vLLM's server as far as its sockets go: `run_server` sets one up and gives it to uvicorn.
SCRIPT = """
import asyncio, os, socket, sys, time
from argparse import Namespace
from pathlib import Path
import uvicorn, uvloop
from qchat.serve.access import Access
from qchat.serve.access.http_protocol import GuardedProtocol
from qchat.serve.processes.inherited_sockets import inherited
folder, behaviours = Path(sys.argv[2]), sys.argv[3].split(",")
with (folder / "starts").open("a") as file:
    file.write(f"{time.monotonic()}\\n")
starts = len((folder / "starts").read_text().splitlines())
behaviour = behaviours[min(starts, len(behaviours)) - 1]
if behaviour == "broken":
    sys.exit("ValueError: the GPU is taken")
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    while scope["path"] == "/v1/chat/completions" and not (folder / "go").exists():
        await asyncio.sleep(0.02)
    answer = f"{os.getpid()} {scope['path']} {body.decode()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer})
def setup_server(args, reuse_port=False):
    sock = socket.socket()
    sock.bind((args.host, args.port))
    return "", sock
async def run_server(args):
    _address, sock = setup_server(args, reuse_port=False)
    config = uvicorn.Config(
        Access(app), log_level="warning", lifespan="off", http=GuardedProtocol
    )
    server = uvicorn.Server(config)
    print("INFO:     Application startup complete.", flush=True)
    await server.serve(sockets=[sock])
args = Namespace(host="127.0.0.1", port=int(sys.argv[1]))
sockets = inherited()
with sockets.used_by(run_server):
    uvloop.run(run_server(args))
"""
IDLE_STOP = 1.0  # seconds


class IdlePlan(ServePlan):
    """A plan whose process is the script above."""

    def command(self, parent_pid: int | None = None) -> list[str]:
        return [sys.executable, *self.vllm_args]


def idle_plan(folder: Path, port: int, behaviours: str = "healthy") -> IdlePlan:
    script = folder / "idle.py"
    script.write_text(SCRIPT)
    options = ServeOptions("demo", port=port, idle_stop=IDLE_STOP)
    plan = make_plan(options, Machine((), 9000, 8000, 2), {})
    plan = replace(plan, vllm_args=(str(script), str(port), str(folder), behaviours))
    return IdlePlan(**{field.name: getattr(plan, field.name) for field in fields(plan)})


def ask(port: int, path: str = "/v1/completions", method: str = "POST") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = '{"prompt": "hello"}' if method == "POST" else None
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def at_once(port: int, n: int) -> list[tuple[int, str]]:
    """The answers to `n` clients that ask at the same time."""
    answers: list[tuple[int, str]] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(port))) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def wait_for(registry: ServerRegistry, wanted: str) -> None:
    deadline = time.monotonic() + 60
    while state(registry) != wanted:
        assert time.monotonic() < deadline, state(registry)
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QCHAT_API_KEY", raising=False)
    for module in ("supervisor", "progress_watch"):
        monkeypatch.setattr(f"qchat.serve.supervision.{module}.WATCH_INTERVAL", 0.1)


def supervise(registry: ServerRegistry, plan: ServePlan) -> Exit:
    policy = RestartPolicy(first_delay=0.01)
    return Supervisor(plan, registry, lambda _step: None, policy).run()


@LINUX
def test_three_clients_wake_a_sleeping_server_and_all_are_answered_twice(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds: list[list[tuple[int, str]]] = []
    asleep: list[dict[str, Any]] = []
    scrapes: list[int] = []

    def look() -> None:
        try:
            for _round in range(2):
                wait_for(registry, records.IDLE)
                mark = record_of(registry).mark
                assert process_tree.members(None, mark) == []
                capsys.readouterr()
                assert cli.run(["status", "--json"]) == 0
                asleep.append(json.loads(capsys.readouterr().out)["servers"][0])
                paths = ("/health", "/metrics", "/invocations")
                scrapes.extend(ask(unused_port, path, "GET")[0] for path in paths)
                assert state(registry) == records.IDLE
                rounds.append(at_once(unused_port, 3))
        finally:
            done.append(True)

    done: list[bool] = []
    threads = [act_when(lambda: state(registry) == records.READY, look)]
    threads.append(signal_when(lambda: bool(done)))
    assert supervise(registry, idle_plan(tmp_path, unused_port)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert [[status for status, _text in answers] for answers in rounds] == [[200] * 3] * 2
    for answers in rounds:  # one process has read the whole request
        assert len({text for _status, text in answers}) == 1
        assert answers[0][1].endswith('/v1/completions {"prompt": "hello"}')
    assert scrapes == [200, 200, 404] * 2
    for server in asleep:
        assert (server["state"], server["vllm"]) == ("idle", None)
        assert server["health"] in ("ok", "silent")  # on a busy machine no answer in 0.12 s
        assert server["wake_s"] > 0 and server["memory_mib"] is not None
        assert "a request starts it, which takes about" in server["message"]
    assert len(times(tmp_path, "starts")) == 3


@LINUX
def test_scrapes_do_not_keep_a_server_awake_and_clients_do(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    awake: list[str] = []

    def visit() -> None:
        try:
            for _visit in range(8):  # longer than the time without a request
                assert ask(unused_port)[0] == 200
                awake.append(state(registry))
                time.sleep(IDLE_STOP / 4)
            deadline = time.monotonic() + 60
            while state(registry) != records.IDLE:
                assert time.monotonic() < deadline
                ask(unused_port, "/health", "GET")
                ask(unused_port, "/metrics", "GET")
        finally:
            done.append(True)

    done: list[bool] = []
    threads = [
        act_when(lambda: state(registry) == records.READY, visit),
        signal_when(lambda: bool(done)),
    ]
    assert supervise(registry, idle_plan(tmp_path, unused_port)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert awake == [records.READY] * 8 and len(times(tmp_path, "starts")) == 1


@LINUX
def test_clients_wait_for_the_first_start_and_over_a_restart(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    """Nobody is refused: the address is the supervisor's."""
    answers: list[int] = []

    def visit() -> None:
        try:
            answers.append(ask(unused_port)[0])
            assert cli.run(["restart", "demo", "--no-wait"]) == 0
            deadline = time.monotonic() + 60
            while len(times(tmp_path, "starts")) < 2 and time.monotonic() < deadline:
                answers.append(ask(unused_port)[0])
        finally:
            done.append(True)

    done: list[bool] = []
    threads = [
        act_when(lambda: state(registry) == records.STARTING, visit),
        signal_when(lambda: bool(done)),
    ]
    assert supervise(registry, idle_plan(tmp_path, unused_port)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert answers and set(answers) == {200}


@LINUX
def test_a_request_that_comes_as_vllm_is_about_to_sleep_keeps_it_awake(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a connection that vLLM had accepted before. Nobody waits for the end of that one."""
    late = http.client.HTTPConnection("127.0.0.1", unused_port, timeout=60)
    answers: list[int] = []
    take_back = EngineDoor.take_back

    def take_back_too_late(door: EngineDoor, timeout: float) -> None:
        take_back(door, timeout)
        if not answers:
            answers.append(0)
            late.request("POST", "/v1/chat/completions", "{}")
            deadline = time.monotonic() + 60
            folder = Path(record_of(registry).temporary)
            while (figures := request_gauge.read(folder)) is None or not figures.open:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def visit() -> None:
        try:
            late.connect()
            late.request("GET", "/v1/models")
            late.getresponse().read()
            deadline = time.monotonic() + 60
            while not answers:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            answers.append(ask(unused_port)[0])  # while the late one is still being answered
            (tmp_path / "go").touch()
            answers.append(late.getresponse().status)
            late.close()
            wait_for(registry, records.IDLE)
            answers.append(ask(unused_port)[0])
        finally:
            done.append(True)

    monkeypatch.setattr(EngineDoor, "take_back", take_back_too_late)
    done: list[bool] = []
    threads = [
        act_when(lambda: state(registry) == records.READY, visit),
        signal_when(lambda: bool(done)),
    ]
    assert supervise(registry, idle_plan(tmp_path, unused_port)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert answers == [0, 200, 200, 200] and len(times(tmp_path, "starts")) == 2


@LINUX
def test_a_request_that_waits_as_vllm_is_about_to_sleep_needs_no_new_start(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[int] = []
    clients: list[threading.Thread] = []
    take_back = EngineDoor.take_back

    def take_back_in_time(door: EngineDoor, timeout: float) -> None:
        take_back(door, timeout)
        if not clients:
            clients.append(threading.Thread(target=lambda: answers.append(ask(unused_port)[0])))
            clients[0].start()
            deadline = time.monotonic() + 60
            while not door.waiting():
                assert time.monotonic() < deadline
                time.sleep(0.02)

    monkeypatch.setattr(EngineDoor, "take_back", take_back_in_time)
    thread = signal_when(lambda: bool(answers))
    assert supervise(registry, idle_plan(tmp_path, unused_port)) == Exit.TERMINATED
    thread.join()
    clients[0].join()
    assert answers == [200] and len(times(tmp_path, "starts")) == 1


@LINUX
def test_a_wake_up_that_fails_is_said_and_the_server_sleeps_on(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    seen: list[tuple[int, str, str]] = []

    def visit() -> None:
        try:
            status, _text = ask(unused_port)
            wait_for(registry, records.IDLE)
            seen.append((status, state(registry), record_of(registry).message))
            assert ask(unused_port)[0] == 503  # at once, not another start
        finally:
            done.append(True)

    done: list[bool] = []
    threads = [
        act_when(lambda: state(registry) == records.IDLE, visit),
        signal_when(lambda: bool(done)),
    ]
    plan = idle_plan(tmp_path, unused_port, "healthy,broken")
    assert supervise(registry, plan) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    ((status, _state, message),) = seen
    assert status == 503 and "the GPU is taken" in message
    assert len(times(tmp_path, "starts")) == 2
