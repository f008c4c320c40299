"""The start with several servers of which some do not answer."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import aiohttp
import pytest
from qchat.batch.engines import http, selection
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.servers import ServerPool

from qchat.api.endpoint import Endpoint
from qchat.errors import EngineError
from tests import faults
from tests.batch.chat_request import chat_request
from tests.batch.commands import batch, once_each, write


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is waited for without end."""
    monkeypatch.setattr(http, "_CONTROL_TIMEOUT", aiohttp.ClientTimeout(total=None))


def pool(*urls: str) -> ServerPool:
    return ServerPool([HttpEngine(Endpoint(f"{url}/v1"), FixedConcurrency(4)) for url in urls])


@pytest.mark.usefixtures("no_timeout")
async def test_the_run_starts_with_the_servers_that_answer() -> None:
    with silent_server() as first, silent_server() as second, faults.running() as third:
        engine = pool(first, second, third.url)
        await engine.start()
        async with asyncio.timeout(60):
            assert await engine.models() == ["demo"]
            assert engine.description == "1 of 3 servers"
            outcomes = await asyncio.gather(
                *(engine.answer(chat_request(f"{n}")) for n in range(20))
            )
        assert all(outcome.answered for outcome in outcomes)
        await engine.close()


@pytest.mark.usefixtures("no_timeout")
async def test_a_server_that_answers_late_joins() -> None:
    with silent_server() as silent, faults.running() as late, faults.running() as early:
        await asyncio.to_thread(late.down)
        engine = pool(silent, late.url, early.url)
        await engine.start()
        async with asyncio.timeout(60):
            await engine.models()
            assert engine.description == "1 of 3 servers"
            await asyncio.to_thread(late.up)
            while engine.description != "2 of 3 servers":
                await asyncio.sleep(0.02)
            while not late.log.answered:
                assert (await engine.answer(chat_request("x"))).answered
                await asyncio.gather(*(engine.answer(chat_request(f"{n}")) for n in range(4)))
        await engine.close()


@pytest.mark.usefixtures("no_timeout")
async def test_while_none_answers_the_first_one_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qchat.batch.engines.servers.STARTUP_GRACE", 0.05)
    answering = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answering.wait()
        body = b'{"data": [{"id": "m"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    late = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with silent_server() as silent:
        engine = pool(silent, late)
        await engine.start()
        models = asyncio.create_task(engine.models())
        done, _pending = await asyncio.wait({models}, timeout=0.3)
        assert not done
        assert engine.unanswered == [f"{silent}/v1", f"{late}/v1"]
        answering.set()
        async with asyncio.timeout(60):
            assert await models == ["m"]
        await engine.close()
    server.close()


@pytest.mark.usefixtures("no_timeout")
async def test_a_server_that_refuses_ends_the_start_at_once() -> None:
    with silent_server() as silent, faults.running(api_key="secret") as closed:
        engine = pool(silent, closed.url)
        await engine.start()
        async with asyncio.timeout(60):
            with pytest.raises(EngineError, match="wants a key"):
                await engine.models()
        await engine.close()


async def test_where_none_can_be_reached_the_first_error_is_raised() -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(silent_server()) for _n in range(2)]
    engine = pool(*urls)
    await engine.start()
    with pytest.raises(EngineError, match=f"{urls[0]}/v1 can't be reached"):
        await engine.models()
    await engine.close()


@pytest.mark.usefixtures("home", "no_timeout")
def test_a_run_says_which_servers_it_waits_for(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(1, 41)))
    with silent_server() as first, silent_server() as second, faults.running() as third:
        urls = [word for url in (first, second, third.url) for word in ("--base-url", url)]
        assert batch("in.jsonl", *urls) == 0
    once_each("in.results.jsonl", 40)
    stderr = capfd.readouterr().err
    assert f"Waiting for {first}/v1, {second}/v1\n" in stderr
    assert "Asking 1 of 3 servers." in stderr


@pytest.mark.usefixtures("home")
def test_a_single_server_is_named_too(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "WAIT_NOTICE", 0.1)
    monkeypatch.setattr(http, "_CONTROL_TIMEOUT", aiohttp.ClientTimeout(total=2))
    write("in.jsonl", "a")
    with silent_server() as url:
        assert batch("in.jsonl", "--base-url", url) == 3
    stderr = capfd.readouterr().err
    assert f"Waiting for {url}/v1\n" in stderr
    assert f"{url}/v1 can't be reached" in stderr
