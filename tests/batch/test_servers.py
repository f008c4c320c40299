"""Several servers, some of them in trouble."""

import asyncio
import threading
import time
from pathlib import Path

import pytest
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.servers import ServerPool
from qchat.batch.request import CHAT, Request, RowKind

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, EngineError
from tests import faults
from tests.batch.commands import batch, place, read, write


def request(text: str) -> Request:
    body = {"messages": [{"role": "user", "content": text}], "model": "demo"}
    return Request(0, 1, "id", RowKind.PROMPT, CHAT, body, {"prompt": text}, "d" * 32)


def servers(*running: faults.Running, concurrency: int = 64) -> ServerPool:
    return ServerPool(
        [HttpEngine(Endpoint(one.base_url), FixedConcurrency(concurrency)) for one in running]
    )


async def test_the_work_goes_where_there_is_room() -> None:
    with (
        faults.running(answers="latency=0.05") as quick,
        faults.running(answers="latency=0.5") as slow,
    ):
        engine = servers(quick, slow)
        await engine.start()
        assert await engine.models() == ["demo"]
        assert engine.window == 128
        todo = iter(range(200))

        async def work() -> None:
            for n in todo:
                assert (await engine.answer(request(f"q{n}"))).answered

        await asyncio.gather(*(work() for _worker in range(16)))
        await engine.close()
        counts = len(quick.log.records), len(slow.log.records)
        assert sum(counts) == 200
        assert counts[0] > 2 * counts[1] > 0


async def test_a_server_that_refuses_at_once_does_not_draw_all_rows_to_it() -> None:
    with faults.running() as good, faults.running("503") as bad:
        engine = servers(bad, good)
        await engine.start()
        outcomes = [await engine.answer(request(f"q{n}")) for n in range(50)]
        await engine.close()
        refused = sum(not outcome.answered for outcome in outcomes)
        assert 1 <= refused <= 10
        assert len(bad.log.records) == refused


async def test_a_server_that_is_gone_costs_no_row_and_joins_again() -> None:
    with faults.running() as one, faults.running() as two:
        engine = servers(one, two)
        await engine.start()
        await engine.models()
        await asyncio.to_thread(one.down)
        assert all([(await engine.answer(request(f"q{n}"))).answered for n in range(20)])
        assert engine.description.startswith("1 of 2 servers")
        await asyncio.to_thread(two.down)
        outcome = await engine.answer(request("x"))
        assert outcome.failure is not None and outcome.failure.code is Code.UNREACHABLE
        assert not await engine.alive()
        await asyncio.to_thread(one.up)
        for _look in range(200):
            if await engine.alive():
                break
            await asyncio.sleep(0.05)
        assert (await engine.answer(request("y"))).answered
        await engine.close()


async def test_what_all_offer_is_offered() -> None:
    with faults.running(models=("a", "b")) as one, faults.running(models=("b", "c")) as two:
        engine = servers(one, two)
        await engine.start()
        assert await engine.models() == ["b"]
        await engine.close()
    with faults.running(models=("a",)) as one, faults.running(models=("c",)) as two:
        engine = servers(one, two)
        await engine.start()
        with pytest.raises(EngineError, match="no model in common"):
            await engine.models()
        await engine.close()


async def test_a_server_that_refuses_the_key_is_no_server_that_is_away() -> None:
    with faults.running() as one, faults.running(api_key="secret") as two:
        engine = servers(one, two)
        await engine.start()
        with pytest.raises(EngineError, match="wants a key"):
            await engine.models()
        await engine.close()


@pytest.mark.usefixtures("home")
def test_one_dying_and_one_joining_mid_run_cost_no_row() -> None:
    write("in.jsonl", *(f"row {n}" for n in range(400)))
    with (
        faults.running(answers="latency=0.05") as first,
        faults.running(answers="latency=0.05") as second,
    ):
        second.down()

        def change() -> None:
            while len(first.log.answered) < 60:
                time.sleep(0.02)
            second.up()
            while len(second.log.answered) < 60:
                time.sleep(0.02)
            first.down()

        changes = threading.Thread(target=change)
        changes.start()
        urls = ("--base-url", first.url, "--base-url", second.url)
        assert batch("in.jsonl", *urls, "--concurrency", "4") == 0
        changes.join(30)
        assert sorted(map(place, read("in.results.jsonl"))) == list(range(1, 401))
        assert not Path("in.results.errors.jsonl").exists()
        assert len(second.log.answered) > 60


@pytest.mark.usefixtures("home")
def test_a_server_named_twice(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "a")
    url = "http://127.0.0.1:9"
    assert batch("in.jsonl", "--base-url", url, "--base-url", f"{url}/v1") == 2
    assert "given twice" in capfd.readouterr().err
