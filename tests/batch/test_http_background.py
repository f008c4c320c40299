"""Background tasks of the http engine that raise: requests and loads are watched all the same."""

import asyncio

import pytest
from qchat.batch.engines import http
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.metrics import ServerLoad, parse_load

from qchat.api.endpoint import Endpoint
from qchat.errors import Code
from tests import faults
from tests.batch.chat_request import chat_request


async def test_stalled_requests_end_although_the_load_can_never_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_text: str) -> ServerLoad | None:
        raise RuntimeError("odd metrics")

    monkeypatch.setattr(http, "parse_load", fail)
    reports: list[str] = []
    with faults.running() as server:
        engine = HttpEngine(Endpoint(server.base_url), FixedConcurrency(4), report=reports.append)
        engine.stall_detector.stall_timeout = engine.stall_detector.blind_timeout = 1.0
        await engine.start()
        async with asyncio.timeout(30):
            outcome = await engine.answer(chat_request("x [[fault:hang;seconds=60]]"))
            second = await engine.answer(chat_request("y [[fault:hang;seconds=60]]"))
        await engine.close()
    assert outcome.failure is not None and outcome.failure.code is Code.NO_PROGRESS
    assert second.failure is not None and second.failure.code is Code.NO_PROGRESS
    name = f"Looking for stalled requests at {server.base_url}"
    assert reports.count(f"{name}: RuntimeError: odd metrics") == 1


async def test_the_load_is_read_again_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [RuntimeError("odd metrics")]

    def fail_once(text: str) -> ServerLoad | None:
        if errors:
            raise errors.pop()
        return parse_load(text)

    monkeypatch.setattr(http, "parse_load", fail_once)
    reports: list[str] = []
    with faults.running() as server:
        engine = HttpEngine(Endpoint(server.base_url), FixedConcurrency(4), report=reports.append)
        await engine.start()
        answer = asyncio.create_task(engine.answer(chat_request("x [[fault:hang;seconds=60]]")))
        async with asyncio.timeout(30):
            while engine.states()[0].load is None:
                await asyncio.sleep(0.02)
        answer.cancel()
        await engine.close()
    name = f"Reading the load of {server.base_url}"
    assert reports == [f"{name}: RuntimeError: odd metrics"]
    assert errors == []


async def test_a_load_that_can_no_longer_be_read_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with faults.running() as server:
        engine = HttpEngine(Endpoint(server.base_url), FixedConcurrency(4))
        await engine.start()
        answer = asyncio.create_task(engine.answer(chat_request("x [[fault:hang;seconds=60]]")))
        async with asyncio.timeout(30):
            while engine.states()[0].load is None:
                await asyncio.sleep(0.02)

            def fail(_text: str) -> ServerLoad | None:
                raise RuntimeError("odd metrics")

            monkeypatch.setattr(http, "parse_load", fail)
            while engine.states()[0].load is not None:
                await asyncio.sleep(0.02)
        answer.cancel()
        await engine.close()
