"""Equal requests are sent once, where that changes nothing."""

import asyncio
from collections import Counter

import pytest
from qchat.batch.engines.dedup import DedupEngine
from qchat.batch.request import CHAT, Outcome, Request, RowKind, Usage, digest

from qchat.errors import Code, Failure
from qchat.json_types import JsonObject
from tests import faults
from tests.batch.commands import batch, once_each, read, write
from tests.batch.scripted_engine import ScriptedEngine

OK = Outcome(body={"choices": ["yes"]}, usage=Usage(3, 5))


def request(line: int, text: str, **more: object) -> Request:
    body: JsonObject = {"messages": [{"role": "user", "content": text}], **more}
    return Request(0, line, f"r{line}", RowKind.STRING, CHAT, body, text, digest(CHAT, body))


async def test_greedy_and_seeded_rows_are_sent_once_and_others_each_time() -> None:
    engine = ScriptedEngine(lambda _line, _n: OK, seconds=0.01)
    dedup = DedupEngine(engine)
    rows = [request(n, "a", temperature=0) for n in range(10)]
    rows += [request(n, "a", seed=7, temperature=1) for n in range(10, 20)]
    rows += [request(n, "a", temperature=1) for n in range(20, 30)]
    for _round in range(2):  # in flight together, then cached
        outcomes = await asyncio.gather(*map(dedup.answer, rows))
        assert all(outcome.body == OK.body for outcome in outcomes)
    assert sum(engine.requests.values()) == 2 + 2 * 10
    assert sum(outcome.copied for outcome in outcomes) == 20
    assert sum(outcome.usage.completion_tokens for outcome in outcomes) == 10 * 5


async def test_a_failure_is_not_cached() -> None:
    no = Outcome(failure=Failure(Code.SERVER_ERROR, "no"))
    engine = ScriptedEngine(lambda _line, n: no if n == 1 else OK, seconds=0.01)
    dedup = DedupEngine(engine)
    rows = [request(n, "a", temperature=0) for n in (1, 1)]
    assert await asyncio.gather(*map(dedup.answer, rows)) == [no, no]
    assert (await dedup.answer(rows[0])).answered
    assert engine.requests == Counter({1: 2})


async def test_a_cancelled_request_is_sent_by_the_next_equal_one() -> None:
    engine = ScriptedEngine(lambda _line, _n: OK, seconds=0.05)
    dedup = DedupEngine(engine)
    first = asyncio.create_task(dedup.answer(request(1, "a", temperature=0)))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(dedup.answer(request(2, "a", temperature=0)))
    await asyncio.sleep(0.01)
    first.cancel()
    outcome = await second
    assert outcome.answered and not outcome.copied
    assert engine.requests == Counter({1: 1, 2: 1})


async def test_the_cache_is_bounded() -> None:
    engine = ScriptedEngine(lambda line, _n: Outcome(body={"choices": ["x" * 1000, line]}))
    dedup = DedupEngine(engine, cache_bytes=10_000)
    for _round in range(2):
        for n in range(20):
            await dedup.answer(request(n, f"q{n}", seed=1))
    assert sum(engine.requests.values()) == 40  # each was evicted before it came again
    newest = [await dedup.answer(request(n, f"q{n}", seed=1)) for n in range(19, 9, -1)]
    assert [outcome.copied for outcome in newest] == [True] * 9 + [False]


@pytest.mark.usefixtures("home")
def test_a_run_with_equal_rows(server: faults.Running, capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", *({"prompt": f"row {n % 7}", "n_": n} for n in range(100)))
    url = ("--base-url", server.url, "--dedup")
    assert batch("in.jsonl", *url, "--temperature", "0") == 0
    once_each("in.results.jsonl", 100)
    assert sum(server.log.answered.values()) == 7
    assert {row["n_"] for row in read("in.results.jsonl")} == set(range(100))
    assert "93 not asked again" in capfd.readouterr().err
    assert batch("in.jsonl", *url, "--temperature", "1", "--restart") == 0
    assert sum(server.log.answered.values()) == 107
    assert "no two of the rows asked were equal" in capfd.readouterr().err
