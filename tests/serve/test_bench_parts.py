"""The parts of `qchat bench`: when requests are due, how a stream is read, what is asked."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from aiohttp import StreamReader
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve import bench_client, bench_load, bench_prompts, bench_run
from qchat.serve.bench_client import CHAT, COMPLETIONS, Ask, Client, Record, clock
from qchat.serve.bench_load import Closed, Open, Terms, measure
from qchat.serve.bench_prompts import RandomTexts, Shape

from qchat.errors import Code, Exit, Failure, UsageError
from qchat.sampling import Sampling
from qchat.wire import Endpoint

ASK = Ask(CHAT, b"{}")


class Slow:
    """A server of one place that takes `seconds` for an answer."""

    def __init__(self, seconds: float, failure: Failure | None = None) -> None:
        self.seconds = seconds
        self.failure = failure
        self.in_flight = self.most = 0
        self._place = asyncio.Lock()

    async def __call__(self, _ask: Ask, scheduled: float) -> Record:
        record = Record(scheduled, clock(), failure=self.failure)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            async with self._place:
                await asyncio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        record.first = record.last = clock()
        record.completion_tokens = 1
        return record


def endless() -> Iterator[Ask]:
    return itertools.repeat(ASK)


async def run(answer: Slow, load: bench_load.Load, terms: Terms) -> bench_load.Measured:
    return await measure(answer, endless(), load, terms, asyncio.Event())


async def test_an_open_loop_does_not_wait_for_a_slow_server() -> None:
    """Coordinated omission: requests that were due while the server was busy count as waiting."""
    server = Slow(0.02)
    done = await run(server, Open(500), Terms(60, 0, requests=20, seed=3))
    assert server.most > 1
    records = sorted(done.own, key=lambda record: record.scheduled)
    assert len(records) == 20
    for number, record in enumerate(sorted(records, key=lambda record: record.last), start=1):
        # The n-th answer can't come before n answers' time has passed.
        assert record.last - done.begin >= 0.0199 * number
    last = records[-1]
    assert last.last - last.scheduled >= 0.0199 * 20 - (last.scheduled - done.begin)


async def test_what_waits_in_the_client_counts_as_client_queue() -> None:
    server = Slow(0.02)
    done = await run(server, Open(500), Terms(60, 0, requests=10, places=1))
    assert server.most == 1
    waited = [record.sent - record.scheduled for record in done.own]
    assert sum(waited) >= sum(0.0199 * n for n in range(10)) - sum(
        record.scheduled - done.begin for record in done.own
    )


async def test_arrivals_are_poisson_and_the_same_for_a_seed() -> None:
    async def gaps(seed: int) -> list[float]:
        done = await run(Slow(0), Open(20_000), Terms(60, 0, requests=2000, seed=seed))
        times = sorted(record.scheduled for record in done.records)
        return [b - a for a, b in itertools.pairwise(times)]

    one, again, other = await gaps(1), await gaps(1), await gaps(2)
    assert one == pytest.approx(again, abs=1e-9)
    assert one[:5] != pytest.approx(other[:5], abs=1e-9)
    mean = sum(one) / len(one)
    assert mean == pytest.approx(1 / 20_000, rel=0.15)
    # For an exponential distribution the deviation equals the mean.
    assert (sum((gap - mean) ** 2 for gap in one) / len(one)) ** 0.5 == pytest.approx(mean, rel=0.2)


async def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    server = Slow(0.001)
    done = await run(server, Closed(5), Terms(60, 0, requests=40))
    assert (server.most, len(list(done.own)), done.cut) == (5, 40, 0)


async def test_a_warm_up_is_under_load_and_not_counted() -> None:
    done = await run(Slow(0.005), Closed(1), Terms(0.2, 0.1))
    warm = [record for record in done.records if record.scheduled < done.begin]
    assert warm and len(list(done.own)) == len(done.records) - len(warm)
    assert done.end - done.begin == pytest.approx(0.2)
    assert done.cpu >= 0 and 0 <= done.cpu_span < 0.2 and all(lag >= 0 for lag in done.lags)
    counted = await run(Slow(0.001), Closed(1), Terms(60, 0.05, requests=3))
    assert len(counted.records) == 3


async def test_what_is_not_answered_long_after_the_end_is_a_failure() -> None:
    done = await run(Slow(30), Open(100), Terms(0.1, 0, drain=0.05, seed=1))
    records = list(done.own)
    assert records and all(record.failure is not None for record in records)
    assert {record.failure.code for record in records if record.failure} == {Code.NO_PROGRESS}


async def test_stopping_breaks_off_what_is_in_flight() -> None:
    stop, server = asyncio.Event(), Slow(30)
    work = asyncio.create_task(measure(server, endless(), Closed(3), Terms(60, 0), stop))
    while server.in_flight < 3:
        await asyncio.sleep(0)
    stop.set()
    done = await work
    assert done.stopped and (done.cut, done.records) == (3, [])
    assert done.end - done.begin < 60


async def test_a_server_that_is_gone_ends_it() -> None:
    gone = Slow(0, Failure(Code.UNREACHABLE, "nobody there"))
    done = await run(gone, Closed(8), Terms(60, 0))
    assert done.lost and len(done.records) >= 26


def event(**chunk: Any) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def delta(finish: str | None = None, **values: str) -> bytes:
    return event(choices=[{"delta": values, "finish_reason": finish}])


STREAM = b"".join(
    [
        delta(role="assistant", content=""),
        b": a comment\n\n",
        delta(reasoning="Hm, data: 大"),
        b"\r\n",
        delta(content="yes\n\n"),
        delta(content=""),
        delta(content="", finish="stop"),
        event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 5}),
        b"data: [DONE]\n\n",
    ]
)


class Pieces:
    """A response's body that comes in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    async def readany(self) -> bytes:
        return next(self._pieces, b"")


def read(*pieces: bytes) -> tuple[Record, Failure | None]:
    record = Record(0.0)
    body = cast(StreamReader, Pieces([piece for piece in pieces if piece]))
    return record, asyncio.run(bench_client._read(body, record))


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    record, failure = read(*(STREAM[a:b] for a, b in itertools.pairwise(edges)))
    assert failure is None
    assert len(record.gaps) == 3  # four chunks: the role comes with no token
    assert (record.prompt_tokens, record.completion_tokens, record.counted) == (7, 5, True)
    assert record.first + sum(record.gaps) == pytest.approx(record.last)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (delta(content="half"), Code.DISCONNECTED),
        (delta(role="assistant") + b"data: [DONE]\n\n", Code.BAD_RESPONSE),
        (b'{"choices": []}', Code.BAD_RESPONSE),
        (b"data: [1]\n\n", Code.BAD_RESPONSE),
        (event(error={"message": "busy", "code": 503}), Code.OVERLOADED),
        (event(error="broken"), Code.SERVER_ERROR),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(stream: bytes, code: Code) -> None:
    _record, failure = read(stream)
    assert failure is not None and failure.code is code


def test_a_server_that_counts_no_tokens_has_its_chunks_counted() -> None:
    record, failure = read(event(choices=[{"text": "a", "finish_reason": "length"}]))
    assert failure is None
    assert (record.completion_tokens, record.counted) == (1, False)


SHAPE = Shape(CHAT, "m", Sampling(temperature=0.5), output_tokens=9)


def test_a_body_says_what_it_must(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    rows: list[Any] = [
        "a",
        {"prompt": "b", "top_p": 0.5, "label": 7},
        {"messages": [{"role": "user", "content": "c"}], "max_completion_tokens": 3},
        {"custom_id": "x", "url": COMPLETIONS, "body": {"prompt": "d", "model": "other"}},
    ]
    file.write_text("\n\n".join(map(json.dumps, rows)))
    asks = bench_prompts.rows_of(bench_prompts.dataset(file, CHAT), SHAPE)
    bodies = [json.loads(ask.body) for ask in itertools.islice(asks, 4)]
    for body in bodies:
        assert (body["model"], body["stream"], body["max_tokens"]) == ("m", True, 9)
        assert body["ignore_eos"] and body["stream_options"] == {"include_usage": True}
        assert body["temperature"] == 0.5 and "max_completion_tokens" not in body
    said = [b.get("prompt") or b["messages"][0]["content"] for b in bodies]
    assert said == ["a", "b", "c", "d"]
    assert bodies[1]["top_p"] == 0.5 and "label" not in bodies[1]
    assert json.loads(next(asks).body) == bodies[0]  # and again from the beginning
    free = json.loads(replace(SHAPE, output_tokens=None, options=()).text("a").body)
    assert not {"max_tokens", "ignore_eos", "stream_options"} & free.keys()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not valid JSON"),
        ("7", "neither an object nor text"),
        ("null", "neither an object nor text"),
        ('{"text": "a"}', "no body, messages or prompt"),
        ('{"url": "/v1/embeddings", "body": {}}', "the url must be /v1/chat"),
    ],
)
def test_a_bad_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(f'"fine"\n\n{line}\n')
    with pytest.raises(UsageError, match=f"line 3: .*{said}"):
        bench_prompts.dataset(file, CHAT)
    file.write_text("\n")
    with pytest.raises(UsageError, match="has no lines"):
        bench_prompts.dataset(file, CHAT)


class Tokenizer:
    """/tokenize of a server: five tokens of template, then one for each three characters."""

    endpoint = Endpoint("http://127.0.0.1:9/v1")

    async def json(self, method: str, url: str, body: Any) -> Any:
        assert (method, url) == ("POST", "http://127.0.0.1:9/tokenize")
        words = body["messages"][0]["content"].split(" ")
        return {"count": 5 + sum((len(word) + 2) // 3 for word in words)}


async def test_random_texts_have_the_tokens_asked_for_and_begin_differently() -> None:
    server = cast(Client, Tokenizer())
    texts, note = await bench_prompts.random_texts(server, SHAPE, 50, seed=1)
    made = list(itertools.islice(texts.texts(), 30))
    for text in made:
        answer = await server.json(
            "POST", "http://127.0.0.1:9/tokenize", {"messages": [{"content": text}]}
        )
        assert answer == {"count": 50}
    assert "50 tokens" in note and len({text[:20] for text in made}) > 25
    with pytest.raises(UsageError, match="has 7 tokens"):
        await bench_prompts.random_texts(server, SHAPE, 6, seed=1)


def test_random_texts_without_a_tokenizer_have_words() -> None:
    assert len(next(RandomTexts(room=9).texts()).split()) == 10


class Picky:
    """A server that does not take what its name says, and fails first where told."""

    def __init__(self, *refused: str, failures: int = 0) -> None:
        self.refused, self.failures = refused, failures

    async def answer(self, ask: Ask, scheduled: float) -> Record:
        failure = None
        if self.failures:
            self.failures -= 1
            failure = Failure(Code.SERVER_ERROR, "hiccup", 500)
        for name in self.refused:
            if name.encode() in ask.body:
                failure = Failure(Code.INVALID_REQUEST, f"Unknown parameter: {name}", 400)
        return Record(scheduled, failure=failure)

    def error(self, failure: Failure) -> Exception:
        return UsageError(failure.message)


async def test_options_that_a_server_refuses_are_left_out() -> None:
    async def accepted(*refused: str, **more: int) -> tuple[Shape, list[str]]:
        return await bench_run._accepted(cast(Client, Picky(*refused, **more)), SHAPE)

    assert await accepted() == (SHAPE, [])
    shape, notes = await accepted("ignore_eos", "stream_options")
    assert shape.options == () and len(notes) == 2
    shape, notes = await accepted("ignore_eos", failures=1)
    assert shape.options == ("stream_options",) and "does not take ignore_eos" in notes[0]
    with pytest.raises(UsageError, match="temperature"):
        await accepted("temperature")


@pytest.mark.parametrize(
    ("rates", "wanted"),
    [([100.0, 190.0, 300.0, 310.0, 999.0], [1, 2, 4, 8]), ([0.0, 999.0], [1])],
)
def test_a_sweep_ends_where_more_requests_bring_no_more_tokens(
    rates: list[float], wanted: list[int]
) -> None:
    phases, tried, given = list[dict[str, Any]](), [], iter(rates)
    for load in bench_run._sweep(phases):
        assert isinstance(load, Closed)
        tried.append(load.concurrency)
        # A busy machine makes a client late for a moment: no reason to end.
        phases.append({"output_tokens_per_second": next(given), "valid": len(tried) > 1})
    assert tried == wanted


def test_the_exit_code_says_the_worst() -> None:
    fine = {"total_requests": 2, "answered": 2, "failed": 0, "valid": True}
    run = bench_load.Measured(Closed(1), 0, 1)
    assert bench_run._exit(run, fine) is Exit.OK
    assert bench_run._exit(run, {**fine, "valid": False}) is Exit.ROWS_FAILED
    assert bench_run._exit(run, {**fine, "answered": 1, "failed": 1}) is Exit.ROWS_FAILED
    assert bench_run._exit(run, {**fine, "answered": 0, "failed": 2}) is Exit.ENGINE
    run.lost = True
    assert bench_run._exit(run, fine) is Exit.ENGINE
