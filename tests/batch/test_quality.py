"""The quality of answers, and the lines of results and errors that tell it."""

import json
from typing import Any

import pytest
from qchat.batch.inputs.rows import InvalidRow
from qchat.batch.journal.records import error_line, location_of_error, result_line
from qchat.batch.quality import Quality, ends_in_loop, quality_of, quality_of_record
from qchat.batch.request import CHAT, Request, RowKind

from qchat.errors import Code, Failure
from qchat.json_types import JsonObject


def body_of(text: str | None, finish: str = "stop", **message: object) -> JsonObject:
    message = {"role": "assistant", "content": text, **message}
    return {"model": "demo", "choices": [{"message": message, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("body", "quality"),
    [
        (body_of("yes"), Quality.OK),
        (body_of("positi", "length"), Quality.CUT),
        (body_of("", "length"), Quality.CUT),
        (body_of(None), Quality.EMPTY),
        (body_of(" \n"), Quality.EMPTY),
        (body_of("", "content_filter"), Quality.EMPTY),
        (body_of("<think>hm</think>"), Quality.EMPTY),
        (body_of(None, reasoning="I think"), Quality.EMPTY),
        (body_of(None, tool_calls=[{"id": "x"}]), Quality.OK),
        (body_of(None, refusal="no"), Quality.OK),
        (body_of("na na", "repetition"), Quality.LOOPED),
        (body_of("so " + "and on " * 100, "length"), Quality.LOOPED),
        ({"data": [{"embedding": [1]}]}, Quality.OK),
        ({"choices": [{"text": "x", "finish_reason": "length"}]}, Quality.CUT),
    ],
)
def test_the_quality_of_an_answer(body: JsonObject, quality: Quality) -> None:
    assert quality_of(body) is quality
    for kind in (RowKind.PROMPT, RowKind.OPENAI):
        if "choices" in body and "message" in body["choices"][0]:
            assert quality_of_record(json.loads(result(body, kind)), "") is quality


def test_the_worst_of_several_choices_counts() -> None:
    two = {"choices": [*body_of("a")["choices"], *body_of("b", "length")["choices"]]}
    assert quality_of(two) is Quality.CUT


def test_lines_of_older_versions_have_a_quality_too() -> None:
    line: JsonObject = {"_qchat": {"file": "a"}, "output": "x", "finish_reason": "length"}
    assert quality_of_record(line, "") is Quality.CUT
    assert quality_of_record({**line, "finish_reason": "stop"}, "") is Quality.OK
    assert quality_of_record({**line, "output": None, "finish_reason": "stop"}, "") is Quality.EMPTY
    several = {**line, "output": ["x", ""], "finish_reason": ["stop", "stop"]}
    assert quality_of_record(several, "") is Quality.EMPTY
    prefixed = {f"a_{key}": value for key, value in line.items()}
    assert quality_of_record(prefixed, "a_") is Quality.CUT


def test_what_is_a_loop() -> None:
    assert ends_in_loop("Well. " + "I can help you with that. " * 20)
    assert ends_in_loop("-" * 400)
    assert not ends_in_loop("-" * 80)
    assert not ends_in_loop("".join(f"Line {n}: value {n * n}\n" for n in range(500)))
    assert not ends_in_loop("")


SOURCE: JsonObject = {"prompt": "q", "model": "Pixel 9"}
BATCH_LINE: JsonObject = {"custom_id": "a", "body": {"messages": []}, "url": CHAT}


def row(kind: RowKind = RowKind.PROMPT, source: Any = None) -> Request:
    source = source or (BATCH_LINE if kind is RowKind.OPENAI else SOURCE)
    return Request(0, 7, "a", kind, CHAT, {}, source, "d" * 32)


def result(body: JsonObject, kind: RowKind = RowKind.PROMPT, source: Any = None) -> bytes:
    return result_line(row(kind, source), body, name="in.jsonl", number=0, attempts=1, prefix="")


def test_a_column_model_stays_and_the_answers_model_stands_beside_it() -> None:
    line = json.loads(result(body_of("x")))
    assert line["model"] == "Pixel 9"
    assert line["_qchat"]["model"] == "demo"
    line = json.loads(result(body_of("x"), source={"prompt": "q"}))
    assert line["model"] == "demo"
    assert "model" not in line["_qchat"]


def error(kind: RowKind, failure: Failure, **more: Any) -> JsonObject:
    line = error_line(row(kind), failure, name="in.jsonl", attempts=3, **more)
    value: JsonObject = json.loads(line)
    return value


def test_openai_rows_have_openais_errors() -> None:
    line = error(RowKind.OPENAI, Failure(Code.INVALID_REQUEST, "no such field", 400))
    assert line == {
        "id": "qchat-1-7",
        "custom_id": "a",
        "response": {
            "status_code": 400,
            "request_id": "d" * 32,
            "body": {
                "error": {
                    "code": "invalid_request",
                    "message": "no such field",
                    "type": "invalid_request",
                    "param": None,
                }
            },
        },
        "error": {"code": "invalid_request", "message": "no such field"},
        "_qchat": {
            "file": "in.jsonl",
            "line": 7,
            "digest": "d" * 32,
            "retryable": False,
            "attempts": 3,
            "input": BATCH_LINE,
        },
    }
    line = error(RowKind.OPENAI, Failure(Code.DISCONNECTED, "gone"))
    assert line["response"] is None
    location = location_of_error(line)
    assert location is not None
    assert (location.file, location.line, location.retryable) == ("in.jsonl", 7, True)


def test_a_bad_openai_line_has_openais_error_too() -> None:
    bad = InvalidRow(
        0, 2, "b", "'body' must be an object", {"custom_id": "b", "body": 5}, openai=True
    )
    failure = Failure(Code.INVALID_LINE, bad.message)
    line = json.loads(error_line(bad, failure, name="in.jsonl", attempts=0))
    assert (line["custom_id"], line["_qchat"]["line"]) == ("b", 2)
    location = location_of_error(line)
    assert location is not None and location.digest is None


def test_other_rows_keep_their_form_and_both_are_read() -> None:
    line = error(RowKind.PROMPT, Failure(Code.SERVER_ERROR, "oops", 500))
    assert line["error"] == {"code": "server_error", "message": "oops", "retryable": True}
    location = location_of_error(line)
    assert location is not None
    assert (location.file, location.line, location.retryable) == ("in.jsonl", 7, True)


def test_an_answer_of_the_wrong_form_keeps_its_text() -> None:
    failure = Failure(Code.BAD_RESPONSE, "not JSON", 200)
    assert error(RowKind.PROMPT, failure, body=body_of("{oops"))["output"] == "{oops"
    line = error(RowKind.OPENAI, failure, body=body_of("{oops"))
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "{oops"
