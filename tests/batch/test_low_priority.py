"""`--low-priority`: a batch yields to live requests."""

import asyncio
import contextlib
import json
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.live_traffic import QUIET_SECONDS, LiveTraffic
from qchat.batch.engines.live_watch import LiveWatch
from qchat.batch.engines.metrics import ServerLoad, parse_load

from qchat.api.endpoint import Endpoint
from qchat.api.priority import HEADER, LIVE_RUNNING, LIVE_TOTAL
from tests import faults
from tests.batch.chat_request import chat_request
from tests.batch.commands import batch, once_each, write


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def counted(running: int, total: int) -> ServerLoad:
    """What `qchat serve` tells."""
    return ServerLoad(0, 0, None, 0, running, total)


def load(running: int, waiting: int = 0) -> ServerLoad:
    """What any vLLM tells."""
    return ServerLoad(running, waiting, None, 0)


def traffic(others: int = 0) -> tuple[LiveTraffic, Clock]:
    clock = Clock()
    return LiveTraffic(4, lambda: others, clock), clock


def test_it_yields_while_live_requests_run_and_two_seconds_longer() -> None:
    live, clock = traffic()
    live.observe(counted(0, 7), 64)
    assert live.limit(64) == 64
    assert live.observe(counted(1, 8), 64)
    assert live.limit(64) == 4 and live.limit(2) == 2
    clock.now += 5
    assert not live.observe(counted(1, 8), 4)
    clock.now += QUIET_SECONDS - 0.1
    assert not live.observe(counted(0, 8), 4) and live.is_live
    clock.now += 0.2
    assert live.observe(counted(0, 8), 4) and live.limit(64) == 64
    assert live.state(64, 64).live_seconds == pytest.approx(5 + QUIET_SECONDS + 0.1)


def test_a_live_request_between_two_looks_is_noticed() -> None:
    live, _clock = traffic()
    live.observe(counted(0, 7), 64)
    assert live.observe(counted(0, 8), 64)


def test_without_those_figures_what_is_not_ours_is_live() -> None:
    live, clock = traffic()
    assert not live.observe(load(60, 4), 64)
    clock.now += 0.1
    assert not live.observe(load(64), 60)  # four of ours have ended, and are counted there yet
    clock.now += 2
    assert live.observe(load(61), 60)


def test_other_polite_batches_are_not_live() -> None:
    live, _clock = traffic(others=64)
    assert not live.observe(load(100, 28), 64)
    assert live.observe(load(100, 29), 64)


def test_a_batch_announces_that_it_takes_more() -> None:
    live, clock = traffic()
    live.observe(counted(1, 1), 64)
    assert live.state(64, 64).claim == 4
    clock.now += 1.0
    live.observe(counted(0, 1), 4)
    assert live.state(4, 64).claim == 64  # a second before it does
    clock.now += 1.5
    live.observe(counted(0, 1), 4)
    assert live.state(4, 64).claim == 64 and not live.is_live
    clock.now += 5
    live.observe(counted(0, 1), 30)
    assert live.state(30, 64).claim == 30


def test_a_batch_that_is_measured_announces_all_that_it_will_take() -> None:
    live, clock = traffic()
    live.observe(counted(0, 1), 0)
    clock.now += 5
    live.hold(2)
    assert live.limit(64) == 2 and live.state(6, 64).claim == 64
    live.hold(None)
    assert live.limit(64) == 64 and live.state(6, 64).claim == 64
    clock.now += QUIET_SECONDS + 0.1
    assert live.state(6, 64).claim == 6


def test_a_server_without_figures_gets_no_more_than_beside_live_requests() -> None:
    live, clock = traffic()
    live.observe(None, 64)
    assert live.is_blind and live.limit(64) == 4
    clock.now += 60
    live.observe(None, 4)
    assert live.limit(64) == 4


def test_the_figures_are_read_from_the_text() -> None:
    text = f"# HELP {LIVE_RUNNING} x\n{LIVE_RUNNING} 3\n{LIVE_TOTAL} 17\n"
    assert parse_load(text) == ServerLoad(0, 0, None, 0, 3.0, 17.0)
    text = 'vllm:num_requests_running{engine="0"} 5\n'
    assert parse_load(text) == ServerLoad(5, 0, None, 0)


@contextlib.asynccontextmanager
async def polite(
    server: faults.Running, window: int = 32, allowed: int = 2
) -> AsyncIterator[tuple[HttpEngine, LiveTraffic]]:
    live = LiveTraffic(allowed)
    engine = HttpEngine(Endpoint(server.base_url), FixedConcurrency(window), traffic=live)
    await engine.start()
    try:
        yield engine, live
    finally:
        await engine.close()


async def wait_for(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.02)


async def test_requests_are_withdrawn_for_a_live_one_and_sent_again() -> None:
    with faults.running(answers="latency=3") as server:
        async with polite(server) as (engine, live):
            tasks = [asyncio.create_task(engine.answer(chat_request(f"r{n}"))) for n in range(16)]
            await wait_for(lambda: engine.in_flight == 16)
            live_request = asyncio.create_task(asyncio.to_thread(ask_live, server, "latency=0.5"))
            await wait_for(lambda: engine.in_flight == 2)
            assert engine.window == 2 and engine.waiting == 14
            assert live.withdrawn == 14
            outcomes = await asyncio.gather(*tasks)
            await live_request
            assert all(outcome.answered for outcome in outcomes)
            await wait_for(lambda: engine.window == 32)
            log = server.log
    mine = [record for record in log.records if record.headers.get(HEADER.lower()) == "low"]
    assert sum(record.outcome == "answered" for record in mine) == 16
    assert sum(record.outcome == "gone" for record in mine) == 14


async def test_what_is_cancelled_while_it_waits_leaves_its_turn_to_others() -> None:
    with faults.running(answers="latency=0.2") as server:
        async with polite(server, allowed=1) as (engine, live):
            live.observe(counted(1, 1), 0)
            tasks = [asyncio.create_task(engine.answer(chat_request(f"r{n}"))) for n in range(5)]
            await wait_for(lambda: engine.waiting == 4)
            tasks[2].cancel()
            tasks[0].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            cancelled = [isinstance(result, asyncio.CancelledError) for result in results]
            assert cancelled == [True, False, True, False, False]


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_priority_is_sent_where_the_server_takes_it(refuses: bool) -> None:
    with faults.running(answers="latency=0.05") as server, PriorityServer(server, refuses) as url:
        live = LiveTraffic(4)
        engine = HttpEngine(Endpoint(url), FixedConcurrency(8), traffic=live)
        await engine.start()
        outcomes = await asyncio.gather(*(engine.answer(chat_request(f"a{n}")) for n in range(4)))
        outcomes += [await engine.answer(chat_request("b"))]
        await engine.close()
        assert all(outcome.answered for outcome in outcomes)
        bodies = [record.body or {} for record in server.log.records]
        priorities = [body.get("priority") for body in bodies]
        assert priorities.count(10) == (0 if refuses else 2)
        assert len(bodies) == 5


class PriorityServer:
    """In front of a server: refuses a priority as a vLLM without priority scheduling does."""

    def __init__(self, server: faults.Running, refuses: bool) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.pass_on(None)

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if refuses and b'"priority"' in data:
                    text = b'{"error": {"message": "Got priority 10 but Priority scheduling is not'
                    self.reply(400, text + b' enabled."}}')
                else:
                    self.pass_on(data)

            def pass_on(self, data: bytes | None) -> None:
                request = urllib.request.Request(
                    server.url + self.path, data, {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(request) as response:
                    self.reply(response.status, response.read())

            def reply(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def ask_live(server: faults.Running, style: str) -> None:
    """Ask as a chat does."""
    message = {"role": "user", "content": f"live [[answer:{style}]]"}
    data = json.dumps({"model": "demo", "messages": [message]}).encode()
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        response.read()


@contextlib.contextmanager
def live_soon(server: faults.Running) -> Iterator[None]:
    """A live request of a second, once rows are asked."""

    def ask() -> None:
        deadline = time.monotonic() + 30
        while server.log.in_flight < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        ask_live(server, "latency=1")

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join()


def test_the_whole_run_yields_and_tells_it(
    home: Path, server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(120)))
    server.set_answers("latency=0.3")
    with live_soon(server):
        args = ("--base-url", server.url, "--concurrency", "16")
        assert batch("--low-priority", "in.jsonl", *args, "--progress", "json") == 0
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    yielding = [event["servers"][0]["yielding"] for event in events if event.get("servers")]
    assert any(one["is_live"] for one in yielding)
    assert yielding[-1]["withdrawn"] > 0 and yielding[-1]["answered_beside"] > 0
    once_each("in.results.jsonl", 120)


def test_the_option_takes_a_number_only_after_an_equals_sign(
    home: Path, server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": "row"})
    assert batch("in.jsonl", "--low-priority=8", "--base-url", server.url, "-o", "a.jsonl") == 0
    assert batch("--low-priority", "in.jsonl", "--base-url", server.url, "-o", "b.jsonl") == 0
    assert batch("in.jsonl", "--low-priority=none", "--base-url", server.url) == 2
    assert "must be a number from 1 on" in capfd.readouterr().err


async def test_a_server_without_figures_is_told_once(server: faults.Running) -> None:
    messages: list[str] = []

    async def read(_families: object) -> None:
        return None

    watch = LiveWatch(LiveTraffic(3), lambda: 0, read, messages.append, "http://gpu1")
    watching = asyncio.create_task(watch.run(lambda: None))
    await wait_for(lambda: messages)
    await asyncio.sleep(0.6)
    watching.cancel()
    assert len(messages) == 1 and "at most 3 requests" in messages[0]
