"""Replicas in the driver, without Ray: shares, losses, poison, and starts that fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from qchat.batch.engines.ray.engine import RayEngine, RayOptions
from qchat.batch.engines.ray.replica import MAX_VAIN_STARTS
from qchat.batch.engines.ray.replica_handle import ReplicaReady, StartFailure
from qchat.batch.request import Outcome, Request
from qchat.batch.run_stats import RunStats, merge_by_node, state_line

from qchat.errors import Code

from .stubs import FakeHandle, StubEngine, request, requests

READY = ReplicaReady(64, "a stub")


class Messages:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(text)


@asynccontextmanager
async def replicas(
    *handles: FakeHandle, messages: Messages | None = None
) -> AsyncIterator[RayEngine]:
    """An engine of these replicas, each of them up unless it can't be."""
    count = len(handles)
    engine = RayEngine(RayOptions("m", Path(), replicas=(count, count)), messages or Messages())
    engine.use(handles)
    try:
        await eventually(
            lambda: all(state.up or state.phase == "given up" for state in engine.states())
        )
        yield engine
    finally:
        await engine.close()


async def eventually(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def ask(engine: RayEngine, rows: Sequence[Request]) -> list[Outcome]:
    """Ask all rows as a scheduler does: at most the engine's window at a time."""
    room = asyncio.Semaphore(engine.window)

    async def one(row: Request) -> Outcome:
        async with room:
            while True:
                outcome = await engine.answer(row)
                if outcome.failure is None or outcome.failure.code is not Code.UNREACHABLE:
                    return outcome
                while not await engine.alive():
                    await asyncio.sleep(0.005)

    return list(await asyncio.gather(*map(one, rows)))


def texts(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        outcome.body["choices"][0]["message"]["content"] if outcome.body else str(outcome.failure)
        for outcome in outcomes
    ]


async def test_each_row_gets_its_own_answer_and_all_replicas_take_part() -> None:
    handles = [FakeHandle(lambda: StubEngine(0.01)) for _ in range(4)]
    async with replicas(*handles) as engine:
        assert engine.window == 4 * 64
        outcomes = await ask(engine, requests(400))
    assert texts(outcomes) == [f"echo: row {n}" for n in range(1, 401)]
    assert outcomes[0].usage.completion_tokens == 2
    asked = sum((handle.rows for handle in handles), Counter())
    assert set(asked.values()) == {1}
    assert min(handle.rows.total() for handle in handles) > 50
    assert all(handle.closed for handle in handles)


async def test_few_rows_are_spread_over_all_replicas() -> None:
    handles = [FakeHandle(lambda: StubEngine(0.1)) for _ in range(4)]
    async with replicas(*handles) as engine:
        await ask(engine, requests(8))
    assert [handle.rows.total() for handle in handles] == [2, 2, 2, 2]


async def test_rows_travel_in_batches() -> None:
    handle = FakeHandle(lambda: StubEngine(0.005))
    async with replicas(handle) as engine:
        await ask(engine, requests(1000))
    assert handle.calls < 200


async def test_a_lost_replica_costs_a_retry() -> None:
    messages = Messages()
    handles = [FakeHandle(lambda: StubEngine(0.05), host=f"node-{n}") for n in "ab"]
    async with replicas(*handles, messages=messages) as engine:
        asking = asyncio.create_task(ask(engine, requests(300)))
        await eventually(lambda: handles[1].rows.total() > 20)
        handles[1].placed.clear()  # there is no other machine for it
        handles[1].lose()
        outcomes = await asking
        assert texts(outcomes) == [f"echo: row {n}" for n in range(1, 301)]
        assert not engine.states()[1].up
        assert state_line(engine.states()[1]).startswith("replica 2 on node-b: lost, starts again")
        handles[1].placed.set()
        await eventually(lambda: engine.states()[1].up)
    assert any("replica 2 on node-b was lost: It is gone. Its" in line for line in messages.lines)
    assert handles[1].loads == 2


async def test_without_a_replica_rows_come_back_and_wait_for_one() -> None:
    handle = FakeHandle(lambda: StubEngine(5))
    async with replicas(handle) as engine:
        asking = [asyncio.create_task(engine.answer(row)) for row in requests(100)]
        await eventually(lambda: handle.rows.total() == 64)
        handle.placed.clear()
        handle.lose()
        outcomes = await asyncio.gather(*asking)  # those in the queue, too
        assert {outcome.failure.code for outcome in outcomes if outcome.failure} == {
            Code.UNREACHABLE
        }
        assert not await engine.alive()
        handle.placed.set()
        await eventually(lambda: engine.states()[0].up)
        assert await engine.alive()


async def test_the_row_that_kills_engines_is_found_and_no_other_fails() -> None:
    rows = requests(150)
    rows[70].body["messages"][0]["content"] = "kill the engine"
    handles = [FakeHandle(lambda: StubEngine(0.01)) for _ in range(2)]
    async with replicas(*handles) as engine:
        outcomes = await ask(engine, rows)
    failures = [n for n, outcome in enumerate(outcomes) if outcome.failure is not None]
    assert failures == [70]
    failure = outcomes[70].failure
    assert failure is not None and failure.code is Code.POISON
    assert sum(handle.loads for handle in handles) <= 2 + 4


async def test_an_engine_that_dies_of_every_row_is_given_up_and_blames_none() -> None:
    broken = FakeHandle(lambda: StubEngine(0.0), host="broken")
    broken.engine = lambda: Mortal()
    healthy = FakeHandle(lambda: StubEngine(0.01))
    async with replicas(broken, healthy) as engine:
        outcomes = await ask(engine, requests(100))
        assert texts(outcomes) == [f"echo: row {n}" for n in range(1, 101)]
        await eventually(lambda: engine.states()[0].phase == "given up")


class Mortal(StubEngine):
    """Dies of its first row."""

    async def answer(self, request: Request) -> Outcome:
        self.dead = True
        return await super().answer(request)


async def test_the_run_ends_when_all_replicas_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qchat.batch.engines.ray.replica._RESTART_PAUSE", 0.001)
    handle = FakeHandle(starts=[READY, StartFailure("No memory.", is_usage=False)])
    async with replicas(handle) as engine:
        handle.lose()
        asking = asyncio.create_task(ask(engine, requests(2)))
        [first, _second] = await asking
        assert first.failure is not None and first.failure.code is Code.ENGINE_DEAD
        assert "No memory." in first.failure.message
    assert handle.loads == 1 + MAX_VAIN_STARTS


async def test_one_replica_of_a_node_loads_first() -> None:
    order: list[str] = []
    loading = {"node-a": 0, "node-b": 0}

    class Watched(FakeHandle):
        async def start(self, rows: int) -> ReplicaReady | StartFailure:
            order.append(f"{self.host} {loading[self.host]}")
            loading[self.host] += 1
            try:
                await asyncio.sleep(0.02)
                return await super().start(rows)
            finally:
                loading[self.host] -= 1

    async with replicas(*(Watched(host=f"node-{n}") for n in "aaabb")):
        pass
    assert sorted(order[:2]) == ["node-a 0", "node-b 0"]  # the two nodes at once
    assert sorted(order[2:]) == ["node-a 0", "node-a 1", "node-b 0"]  # then the others together


def test_many_replicas_are_shown_by_machine() -> None:
    engine = RayEngine(RayOptions("m", Path()), Messages())
    states = [state for n in range(12) for state in [_state(n, f"node-{n % 2}", up=n != 3)]]
    assert engine.states() == []
    merged = merge_by_node(states)
    assert [state.name for state in merged] == ["node-0, 6/6 replicas", "node-1, 5/6 replicas"]
    stats = RunStats(10, states=tuple(states))
    assert "11/12 replicas on 2 machines" in stats.line()
    assert stats.as_json()["servers"][3]["phase"] == "loading the model"


def _state(n: int, node: str, *, up: bool) -> object:
    from qchat.batch.engines.engine import EngineState

    phase = "" if up else "loading the model"
    return EngineState(f"replica {n}", 2, 8, 5, up=up, node=node, phase=phase)


async def test_a_row_that_was_given_up_is_not_asked() -> None:
    handle = FakeHandle(lambda: StubEngine(0.05, window=1))
    async with replicas(handle) as engine:
        first, second, third = (asyncio.create_task(engine.answer(request(n))) for n in (1, 2, 3))
        await eventually(lambda: handle.rows.total() == 1)
        second.cancel()
        assert texts([await first, await third]) == ["echo: row 1", "echo: row 3"]
    assert "row 2" not in handle.rows


async def test_a_replica_that_can_not_start_is_reported_and_the_others_answer() -> None:
    messages = Messages()
    broken = FakeHandle(host="node-b", starts=[StartFailure("No vLLM here", is_usage=False)])
    options = RayOptions("m", Path(), replicas=(1, 2))
    engine = RayEngine(options, messages)
    engine.use([FakeHandle(), broken])
    try:
        await eventually(lambda: engine.states()[1].phase == "given up")
        await eventually(lambda: engine.states()[0].up)
        assert texts(await ask(engine, requests(5))) == [f"echo: row {n}" for n in range(1, 6)]
    finally:
        await engine.close()
    assert messages.lines.count("replica 2 on node-b is given up: No vLLM here.") == 1
