"""The client of `qchat bench`: how a stream is read, and what is a failure."""

import asyncio
import itertools
from typing import Any, cast

import pytest
from aiohttp import StreamReader
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.bench.client import (
    CHAT,
    BenchClient,
    BenchRequest,
    RequestRecord,
    clock,
    read_stream,
)

from qchat.errors import Code, Failure

from .bench_servers import delta, event, raw_server

REQUEST = BenchRequest(CHAT, b"{}")

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


class Body:
    """A response body that arrives in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    async def readany(self) -> bytes:
        return next(self._pieces, b"")


def read(*pieces: bytes) -> tuple[RequestRecord, Failure | None]:
    record = RequestRecord(0.0)
    body = cast(StreamReader, Body([piece for piece in pieces if piece]))
    return record, asyncio.run(read_stream(body, record))


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    record, failure = read(*(STREAM[a:b] for a, b in itertools.pairwise(edges)))
    assert failure is None
    assert len(record.itl) == 3  # four chunks: the role comes with no token
    assert (record.prompt_tokens, record.completion_tokens, record.has_usage) == (7, 5, True)
    assert record.first_token_at + sum(record.itl) == pytest.approx(record.last_token_at)


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
async def test_a_malformed_chunk_fails_its_request_alone(chunk: Any) -> None:
    body = delta(content="a") + event(**chunk)
    async with (
        raw_server(b"HTTP/1.1 200 OK\r\n\r\n" + body) as endpoint,
        BenchClient(endpoint, 20) as client,
    ):
        failure = (await client.send(REQUEST, clock())).failure
    assert failure is not None and failure.code is Code.BAD_RESPONSE
    assert "does not have the format of the API" in failure.message


@pytest.mark.parametrize(
    ("usage", "tokens", "has_usage"),
    [
        ("many", (0, 1), False),
        ({"prompt_tokens": "5", "completion_tokens": "6"}, (0, 1), False),
        ({"prompt_tokens": None, "completion_tokens": 6}, (0, 6), True),
        ([5], (0, 1), False),
    ],
)
def test_only_numbers_count_tokens(usage: Any, tokens: tuple[int, int], has_usage: bool) -> None:
    record, failure = read(delta(content="a", finish="stop"), event(choices=[], usage=usage))
    assert failure is None
    assert (record.prompt_tokens, record.completion_tokens) == tokens
    assert record.has_usage == has_usage


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
def test_an_incomplete_response_is_a_failure(stream: bytes, code: Code) -> None:
    _record, failure = read(stream)
    assert failure is not None and failure.code is code


async def test_a_response_that_breaks_off_is_a_disconnect() -> None:
    """A chunk is announced and never comes."""
    half = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\ndata: {"
    async with raw_server(half) as endpoint, BenchClient(endpoint, 20) as client:
        failure = (await client.send(REQUEST, clock())).failure
    assert failure is not None and failure.code is Code.DISCONNECTED
    assert failure.message == "the connection broke in the middle of the answer"


def test_chunks_count_as_tokens_without_usage() -> None:
    record, failure = read(event(choices=[{"text": "a", "finish_reason": "length"}]))
    assert failure is None
    assert (record.completion_tokens, record.has_usage) == (1, False)
