"""Whether a response body is an answer."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.inputs.endpoints import SHAPES
from qchat.batch.raw_response import readable_text
from qchat.batch.request import (
    CHAT,
    COMPLETIONS,
    DECISIONS,
    EMBEDDINGS,
    RERANK,
    RESPONSES,
    SCORE,
    SYSTEMONE,
    Outcome,
)
from qchat.batch.response import judge

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, error_message

from .chat_request import chat_request


def choice(finish: str | None = "stop", **message: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


@pytest.mark.parametrize(
    "body",
    [
        choice("length", content=None),
        choice("stop", content=None),
        choice("stop", content=""),
        choice("length", content=None, reasoning="I th"),
        choice(None, content=None, tool_calls=[{"id": "a"}]),
        choice("stop", content=[{"type": "text", "text": "x"}]),
        {**choice(content="x"), "error": None},
    ],
)
def test_these_are_answers(body: object) -> None:
    assert judge(body, CHAT) is None


def test_a_completion_may_be_empty() -> None:
    for text in ("", None, "x"):
        assert judge({"choices": [{"text": text, "finish_reason": "stop"}]}, COMPLETIONS) is None
    assert judge({"choices": [{"text": None}]}, COMPLETIONS) is not None


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (choice(None, content=None), Code.BAD_RESPONSE, "empty"),
        (choice(content=5), Code.BAD_RESPONSE, "'content' that is not text"),
        ({"choices": []}, Code.BAD_RESPONSE, "no 'choices'"),
        ({"choices": [None]}, Code.BAD_RESPONSE, "without a message"),
        ([1], Code.BAD_RESPONSE, "not an object"),
        ("all GPUs\nare busy", Code.BAD_RESPONSE, "all GPUs"),
        ({"error": {"odd": "form"}}, Code.BAD_RESPONSE, "form"),
        (choice("abort", content="ha"), Code.OVERLOADED, "aborted"),
        ({"error": "model is loading"}, Code.BAD_RESPONSE, "model is loading"),
        ({"error": {"message": "slow down", "code": 429}}, Code.RATE_LIMITED, "slow down"),
        ({"error": {"message": "slow", "code": "429"}}, Code.RATE_LIMITED, "slow"),
        ({"error": {"message": "bad", "type": "invalid_request_error"}}, Code.INVALID_REQUEST, "b"),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, Code.OVERLOADED, "busy"),
        ({"error": {"message": "odd", "code": 7}}, Code.BAD_RESPONSE, "odd"),
        ({"detail": "no such route"}, Code.BAD_RESPONSE, "no such route"),
    ],
)
def test_these_are_none_in_the_words_of_the_server(body: object, code: Code, words: str) -> None:
    failure = judge(body, CHAT)
    assert failure is not None
    assert failure.code is code
    assert words in failure.message


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (EMBEDDINGS, {"data": [{"embedding": [1.0]}, {"embedding": "AACAPw=="}]}),
        (SCORE, {"data": [{"index": 0, "score": 0}]}),
        (RERANK, {"results": [{"index": 1, "relevance_score": 0.5}]}),
        (RESPONSES, {"object": "response", "status": "completed", "output": [], "error": None}),
        (RESPONSES, {"status": "incomplete", "output": [{"type": "message", "content": []}]}),
        (DECISIONS, {"answers": {"ok": {"type": "noul"}}}),
        (SYSTEMONE, {"answers": {"ok": {"type": "noul"}}}),
    ],
)
def test_each_endpoint_has_its_own_answers(endpoint: str, body: object) -> None:
    assert judge(body, endpoint) is None


@pytest.mark.parametrize("endpoint", [path for path in SHAPES if path not in (CHAT, COMPLETIONS)])
def test_no_endpoint_takes_another_object_for_an_answer(endpoint: str) -> None:
    for body in ({}, {"data": []}, {"results": []}, {"answers": {}}, {"choices": []}):
        failure = judge(body, endpoint)
        assert failure is not None and failure.code is Code.BAD_RESPONSE
        assert "has no '" in failure.message
    for body in ({"detail": "busy"}, {"message": "busy", "data": []}, {"error": "busy"}):
        failure = judge(body, endpoint)
        assert failure is not None and failure.message == "The server answered: busy"


@pytest.mark.parametrize(
    ("endpoint", "body", "code"),
    [
        (EMBEDDINGS, {"data": [{"embedding": [1.0]}, {"embedding": None}]}, Code.BAD_RESPONSE),
        (EMBEDDINGS, {"data": [{"embedding": []}]}, Code.BAD_RESPONSE),
        (SCORE, {"data": [{"score": "high"}]}, Code.BAD_RESPONSE),
        (RERANK, {"results": [{"index": 0}]}, Code.BAD_RESPONSE),
        (RESPONSES, {"status": "failed", "output": []}, Code.BAD_RESPONSE),
        (RESPONSES, {"status": "cancelled", "output": []}, Code.OVERLOADED),
        (RESPONSES, {"status": "queued", "output": []}, Code.UNSUPPORTED),
        (RESPONSES, {"output": "text"}, Code.BAD_RESPONSE),
    ],
)
def test_half_an_answer_is_none(endpoint: str, body: object, code: Code) -> None:
    failure = judge(body, endpoint)
    assert failure is not None and failure.code is code


def test_fastapis_words() -> None:
    errors = [
        {"loc": ["body", "messages"], "msg": "Field required", "type": "missing"},
        {"loc": ["body", "n"], "msg": "must be positive"},
    ]
    assert error_message({"detail": errors}) == (
        "body.messages: Field required; body.n: must be positive"
    )
    assert error_message({"detail": "Not here"}) == "Not here"
    assert error_message({"detail": [7, None, "x"]}) == "x"


def test_the_text_of_a_page() -> None:
    page = (
        b"<html><head><title>t</title></head><body><h1>Request</h1>\n blocked &amp; logged</body>"
    )
    assert readable_text(page) == "Request blocked & logged"
    assert readable_text(bytes(range(256))) == ""
    assert "\x1b" not in readable_text(b"\x1b[31mred")
    assert len(readable_text(b"x" * 100_000)) <= 300
    assert readable_text(b"x" * 9 + "满".encode() * 50_000)[9] == "满"  # cut within a character


async def _answer_of(body: str, status: int = 200) -> Outcome:
    async def respond(_request: web.Request) -> web.Response:
        return web.Response(text=body, status=status)

    app = web.Application()
    app.router.add_post(CHAT, respond)
    async with TestServer(app) as server:
        engine = HttpEngine(Endpoint(str(server.make_url("/v1"))), FixedConcurrency(1))
        await engine.start()
        try:
            return await engine.answer(chat_request("x"))
        finally:
            await engine.close()


_DELTA = 'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'


@pytest.mark.parametrize(
    "stream",
    [
        'data: {"error": {"message": "no GPU", "code": 503}}\n\n',
        'event: error\ndata: {"error": {"message": "no GPU", "code": 503}}\n\n',
        'event: error\r\ndata: {"message": "no GPU",\r\ndata: "code": 503}\r\n\r\n',
        ': wait\n\ndata: {"error": {"message": "no GPU", "code": 503}}\n\ndata: [DONE]\n\n',
        _DELTA + _DELTA + 'data: {"error": {"message": "no GPU", "code": 503}}',
        'data: {"type": "error", "message": "no GPU", "code": 503}\n\n',
        'event: response.failed\ndata: {"response": {"error": {"message": "no GPU", "code": 503}}}',
    ],
)
async def test_an_error_in_a_stream_that_nobody_asked_for(stream: str) -> None:
    outcome = await _answer_of(stream)
    assert outcome.failure is not None
    assert outcome.failure.code is Code.OVERLOADED
    assert "no GPU" in outcome.failure.message


async def test_an_error_of_a_stream_in_words() -> None:
    outcome = await _answer_of("event: error\ndata: out of memory\n\n")
    assert outcome.failure is not None
    assert outcome.failure.message == "The server answered: out of memory"


@pytest.mark.parametrize("stream", [_DELTA, _DELTA + _DELTA + "data: [DONE]\n\n"])
async def test_a_stream_without_an_error_is_said_to_be_one(stream: str) -> None:
    outcome = await _answer_of(stream)
    assert outcome.failure is not None and outcome.failure.code is Code.BAD_RESPONSE
    assert outcome.failure.message == "The server streams its answer, which it was not asked to do."


async def test_a_whole_answer_in_one_event_is_an_answer() -> None:
    body = '{"choices": [{"message": {"content": "a\u2028b"}, "finish_reason": "stop"}]}'
    assert (await _answer_of(f": hello\n\ndata: {body}\n\ndata: [DONE]\n\n")).answered


async def test_what_is_not_json_keeps_its_words() -> None:
    outcome = await _answer_of(
        "<html><body>Queue is\nfull &amp; closed</body></html>" + " " * 70_000
    )
    assert outcome.failure is not None
    assert '("Queue is full & closed")' in outcome.failure.message
    outcome = await _answer_of("")
    assert outcome.failure is not None and "is not JSON;" in outcome.failure.message


async def test_a_gateways_page_keeps_its_words() -> None:
    outcome = await _answer_of("<html><body>Blocked by policy 7</body></html>", 403)
    assert outcome.failure is not None
    assert "Blocked by policy 7" in outcome.failure.message
