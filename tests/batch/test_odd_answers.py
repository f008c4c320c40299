"""Answers and rows of unusual kinds: none ends a run, and each line can be read again."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from qchat.batch.extraction import Extraction
from qchat.batch.form import AnswerForm
from qchat.batch.inputs.endpoints import endpoint_of
from qchat.batch.inputs.lines import BadLineError
from qchat.batch.inputs.template import Template
from qchat.batch.journal.records import dump_line, location_of_error, response_of_record
from qchat.batch.quality import Quality, quality_of

from tests import faults

from .commands import batch, read, write

pytestmark = pytest.mark.usefixtures("home")

_DEEP = "[" * 100_000


def test_json_without_end_is_no_answer_of_a_form() -> None:
    assert AnswerForm(any_json=True).problem(_DEEP) is not None
    assert AnswerForm(schema={"type": "object"}).problem(_DEEP) is not None
    assert Extraction.parse("a=$.a").of(_DEEP) is None


@pytest.mark.parametrize("output", [0.5, {"a": 1}, None])
def test_nothing_is_extracted_from_what_is_no_text(output: Any) -> None:
    assert Extraction.parse("a=$.a").of(output) is None


def test_half_a_surrogate_pair_makes_a_line_that_can_be_read() -> None:
    value = json.loads('{"a": "\\ud83d", "n": 1}')
    line = dump_line(value)
    assert orjson.loads(line)["n"] == 1
    assert line.endswith(b"\n")


def test_a_url_that_is_no_address_costs_its_row() -> None:
    with pytest.raises(BadLineError):
        endpoint_of("http://[x/v1/embeddings")


def test_a_long_number_fills_a_template() -> None:
    assert Template.parse("n = {n}").fill({"n": 12345678901234567890123}) == (
        "n = 12345678901234567890123"
    )


def test_the_response_of_a_row_with_a_mark_of_an_earlier_run() -> None:
    record = {"_qchat": "{}", "x_output": "a", "x_reasoning": None, "x_finish_reason": "stop"}
    record |= {"x_usage": None, "x_model": "m", "x__qchat": {"model": "own"}}  # type: ignore[dict-item]
    assert response_of_record(record, "x_")["model"] == "own"
    embedding = {"output": [0.5, 0.5], "_qchat": {}, "finish_reason": None, "usage": None}
    assert response_of_record(embedding, "")["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize(
    ("body", "quality"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}, "output": []}, Quality.CUT),
        ({"status": "incomplete", "output": []}, Quality.CUT),
        ({"output": [{"type": "reasoning", "content": [{"text": "hm"}]}]}, Quality.EMPTY),
        ({"output": [{"type": "message", "content": [{"text": "hi"}]}]}, Quality.OK),
        ({"output": [{"type": "function_call", "name": "f"}]}, Quality.OK),
    ],
)
def test_the_quality_of_responses(body: dict[str, Any], quality: Quality) -> None:
    assert quality_of(body) is quality  # some servers name no `object`


def test_a_failed_row_with_a_column_body_stays_failed(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [{"subject": "s", "body": "b"}, {"subject": "s [[fault:400]]", "body": "c"}]
    write("in.jsonl", *rows)
    command = ("in.jsonl", "--template", "{subject} {body}", "--base-url", server.url)
    assert batch(*command) == 1
    (line,) = read("in.results.errors.jsonl")
    location = location_of_error(line)
    assert location is not None and not location.openai
    asked = server.log.answered.copy()
    assert batch(*command) == 1
    assert server.log.answered == asked
    assert len(read("in.results.errors.jsonl")) == 1


def test_a_form_is_refused_where_answers_are_no_text(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    command = ("in.jsonl", "--endpoint", "embeddings", "--choice", "a,b", "--base-url", server.url)
    assert batch(*command) == 2
    assert "are for chat and completions" in capfd.readouterr().err
    assert not Path("in.results.jsonl").exists()
