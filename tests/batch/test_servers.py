"""Several servers, some of them in trouble."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.servers import FORBIDDEN, REFUSALS, ServerPool
from qchat.batch.request import Outcome

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, EngineError
from tests import faults
from tests.batch.chat_request import chat_request
from tests.batch.commands import batch, once_each, place, read, write


def servers(
    *running: faults.Running,
    model: str | None = None,
    report: Callable[[str], None] | None = None,
) -> ServerPool:
    engines = [HttpEngine(Endpoint(one.base_url), FixedConcurrency(64)) for one in running]
    return ServerPool(engines, model=model, report=report)


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
                assert (await engine.answer(chat_request(f"q{n}"))).answered

        await asyncio.gather(*(work() for _worker in range(16)))
        await engine.close()
        counts = len(quick.log.records), len(slow.log.records)
        assert sum(counts) == 200
        assert counts[0] > 2 * counts[1] > 0


async def test_a_server_that_refuses_at_once_does_not_draw_all_rows_to_it() -> None:
    with faults.running() as good, faults.running("503") as bad:
        engine = servers(bad, good)
        await engine.start()
        outcomes = [await engine.answer(chat_request(f"q{n}")) for n in range(50)]
        await engine.close()
        refused = sum(not outcome.answered for outcome in outcomes)
        assert 1 <= refused <= 10
        assert len(bad.log.records) == refused


async def test_a_server_that_refuses_the_key_leaves_the_pool_and_costs_no_row() -> None:
    reports: list[str] = []
    with faults.running() as good, faults.running("401") as bad:
        engine = servers(bad, good, report=reports.append)
        await engine.start()
        outcomes = await asyncio.gather(*(engine.answer(chat_request(f"q{n}")) for n in range(50)))
        outcomes += [await engine.answer(chat_request(f"q{n}")) for n in range(20)]
        assert engine.description == "1 of 2 servers" and engine.window == 64
        await engine.close()
        assert len(bad.log.records) <= 50
    assert all(outcome.answered for outcome in outcomes)
    (report,) = reports
    assert bad.base_url in report and "It gets no more requests of this run." in report


async def test_a_key_that_is_revoked_on_the_way_at_one_server_costs_no_row() -> None:
    with faults.running() as good, faults.running("401:skip=5") as bad:
        engine = servers(bad, good)
        await engine.start()
        outcomes = [await engine.answer(chat_request(f"q{n}")) for n in range(40)]
        await engine.close()
        assert len(bad.log.records) == 5 + REFUSALS
    assert all(outcome.answered for outcome in outcomes)


async def test_a_server_that_moderates_prompts_stays_in_the_pool() -> None:
    """It has answered, so its key is good; one that has never does not."""
    for faults_of, servers_left in (("403:skip=1", 2), ("403", 1)):
        with faults.running() as good, faults.running(faults_of) as strict:
            engine = servers(strict, good)
            await engine.start()
            outcomes = [await engine.answer(chat_request(f"q{n}")) for n in range(2 * FORBIDDEN)]
            assert engine.description == f"{servers_left} of 2 servers"
            await engine.close()
        assert all(outcome.answered for outcome in outcomes)


async def test_what_two_servers_refuse_is_refused_and_both_stay() -> None:
    with faults.running() as one, faults.running() as two, faults.running() as three:
        engine = servers(one, two, three)
        await engine.start()
        for n in range(9):
            assert (await engine.answer(chat_request(f"q{n}"))).answered
        outcomes = [await engine.answer(chat_request(f"{n} [[fault:401]]")) for n in range(9)]
        failures = [outcome.failure for outcome in outcomes]
        assert {failure.code for failure in failures if failure} == {Code.UNAUTHORIZED}
        assert engine.description == "3 of 3 servers"
        await engine.close()
        assert sum(len(server.log.records) for server in (one, two, three)) <= 9 + 9 * 3


async def test_servers_that_all_refuse_the_key_say_so() -> None:
    with faults.running("401") as one, faults.running("401") as two:
        engine = servers(one, two)
        await engine.start()
        outcome = await engine.answer(chat_request("x"))
        await engine.close()
    assert outcome.failure is not None and outcome.failure.code is Code.UNAUTHORIZED


async def test_a_server_that_is_gone_costs_no_row_and_joins_again() -> None:
    with faults.running() as one, faults.running() as two:
        engine = servers(one, two)
        await engine.start()
        await engine.models()
        await asyncio.to_thread(one.down)
        assert all([(await engine.answer(chat_request(f"q{n}"))).answered for n in range(20)])
        assert engine.description.startswith("1 of 2 servers")
        await asyncio.to_thread(two.down)
        outcome = await engine.answer(chat_request("x"))
        assert outcome.failure is not None and outcome.failure.code is Code.UNREACHABLE
        assert not await engine.alive()
        await asyncio.to_thread(one.up)
        for _look in range(200):
            if await engine.alive():
                break
            await asyncio.sleep(0.05)
        assert (await engine.answer(chat_request("y"))).answered
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


@contextmanager
def counting_probes(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> Iterator[list[str]]:
    """The servers whose models were asked for; the first calls raise `errors`."""
    original, pending = HttpEngine.models, list(errors)
    probes: list[str] = []

    async def models(engine: HttpEngine) -> list[str]:
        probes.append(engine.base_url)
        if pending:
            raise pending.pop(0)
        return await original(engine)

    with monkeypatch.context() as patch:
        patch.setattr(HttpEngine, "models", models)
        yield probes


async def test_a_probe_that_raises_is_repeated_and_the_server_joins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[str] = []
    with faults.running() as one, faults.running() as two:
        engine = servers(one, two, report=reports.append)
        await engine.start()
        await engine.models()
        await asyncio.to_thread(one.down)
        assert (await engine.answer(chat_request("x"))).answered
        assert engine.description == "1 of 2 servers"
        await asyncio.to_thread(one.up)
        errors = RuntimeError("odd"), RuntimeError("odd")
        async with asyncio.timeout(60):
            with counting_probes(monkeypatch, *errors) as probes:
                while len(probes) < len(errors):
                    assert engine.description == "1 of 2 servers"
                    await asyncio.sleep(0.02)
                while engine.description != "2 of 2 servers":
                    await asyncio.sleep(0.02)
        await engine.close()
    assert reports == [f"Waiting for {one.base_url}: RuntimeError: odd"]


async def test_a_server_that_returns_without_the_model_does_not_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[str] = []
    with faults.running() as one, ExitStack() as stack:
        two = stack.enter_context(faults.running())
        port = two.port
        engine = servers(two, one, report=reports.append)
        await engine.start()
        await engine.models()
        stack.close()
        async with asyncio.timeout(60):
            while engine.description != "1 of 2 servers":
                await engine.answer(chat_request("x"))
        with faults.running(models=("another",), port=port) as other:
            with counting_probes(monkeypatch) as probes:
                async with asyncio.timeout(60):
                    while len(probes) < 3:
                        await asyncio.sleep(0.02)
            assert engine.description == "1 of 2 servers"
            assert all([(await engine.answer(chat_request(f"q{n}"))).answered for n in range(20)])
            assert other.log.records == []
        assert reports == [f"{other.base_url} gets no requests: it does not offer demo."]
        with faults.running(port=port):
            async with asyncio.timeout(60):
                while engine.description != "2 of 2 servers":
                    await asyncio.sleep(0.02)
        await engine.close()


async def test_only_the_model_in_use_must_be_offered() -> None:
    with faults.running(models=("a", "b")) as one, faults.running(models=("a",)) as two:
        engine = servers(one, two, model="a")
        await asyncio.to_thread(two.down)
        await engine.start()
        assert await engine.models() == ["a", "b"]
        await asyncio.to_thread(two.up)
        async with asyncio.timeout(60):
            while engine.description != "2 of 2 servers":
                await asyncio.sleep(0.02)
        await engine.close()


async def test_a_server_that_failed_gets_one_request_until_it_succeeds() -> None:
    with faults.running("500:times=1") as bad, faults.running() as good:
        engine = servers(bad, good)
        await engine.start()
        assert not (await engine.answer(chat_request("first"))).answered
        bad.set_plan("hang:seconds=60")
        trials: list[asyncio.Task[Outcome]] = []
        async with asyncio.timeout(30):
            while engine.states()[0].in_flight == 0:
                trials.append(asyncio.create_task(engine.answer(chat_request("trial"))))
                await asyncio.sleep(0.02)
            # At once: one after the other they would go to the server with less to do anyway.
            outcomes = await asyncio.gather(
                *(engine.answer(chat_request(f"q{n}")) for n in range(20))
            )
            assert all(outcome.answered for outcome in outcomes)
            assert engine.states()[0].in_flight == 1
            bad.clear()
        for trial in trials:
            trial.cancel()
        await engine.close()


async def test_a_server_gets_no_request_before_its_retry_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qchat.batch.engines.servers.REST", 0.0)
    with faults.running("429:times=1,retry_after=60") as limited, faults.running() as other:
        engine = servers(limited, other)
        await engine.start()
        assert not (await engine.answer(chat_request("first"))).answered
        assert all([(await engine.answer(chat_request(f"q{n}"))).answered for n in range(5)])
        assert len(limited.log.records) == 1
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


@pytest.mark.usefixtures("home")
def test_each_server_of_a_file_gets_its_own_key(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRST_KEY", "sesame-one")
    monkeypatch.setenv("SECOND_KEY", "sesame-two")
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(40)))
    with (
        faults.running(api_key="sesame-one", answers="latency=0.02") as first,
        faults.running(api_key="sesame-two", answers="latency=0.02") as second,
    ):
        Path("servers.toml").write_text(
            f'[servers.a]\nbase_url = "{first.url}"\napi_key_env = "FIRST_KEY"\n'
            f'[servers.b]\nbase_url = "{second.url}"\napi_key_env = "SECOND_KEY"\n'
        )
        assert batch("in.jsonl", "--servers", "servers.toml", "--concurrency", "4") == 0
        once_each("in.results.jsonl", 40)
        assert first.log.answered and second.log.answered
    assert batch("in.jsonl", "--servers", "none.toml") == 2
    assert "There is no file none.toml" in capfd.readouterr().err
    assert batch("in.jsonl", "--servers", "servers.toml", "--server", "a") == 2
