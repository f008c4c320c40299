"""The parts of `qchat bench`: when requests are due, how a stream is read, how it ends."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any, cast

import orjson
import pytest
from aiohttp import ClientSession, StreamReader
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.bench import client as bench_client
from qchat.serve.bench import load as bench_load
from qchat.serve.bench import run as bench_run
from qchat.serve.bench.client import CHAT, BenchClient, BenchRequest, RequestRecord, clock
from qchat.serve.bench.load import ClosedLoop, LoadSettings, OpenLoop, measure

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, Exit, Failure

ASK = BenchRequest(CHAT, b"{}")


class Slow:
    """A server of one place that takes `seconds` for an answer."""

    def __init__(self, seconds: float, failure: Failure | None = None) -> None:
        self.seconds = seconds
        self.failure = failure
        self.in_flight = self.most = 0
        self._place = asyncio.Lock()

    async def __call__(self, _ask: BenchRequest, scheduled: float) -> RequestRecord:
        record = RequestRecord(scheduled, clock(), failure=self.failure)
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


def endless() -> Iterator[BenchRequest]:
    return itertools.repeat(ASK)


async def run(answer: Slow, load: bench_load.Load, terms: LoadSettings) -> bench_load.Measurement:
    return await measure(answer, endless(), load, terms, asyncio.Event())


async def test_an_open_loop_does_not_wait_for_a_slow_server() -> None:
    """Coordinated omission: requests that were due while the server was busy count as waiting."""
    server = Slow(0.02)
    done = await run(server, OpenLoop(500), LoadSettings(60, 0, requests=20, seed=3))
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
    done = await run(server, OpenLoop(500), LoadSettings(60, 0, requests=10, places=1))
    assert server.most == 1
    waited = [record.sent - record.scheduled for record in done.own]
    assert sum(waited) >= sum(0.0199 * n for n in range(10)) - sum(
        record.scheduled - done.begin for record in done.own
    )


async def test_arrivals_are_poisson_and_the_same_for_a_seed() -> None:
    async def gaps(seed: int) -> list[float]:
        done = await run(Slow(0), OpenLoop(20_000), LoadSettings(60, 0, requests=2000, seed=seed))
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
    done = await run(server, ClosedLoop(5), LoadSettings(60, 0, requests=40))
    assert (server.most, len(list(done.own)), done.cut) == (5, 40, 0)


async def test_a_warm_up_is_under_load_and_not_counted() -> None:
    done = await run(Slow(0.005), ClosedLoop(1), LoadSettings(0.2, 0.1))
    warm = [record for record in done.records if record.scheduled < done.begin]
    assert warm and len(list(done.own)) == len(done.records) - len(warm)
    assert done.end - done.begin == pytest.approx(0.2)
    assert done.cpu >= 0 and 0 <= done.cpu_span < 0.2 and all(lag >= 0 for lag in done.lags)
    counted = await run(Slow(0.001), ClosedLoop(1), LoadSettings(60, 0.05, requests=3))
    assert len(counted.records) == 3


async def test_what_is_not_answered_long_after_the_end_is_a_failure() -> None:
    done = await run(Slow(30), OpenLoop(100), LoadSettings(0.1, 0, drain=0.05, seed=1))
    records = list(done.own)
    assert records and all(record.failure is not None for record in records)
    assert {record.failure.code for record in records if record.failure} == {Code.NO_PROGRESS}


async def test_stopping_breaks_off_what_is_in_flight() -> None:
    stop, server = asyncio.Event(), Slow(30)
    work = asyncio.create_task(measure(server, endless(), ClosedLoop(3), LoadSettings(60, 0), stop))
    while server.in_flight < 3:
        await asyncio.sleep(0)
    stop.set()
    done = await work
    assert done.stopped and (done.cut, done.records) == (3, [])
    assert done.end - done.begin < 60


async def test_a_server_that_is_gone_ends_it() -> None:
    gone = Slow(0, Failure(Code.UNREACHABLE, "nobody there"))
    done = await run(gone, ClosedLoop(8), LoadSettings(60, 0))
    assert done.lost and len(done.records) >= 26
    first, second, *_more = sorted(record.last for record in done.records)
    assert first <= done.end <= second  # what came after is no part of the measurement


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


def read(*pieces: bytes) -> tuple[RequestRecord, Failure | None]:
    record = RequestRecord(0.0)
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


class Answering:
    """A server whose every answer is this body."""

    status = 200

    def __init__(self, body: bytes) -> None:
        self.content = Pieces([body])

    def post(self, *_args: Any, **_options: Any) -> "Answering":
        return self

    async def __aenter__(self) -> "Answering":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        pass


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": {"a": 1}},
        {"choices": ["x"]},
        {"choices": 7},
        {"choices": [{"delta": ["role"]}]},
        {"choices": [{"delta": 7}]},
    ],
)
async def test_an_odd_chunk_costs_its_request_alone(chunk: Any) -> None:
    client = BenchClient(Endpoint("http://127.0.0.1:9/v1"), 5)
    client._session = cast(ClientSession, Answering(delta(content="a") + event(**chunk)))
    failure = (await client.answer(ASK, 0.0)).failure
    assert failure is not None and failure.code is Code.BAD_RESPONSE
    assert "not the shape" in failure.message


@pytest.mark.parametrize(
    ("usage", "tokens", "counted"),
    [
        ("many", (0, 1), False),
        ({"prompt_tokens": "5", "completion_tokens": "6"}, (0, 1), False),
        ({"prompt_tokens": None, "completion_tokens": 6}, (0, 6), True),
        ([5], (0, 1), False),
    ],
)
def test_only_numbers_count_tokens(usage: Any, tokens: tuple[int, int], counted: bool) -> None:
    record, failure = read(delta(content="a", finish="stop"), event(choices=[], usage=usage))
    assert failure is None
    assert (record.prompt_tokens, record.completion_tokens) == tokens
    assert record.counted == counted


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


async def test_an_answer_that_is_broken_off_is_said_in_plain_words() -> None:
    """A chunk of it is announced and never comes."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\ndata: {")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, BenchClient(Endpoint(f"http://127.0.0.1:{port}/v1"), 20) as client:
        record = await client.answer(ASK, clock())
    assert record.failure is not None and record.failure.code is Code.DISCONNECTED
    assert record.failure.message == "the connection broke in the middle of the answer"


def test_a_server_that_counts_no_tokens_has_its_chunks_counted() -> None:
    record, failure = read(event(choices=[{"text": "a", "finish_reason": "length"}]))
    assert failure is None
    assert (record.completion_tokens, record.counted) == (1, False)


@pytest.mark.parametrize(
    ("rates", "wanted"),
    [([100.0, 190.0, 300.0, 310.0, 999.0], [1, 2, 4, 8]), ([0.0, 999.0], [1])],
)
def test_a_sweep_ends_where_more_requests_bring_no_more_tokens(
    rates: list[float], wanted: list[int]
) -> None:
    phases, tried, given = list[dict[str, Any]](), [], iter(rates)
    for load in bench_run._sweep(phases):
        assert isinstance(load, ClosedLoop)
        tried.append(load.concurrency)
        # A busy machine makes a client late for a moment: no reason to end.
        phases.append({"output_tokens_per_second": next(given), "valid": len(tried) > 1})
    assert tried == wanted


def test_the_exit_code_says_the_worst() -> None:
    fine = {"total_requests": 2, "answered": 2, "failed": 0, "valid": True}
    run = bench_load.Measurement(ClosedLoop(1), 0, 1)
    assert bench_run._exit(run, fine) is Exit.OK
    assert bench_run._exit(run, {**fine, "valid": False}) is Exit.ROWS_FAILED
    assert bench_run._exit(run, {**fine, "answered": 1, "failed": 1}) is Exit.ROWS_FAILED
    assert bench_run._exit(run, {**fine, "answered": 0, "failed": 2}) is Exit.ENGINE
    run.lost = True
    assert bench_run._exit(run, fine) is Exit.ENGINE
