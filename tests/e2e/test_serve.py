"""`qchat serve` as a person uses it, on the real vLLM with the demo model."""

import http.client
import json
import os
import signal
import time
from pathlib import Path

import pytest
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.processes import process_tree

from qchat.processes import kill_processes

from .servers import ALICE, BOB, READY, Home, ask, free_port, wait_until_gone

pytestmark = pytest.mark.vllm

CHAT = {
    "model": "Qwen3-32B",
    "messages": [{"role": "user", "content": "你好，请介绍一下自己"}],
    "max_tokens": 20,
    "temperature": 0.7,
}


def test_requests_of_the_guide_need_a_key(
    served: tuple[Home, int, Path],
) -> None:
    _home, port, _file = served
    assert ask(port, "GET", "/health")[0] == 200
    for key in (None, "c" * MIN_LENGTH):
        for method, path in [
            ("GET", "/v1/models"),
            ("GET", "/metrics"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/tokenize"),
        ]:
            status, reply = ask(port, method, path, key, CHAT)
            assert status == 401 and reply["error"]["code"] == "invalid_api_key"
    for key in (ALICE, BOB):
        status, reply = ask(port, "GET", "/v1/models", key)
        assert status == 200 and [m["id"] for m in reply["data"]] == ["Qwen3-32B"]
    status, reply = ask(port, "POST", "/v1/chat/completions", ALICE, CHAT)
    assert status == 200 and reply["model"] == "Qwen3-32B"
    assert reply["choices"][0]["message"]["content"] or reply["choices"][0]["message"]["reasoning"]
    assert "vllm:num_requests_running" in ask(port, "GET", "/metrics", ALICE)[1]
    for path in ("/invocations", "/openapi.json", "/version", "/ping", "/load", "/v1/models/"):
        assert ask(port, "GET", path, ALICE)[0] == 404
    assert ask(port, "POST", "/invocations", ALICE, CHAT)[0] == 404


def test_a_body_without_end_is_refused(served: tuple[Home, int, Path]) -> None:
    """Chunked, so that only counting finds it: more than 32 MiB."""
    _home, port, _file = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/v1/completions")
    connection.putheader("Authorization", f"Bearer {ALICE}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    try:
        for _n in range(40):
            connection.send(chunk)
        connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass  # the answer has come already
    answer = connection.getresponse()
    assert answer.status == 413
    connection.close()


def test_a_key_is_revoked_by_editing_the_file(served: tuple[Home, int, Path]) -> None:
    home, port, file = served
    assert ask(port, "GET", "/v1/models", BOB)[0] == 200
    try:
        file.write_text(f"alice {ALICE}\nbob short\n")  # a bad edit: nothing changes
        deadline = time.monotonic() + 20
        while "stay as they were" not in home.run("logs", "demo").stdout:
            assert time.monotonic() < deadline
            assert ask(port, "GET", "/v1/models", BOB)[0] == 200
        file.write_text(f"alice {ALICE}\n")
        while ask(port, "GET", "/v1/models", BOB)[0] != 401:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ask(port, "GET", "/v1/models", ALICE)[0] == 200
    finally:
        file.write_text(f"alice {ALICE}\nbob {BOB}\n")
        deadline = time.monotonic() + 20
        while ask(port, "GET", "/v1/models", BOB)[0] != 200:  # other tests use it
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_status_and_a_second_server_of_its_name_or_port(served: tuple[Home, int, Path]) -> None:
    home, port, file = served
    deadline = time.monotonic() + 60
    while True:  # on a busy machine, the server answers later than `status` waits
        reply = json.loads(home.run("status", "--json").stdout)
        one = reply["servers"][0]
        if one["health"] == "ok" and one["memory_mib"] is not None:
            break
        assert time.monotonic() < deadline, one
    assert (one["name"], one["state"], one["port"]) == ("demo", "ready", port)
    assert one["memory_mib"] > 300 and one["uptime_s"] > 0 and one["key"] == str(file)
    assert one["health"] == "ok" and "gpu_memory_mib" in one
    own = process_tree.members(one["vllm"], home.record()["mark"])
    assert len(own) > 1 and not set(own) & {other["pid"] for other in reply["foreign"]}
    assert "demo" in home.run("status").stdout
    os.kill(one["vllm"], signal.SIGSTOP)  # it hangs, and status does not wait for it
    try:
        reply = json.loads(home.run("status", "--json").stdout)["servers"][0]
    finally:
        os.kill(one["vllm"], signal.SIGCONT)
    assert (reply["state"], reply["health"]) == ("ready", "silent")
    again = home.run("serve", "demo", "--port", str(free_port()))
    assert again.returncode == 2 and "is already running" in again.stderr
    other = home.run("serve", "demo", "--name", "other", "--port", str(port))
    assert other.returncode == 2 and f"process {one['vllm']} listens there" in other.stderr


def test_recipes_promises_what_is_served(served: tuple[Home, int, Path]) -> None:
    home, _port, _file = served
    reply = json.loads(home.run("recipes", "--explain", "demo", "--json").stdout)
    tokens, context = reply["kv_tokens"], reply["context"]
    text = f"KV cache size: {tokens:,} tokens, Maximum concurrency for {context:,} tokens"
    assert text in home.run("logs", "demo").stdout


def test_no_key_is_visible(served: tuple[Home, int, Path]) -> None:
    home, _port, _file = served
    record = home.record()
    visible = home.run("status").stdout + home.run("status", "--json").stdout
    visible += home.run("logs", "demo").stdout + json.dumps(record)
    for pid in process_tree.members(None, record["mark"]):
        visible += Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    assert "launcher" in visible
    assert ALICE not in visible and BOB not in visible


def test_an_unknown_name_and_nothing_to_stop(home: Home) -> None:
    assert home.run("stop").stdout == "No server is running.\n"
    done = home.run("stop", "nobody")
    assert done.returncode == 2 and "No server is named nobody" in done.stderr
    assert home.run("logs", "nobody").returncode == 2


@pytest.mark.slow
def test_a_dead_engine_is_restarted_and_a_killed_supervisor_leaves_nothing(
    home: Home,
) -> None:
    port = free_port()
    started = home.run("serve", "demo", "--port", str(port), "--detach")
    assert started.returncode == 0, started.stderr
    assert "qchat.serve.launcher" not in started.stderr
    assert f"qchat serve demo --port {port} --detach --print-command" in started.stderr
    lines = [line for line in started.stderr.splitlines() if line.startswith("[")]
    assert [line.partition("] ")[2] for line in lines[:2]] == [
        "Importing vLLM",
        "Starting the engine",
    ]
    record = home.record()
    try:
        engine = process_tree.members(record["vllm"], record["mark"])[-1]
        os.kill(engine, signal.SIGKILL)
        deadline = time.monotonic() + READY
        while (now := home.record())["restarts"] != 1 or now["state"] != "ready":
            assert time.monotonic() < deadline, now
            time.sleep(0.2)
        assert now["vllm"] != record["vllm"] and "its engine died" in now["message"]
        assert ask(port, "GET", "/v1/models")[0] == 200
        members = process_tree.members(now["vllm"], now["mark"])
        os.kill(now["supervisor"], signal.SIGKILL)
        assert wait_until_gone(members, 20) == []
    finally:
        kill_processes(process_tree.members(None, record["mark"]))
    assert json.loads(home.run("status", "--json").stdout)["servers"] == []
    assert not Path(record["temporary"]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("after", [0.5, 6.0])
def test_nothing_is_left_of_a_start_that_is_broken_off(
    home: Home, signum: signal.Signals, after: float
) -> None:
    process = home.start("serve", "demo", "--port", str(free_port()))
    record = home.record()
    time.sleep(after)
    members = process_tree.members(record["vllm"], record["mark"])
    assert members
    process.send_signal(signum)
    code = process.wait(30)
    assert code == (130 if signum == signal.SIGINT else -signal.SIGKILL)
    assert process.stderr is not None
    process.stderr.close()
    assert wait_until_gone(members, 20) == []
    deadline = time.monotonic() + 20  # what was forked just then ends with its parent
    while left := process_tree.members(None, record["mark"]):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert json.loads(home.run("status", "--json").stdout)["servers"] == []
    assert not Path(record["temporary"]).exists()


@pytest.mark.slow
def test_a_start_that_fails_says_why(home: Home) -> None:
    port = str(free_port())
    done = home.run("serve", "demo", "--port", port, "--", "--no-such-option")
    assert done.returncode == 2
    assert "vLLM does not know the option --no-such-option" in done.stderr
    table = home.run("status").stdout
    assert "failed" in table and "--no-such-option" in table
    assert home.run("stop", "demo").returncode == 0
    assert json.loads(home.run("status", "--json").stdout)["servers"] == []
