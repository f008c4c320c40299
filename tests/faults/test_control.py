"""The misbehaving server can be stopped, brought back, controlled over HTTP and run by hand."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests import faults

from .client import content, post, refuses, wait_until
from .orders import OrderError

ROOT = Path(__file__).parents[2]


async def test_die_and_come_back(http: aiohttp.ClientSession) -> None:
    async with faults.running("die:skip=1,burst=1,seconds=1.5") as server:
        port = server.port
        assert (await post(http, server, "before"))[0] == 200
        waiting = asyncio.create_task(post(http, server, "waits [[answer:latency=60]]"))
        with pytest.raises(aiohttp.ClientError):
            await waiting
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(http, server, "too early")
        await wait_until(lambda: not refuses(port))
        assert (await post(http, server, "after"))[0] == 200
        assert server.port == port
        assert server.log.deaths == 1


async def test_down_takes_every_request_with_it(http: aiohttp.ClientSession) -> None:
    async with faults.running(answers="latency=30") as server:
        tasks = [asyncio.create_task(post(http, server, f"{n}")) for n in range(20)]
        await wait_until(lambda: server.log.in_flight == 20)
        await asyncio.to_thread(server.down)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, aiohttp.ClientError) for one in results)
        assert refuses(server.port)
        await asyncio.to_thread(server.up)
        server.set_answers("latency=0")
        assert (await post(http, server, "again"))[0] == 200
        assert server.log.outcomes == {"gone": 20, "answered": 1}


async def test_control(http: aiohttp.ClientSession, server: faults.Running) -> None:
    async def control(**settings: object) -> int:
        async with http.post(f"{server.url}/_control", json=settings) as reply:
            return reply.status

    assert await control(plan=["500:times=1"], answers="length=3") == 200
    assert (await post(http, server, "x y z"))[0] == 500
    assert (await post(http, server, "x y z"))[1]["usage"]["completion_tokens"] == 3
    assert await control(clear=True) == 200
    assert content((await post(http, server, "x y z"))[1]) == "echo: x y z"
    async with http.get(f"{server.url}/_control/log") as reply:
        log = await reply.json()
    assert log["attempts"] == {"x y z": 3}
    assert log["records"][0]["body"]["messages"][0]["content"] == "x y z"
    assert log["records"][0]["headers"]["content-type"] == "application/json"
    async with http.get(f"{server.url}/_control/log?records=0") as reply:
        assert "records" not in await reply.json()
    wrong: list[dict[str, object]] = [
        {"plans": []},
        {"plan": "500"},
        {"plan": ["nope"]},
        {"down": -1},
        {"answers": 1},
    ]
    for bad in wrong:
        assert await control(**bad) == 400
    assert await control(reset_log=True) == 200
    assert not server.log.attempts


async def test_control_down(http: aiohttp.ClientSession) -> None:
    async with faults.running() as server:
        async with http.post(f"{server.url}/_control", json={"down": 1}) as reply:
            assert reply.status == 200
        await wait_until(lambda: refuses(server.port))
        await wait_until(lambda: not refuses(server.port))
        assert (await post(http, server, "back"))[0] == 200


async def test_running_refuses_what_can_t_work(server: faults.Running) -> None:
    with pytest.raises(OrderError, match="no fault is called"):
        faults.running("oops")
    with pytest.raises(OSError, match="in use"):
        async with faults.running(port=server.port):
            pass
    with pytest.raises(RuntimeError, match="not running"):
        _ = faults.running().base_url


async def test_stopping_does_not_wait_for_what_hangs(http: aiohttp.ClientSession) -> None:
    async with faults.running("hang") as server:
        tasks = [asyncio.create_task(post(http, server, f"{n}")) for n in range(5)]
        await wait_until(lambda: server.log.in_flight == 5)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, aiohttp.ClientError) for one in results)


def test_by_hand() -> None:
    command = [sys.executable, "-m", "tests.faults", "--port", "0", "--fault", "500"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/v1"))
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert sock.recv(100).startswith(b"HTTP/1.1 200")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "oops"], "no fault is called 'oops'"),
        (["--api-key-env", "QCHAT_TEST_NO_SUCH"], "not set or empty"),
        (["--answers", "speed=1"], "no option 'speed'"),
    ],
)
def test_by_hand_with_bad_options(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "tests.faults", "--port", "0", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, env=dict(os.environ)
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
