"""The state of servers: health checks within a bounded time, and the memory of their processes."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.registry import records
from qchat.serve.registry import server_state as state
from qchat.serve.registry.health import HealthReply, ParallelCalls, check_health

from .findings import FakeNvml
from .stand_in import RECORD


@contextmanager
def answering(*parts: bytes) -> Iterator[str]:
    """A server that sends `parts` on each connection, and then keeps it open."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _address = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("response", "reply"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", HealthReply.OK),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", HealthReply.UNWELL),
        (b"SSH-2.0-OpenSSH_9.2\r\n", HealthReply.REFUSED),
        (b"", HealthReply.SILENT),
    ],
)
def test_replies_to_a_health_check(response: bytes, reply: HealthReply) -> None:
    with answering(response) as url:
        assert check_health(url, 20 if response else 0.05).reply is reply


def test_nobody_listens(unused_port: int) -> None:
    assert check_health(f"http://127.0.0.1:{unused_port}").reply is HealthReply.REFUSED
    assert check_health(f"http://[::1]:{unused_port}").reply is HealthReply.REFUSED


def test_a_call_that_hangs_does_not_delay_the_others() -> None:
    forever = threading.Event()
    try:
        calls = ParallelCalls([lambda: 1, lambda: int(forever.wait()), lambda: 3], 0.1)
        assert calls.results() == [1, None, 3]
    finally:
        forever.set()


def test_servers_that_hang_and_one_that_does_not() -> None:
    """The first three never send a whole answer: had they to be waited for, this would not end."""
    with (
        answering(b"") as hangs,
        answering(b"HTTP/1.1 2") as begins,
        answering(b"HTTP/1.1 200 OK\r\n\r\n") as healthy,
    ):
        urls = {"a": hangs, "b": begins, "c": hangs, "d": healthy}
        servers = [replace(RECORD, name=name, url=url) for name, url in urls.items()]
        servers.append(replace(RECORD, name="e", url=hangs, state=records.STARTING))
        states = {server["name"]: server for server in state.server_states(servers)}
    assert [states[name]["health"] for name in "abcde"] == ["silent"] * 3 + ["ok", None]
    assert states["d"]["health_ms"] > 0 and states["a"]["health_ms"] is None
    assert "mark" not in states["a"] and "temporary" not in states["a"]


def test_memory_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(pid: int) -> object:
        monkeypatch.setattr(state.process_tree, "members", lambda _first, _mark: [pid, os.getpid()])
        (server,) = state.server_states([replace(RECORD, state=records.STARTING, vllm=pid)])
        return server["gpu_memory_mib"]

    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert look(7) is None
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    assert look(7) == 600  # 300 on each of two
    assert look(9) is None  # in a container the driver knows processes by other ids


def test_a_driver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()

    class Hanging(FakeNvml):
        def nvmlInit(self) -> None:
            forever.wait()

    monkeypatch.setitem(sys.modules, "pynvml", Hanging())
    try:
        (server,) = state.server_states([replace(RECORD, state=records.STARTING)])
        assert server["gpu_memory_mib"] is None
    finally:
        forever.set()


def stats(ago: float, rate: float, running: int, waiting: int) -> str:
    """vLLM's line, written so many seconds ago, and lines that come after it without any load."""
    then = time.strftime("%m-%d %H:%M:%S", time.localtime(time.time() - ago))
    return (
        f"(APIServer pid=7) INFO {then} [loggers.py:335] Engine 000: Avg prompt throughput: "
        f"9.8 tokens/s, Avg generation throughput: {rate} tokens/s, Running: {running} reqs, "
        f"Waiting: {waiting} reqs, GPU KV cache usage: 0.0%\n"
        '(APIServer pid=7) INFO:     127.0.0.1:5 - "GET /health HTTP/1.1" 200 OK\n'
    )


def test_figures_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(stats(11, 1.0, 9, 9) + stats(1, 412.5, 3, 1))
    assert state.figures(log) == (412.5, 3, 1)
    log.write_text(stats(60, 412.5, 3, 1))  # the file itself is fresh
    assert state.figures(log) == (0.0, 0, 0)
    log.write_text("nothing yet\n")
    assert state.figures(log) == (0.0, 0, 0)
    assert state.figures(tmp_path / "none") == (0.0, 0, 0)


def test_figures_over_new_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    new_year = time.mktime((2027, 1, 1, 0, 0, 0, 0, 0, -1))
    monkeypatch.setattr(time, "time", lambda: new_year + 2)
    log.write_text(stats(4, 412.5, 3, 1))
    assert "12-31 23:59:58" in log.read_text()
    assert state.figures(log) == (412.5, 3, 1)


def test_a_server_whose_clock_is_another_zones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`qchat status` under TZ=UTC, the server under one of China's or Nepal's time."""
    log = tmp_path / "log"
    for zone, offset in ("CST-8", 8 * 3600), ("NPT-5:45", 20_700), ("EST5", -5 * 3600):
        with time_zone(monkeypatch, zone):
            log.write_text(stats(1, 412.5, 3, 1))
        with time_zone(monkeypatch, "UTC0"):
            for utc_offset, running in (offset, 3), (offset + 3600, 0):
                (server,) = state.server_states(
                    [replace(RECORD, log=str(log), utc_offset=utc_offset)]
                )
                assert server["running"] == running and "utc_offset" not in server


@contextmanager
def time_zone(monkeypatch: pytest.MonkeyPatch, zone: str) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


def test_only_a_ready_server_is_busy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(stats(1, 412.5, 3, 1))
    for name, running in (records.READY, 3), (records.RESTARTING, 0), (records.STARTING, 0):
        (server,) = state.server_states([replace(RECORD, state=name, log=str(log))])
        assert server["running"] == running
