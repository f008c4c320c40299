"""Rows in the shapes of data sets, and rows for other endpoints than chat."""

import json
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.inputs.endpoints import endpoint_of, parse_endpoint
from qchat.batch.inputs.jinja_template import JinjaTemplate
from qchat.batch.inputs.lines import BadLineError
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.inputs.rows import InvalidRow, read_rows
from qchat.batch.inputs.template import Template
from qchat.batch.journal.answer_columns import answer_columns
from qchat.batch.request import Request

from qchat.errors import UsageError

from .commands import batch, write
from .echo import echoing

USER = {"role": "user", "content": "What is vLLM?"}
ANSWER = {"role": "assistant", "content": "A library."}


def parsed(tmp_path: Path, row: Any, **defaults: Any) -> Request | InvalidRow:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return next(read_rows(path, 0, RowDefaults(model="demo", **defaults)))


def request(tmp_path: Path, row: Any, **defaults: Any) -> Request:
    result = parsed(tmp_path, row, **defaults)
    assert isinstance(result, Request), result
    return result


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ANSWER]},
        {"prompt": [USER, ANSWER]},
        {"conversations": [{"from": "human", "value": USER["content"]}, ANSWER]},
        {
            "conversations": [
                {"from": "human", "value": USER["content"]},
                {"from": "gpt", "value": ANSWER["content"]},
            ]
        },
    ],
)
def test_conversations_of_data_sets_become_messages(tmp_path: Path, row: Any) -> None:
    defaults = RowDefaults(model="demo")
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (whole,) = read_rows(path, 0, defaults)
    assert isinstance(whole, Request)
    assert (whole.body["messages"], whole.source) == ([USER, ANSWER], row)
    assert defaults.shapes.assistant_last == 1
    dropped = request(tmp_path, row, drop_last_assistant=True)
    assert dropped.body["messages"] == [USER]


@pytest.mark.parametrize(
    ("row", "template", "text"),
    [
        (
            {"conversations": [{"from": "alien", "value": "a"}]},
            "{{ conversations[0].value }}",
            "a",
        ),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            "{{ conversations[-1].value }}",
            "b",
        ),
        ({"prompt": [USER, ANSWER]}, "{{ prompt[1].content }}", ANSWER["content"]),
    ],
)
def test_a_template_sees_a_conversation_as_it_is(
    tmp_path: Path, row: Any, template: str, text: str
) -> None:
    defaults = RowDefaults(model="demo", template=JinjaTemplate.parse(template, "--template"))
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (result,) = read_rows(path, 0, defaults)
    assert isinstance(result, Request), result
    assert result.body["messages"] == [{"role": "user", "content": text}]
    assert defaults.shapes.assistant_last == 0


def test_a_turn_of_nobody_is_a_bad_line(tmp_path: Path) -> None:
    row = parsed(tmp_path, {"conversations": [{"from": "alien", "value": "x"}]})
    assert isinstance(row, InvalidRow)
    assert "'from' is none of human" in row.message


def test_numbers_and_nan_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"custom_id": 7, "prompt": "a", "score": NaN, "x": -Infinity}\n{"a": NaN,}\n')
    row, bad = read_rows(path, 0, RowDefaults(model="demo"))
    assert isinstance(row, Request)
    assert row.custom_id == "7"
    assert row.source == {"custom_id": 7, "prompt": "a", "score": None, "x": None}
    assert isinstance(bad, InvalidRow)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("https://x.example/openai/deployments/d/chat/completions?v=1", "/v1/chat/completions"),
        ("/completions", "/v1/completions"),
        ("/v1/rerank", "/v1/rerank"),
    ],
)
def test_urls_as_others_write_them(url: str, endpoint: str) -> None:
    assert endpoint_of(url) == endpoint


def test_an_openai_line_without_a_url_goes_where_the_command_line_says(tmp_path: Path) -> None:
    embeddings = parse_endpoint("embeddings")
    row = {"custom_id": "a", "body": {"input": "x"}}
    assert request(tmp_path, row, endpoint=embeddings).endpoint == embeddings
    chat = {"url": "/v1/chat/completions", "body": {"messages": [USER]}}
    assert request(tmp_path, chat, endpoint=embeddings).endpoint == "/v1/chat/completions"


def test_unknown_endpoints_are_named() -> None:
    for url in ("/v1/images", "/v2/x", 3, None):
        with pytest.raises(BadLineError, match="qchat batch answers"):
            endpoint_of(url)
    with pytest.raises(UsageError, match="no endpoint 'images'; use one of chat"):
        parse_endpoint("images")
    assert parse_endpoint("embeddings") == "/v1/embeddings"
    assert parse_endpoint("chat") == "/v1/chat/completions"
    assert parse_endpoint(None) is None


@pytest.mark.parametrize(
    ("endpoint", "row", "body"),
    [
        ("embeddings", {"input": ["a", "b"], "id": 1}, {"input": ["a", "b"]}),
        ("embeddings", {"text": "a"}, {"input": "a"}),
        ("embeddings", "a", {"input": "a"}),
        ("completions", {"prompt": "a"}, {"prompt": "a"}),
        ("score", {"text_1": "a", "text_2": "b"}, {"text_1": "a", "text_2": "b"}),
        ("rerank", {"query": "a", "documents": ["b"]}, {"query": "a", "documents": ["b"]}),
        ("responses", {"prompt": "a"}, {"input": "a"}),
    ],
)
def test_columns_become_the_body_of_an_endpoint(
    tmp_path: Path, endpoint: str, row: Any, body: Any
) -> None:
    result = request(tmp_path, row, endpoint=parse_endpoint(endpoint))
    assert result.body == {**body, "model": "demo"}
    assert result.endpoint == parse_endpoint(endpoint)


def test_a_template_fills_the_text_of_an_endpoint(tmp_path: Path) -> None:
    template = Template.parse("query: {text}")
    result = request(
        tmp_path, {"text": "a"}, endpoint=parse_endpoint("embeddings"), template=template
    )
    assert result.body == {"input": "query: a", "model": "demo"}


@pytest.mark.parametrize("endpoint", ["embeddings", "completions", "responses"])
def test_a_column_body_is_data_for_a_template(tmp_path: Path, endpoint: str) -> None:
    template = Template.parse("{subject}: {body}")
    path = parse_endpoint(endpoint)
    row = {"subject": "s", "body": "b"}
    result = request(tmp_path, row, endpoint=path, template=template)
    assert result.endpoint == path
    assert "s: b" in result.body.values()


def test_what_an_endpoint_needs_is_named(tmp_path: Path) -> None:
    row = parsed(tmp_path, {"query": "a"}, endpoint=parse_endpoint("rerank"))
    assert isinstance(row, InvalidRow)
    assert "/v1/rerank needs 'documents'" in row.message
    row = parsed(tmp_path, {"url": "/v1/score", "body": {"text_1": "a"}})
    assert isinstance(row, InvalidRow)
    assert "/v1/score needs 'text_2' or" in row.message


@pytest.mark.parametrize(
    ("endpoint", "body", "output"),
    [
        ("embeddings", {"data": [{"embedding": [0.5, 1]}]}, [0.5, 1]),
        ("embeddings", {"data": [{"embedding": [1]}, {"embedding": [2]}]}, [[1], [2]]),
        ("score", {"data": [{"score": 0.5}]}, 0.5),
        (
            "rerank",
            {"results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}]},
            [{"index": 1, "relevance_score": 0.5}],
        ),
        (
            "responses",
            {
                "output": [
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
                ]
            },
            "hello",
        ),
        ("completions", {"choices": [{"text": "hello", "finish_reason": "stop"}]}, "hello"),
    ],
)
def test_output_is_what_a_person_wants_of_an_endpoint(
    endpoint: str, body: Any, output: Any
) -> None:
    assert answer_columns(str(parse_endpoint(endpoint)), body)["output"] == output


def test_what_is_dropped_already_is_not_advised_to_be_dropped(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"messages": [ANSWER]}, {"messages": [USER, ANSWER]})
    with echoing():
        assert batch("in.jsonl", "--drop-last-assistant") == 0
        error = capfd.readouterr().err
        assert "1 row is an assistant's message alone, which --drop-last-assistant leaves" in error
        assert "asks for that message anew" not in error
        assert batch("in.jsonl", "--drop-last-assistant", "--check") == 0
    assert "Rows that are an assistant's message alone: 1" in capfd.readouterr().out
