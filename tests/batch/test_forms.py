"""Answers with a form: what is asked for, checked here again, mended or refused; extraction."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qchat.batch import patterns
from qchat.batch.answer_plan import AnswerPlan
from qchat.batch.extraction import Extraction
from qchat.batch.followups import PENALTY
from qchat.batch.form import AnswerForm, read_form
from qchat.batch.request import CHAT, Outcome, Request, RowKind, Usage

from qchat.errors import Code, UsageError
from qchat.json_types import JsonObject
from tests import faults

from .commands import batch, read, write

NAN = float("nan")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["city"],
}


@pytest.fixture
def server(home: Path) -> Iterator[faults.Running]:
    with faults.running() as running:
        yield running


def response(text: str, finish: str = "stop") -> JsonObject:
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def outcome(text: str, finish: str = "stop") -> Outcome:
    return Outcome(body=response(text, finish), usage=Usage(1, 2))


def plan(form: AnswerForm, *, can_continue: bool = False, **more: object) -> AnswerPlan:
    messages = [{"role": "user", "content": "q"}]
    body = form.fill({"messages": messages, "model": "m", "temperature": 0, **more})
    row = Request(0, 1, "a", RowKind.PROMPT, CHAT, body, "q", "d" * 32)
    return AnswerPlan(row, can_continue, None, form)


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (AnswerForm(SCHEMA), '{"city": "Rome", "age": 3}', '{"age": 3}'),
        (AnswerForm(SCHEMA), '{"city": "Rome"}', "Rome"),
        (AnswerForm(SCHEMA), '{"city": "Rome"}', '{"city": 7}'),
        (AnswerForm(choices=("good", "bad")), "good", "goo"),
        (AnswerForm(regex=r"\d{4}-\d\d"), "2026-11", "2026-11 or so"),
        (AnswerForm(any_json=True), "{}", "[]"),
        (AnswerForm(any_json=True), '{"x": 1e9}', '{"x": NaN}'),
        (AnswerForm(SCHEMA), '{"city": "", "x": 0}', '{"city": "", "x": -Infinity}'),
    ],
)
def test_texts_are_checked(form: AnswerForm, good: str, bad: str) -> None:
    assert form.problem(good) is None
    assert form.problem(bad)
    thought = f"<think>hm</think>\n\n{good}"
    assert form.problem_of(response(thought)) is None


def test_what_is_no_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    for text in ("{", "[]", '{"type": "strin"}'):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"s\.json"):
            read_form(str(path), None, None, any_json=False)
    with pytest.raises(UsageError, match="can't be read"):
        read_form(str(tmp_path / "none"), None, None, any_json=False)
    with pytest.raises(UsageError, match="--choice"):
        read_form(None, "a,,b", None, any_json=False)
    with pytest.raises(UsageError, match="not a pattern"):
        read_form(None, None, "(", any_json=False)
    with pytest.raises(UsageError, match="Give one of"):
        read_form(None, "a,b", "x", any_json=False)
    assert read_form(None, None, None, any_json=False) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"properties": {"a": {"$ref": "#/$defs/no"}}},
            "refers to '#/$defs/no', which it does not",
        ),
        ({"$ref": "http://127.0.0.1:9/x.json"}, "refers to 'http://127.0.0.1:9/x.json'"),
        ({"$ref": "#/x/a", "x": {"a": {"items": {"$ref": "#/x/b"}}}}, "refers to '#/x/b'"),
        ({"allOf": [{"$ref": "#/allOf/x"}]}, "refers to '#/allOf/x'"),
        ({"$ref": "#/x", "x": {"type": "strin"}}, "'strin' is not valid"),
        ({"$ref": "#/x", "x": {"pattern": "("}}, "'(' is not a 'regex'"),
        ({"x": NAN}, "is not JSON: NaN is no value of JSON"),
        ({"name": "x", "schema": []}, "is JSON, but not a schema"),
    ],
)
def test_a_schema_that_would_fail_every_row_is_refused(
    tmp_path: Path, schema: object, words: str
) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(schema))
    with pytest.raises(UsageError) as caught:
        read_form(str(path), None, None, any_json=False)
    assert words in str(caught.value) and "s.json" in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": {"$ref": "#"}},
        {"$id": "http://x/a", "$defs": {"b": {"$id": "b"}}, "items": {"$ref": "b"}},
        {"properties": {"$ref": {"type": "string"}}},
    ],
)
def test_a_schema_may_refer_to_itself(schema: JsonObject) -> None:
    assert AnswerForm(schema).problem("{}") is None


@pytest.mark.parametrize("wrap", [False, True])
def test_the_schema_in_openais_wrapper_is_the_one_that_counts(tmp_path: Path, wrap: bool) -> None:
    inner: JsonObject = {"name": "place", "strict": True, "schema": SCHEMA}
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"type": "json_schema", "json_schema": inner} if wrap else inner))
    form = read_form(str(path), None, None, any_json=False)
    assert form is not None and form.schema == SCHEMA


@pytest.mark.parametrize(
    "form",
    [
        AnswerForm(regex="(a|aa)+[bc]"),
        AnswerForm({"properties": {"x": {"pattern": "^(a|aa)+[bc]$"}}}),
    ],
)
def test_an_answer_that_can_not_be_judged_in_time_is_invalid(
    form: AnswerForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "MATCH_SECONDS", 0.2)
    text = "a" * 80
    begin = time.monotonic()
    problem = form.problem(text if form.regex else json.dumps({"x": text}))
    assert problem == "matching the pattern takes longer than 0.2 s; make it simpler"
    assert time.monotonic() - begin < 30
    text = "aab"
    assert form.problem(text if form.regex else json.dumps({"x": text})) is None


def test_a_schemas_pattern_is_looked_for_anywhere() -> None:
    form = AnswerForm({"properties": {"x": {"pattern": "b"}}})
    assert form.problem('{"x": "abc"}') is None and form.problem('{"x": 1}') is None
    assert form.problem('{"x": "ac"}') == (
        "does not fit the schema at $['x']: 'ac' does not match the pattern 'b'"
    )


def test_a_rows_own_form_stands() -> None:
    own = {"response_format": {"type": "text"}}
    assert AnswerForm(any_json=True).fill(own) == own
    body = {"messages": [], **own}
    row = Request(0, 1, "a", RowKind.PROMPT, CHAT, body, "q", "d" * 32)
    last = AnswerPlan(row, form=AnswerForm(any_json=True)).take(outcome("words"))
    assert last is not None and last.answered


def test_an_invalid_answer_is_resampled_once_and_fails_with_its_text() -> None:
    steps = plan(AnswerForm(choices=("good", "bad")), seed=4)
    assert steps.take(outcome("so so")) is None
    assert steps.request.body["temperature"] > 0
    assert steps.request.body["seed"] == 5
    last = steps.take(outcome("mixed"))
    assert last is not None and last.failure is not None
    assert last.failure.code is Code.INVALID_ANSWER
    assert last.rejected == response("mixed")
    assert last.usage == Usage(2, 4)


def test_a_cut_choice_is_continued_under_the_rest_of_its_words() -> None:
    form = AnswerForm(choices=("positive", "negative", "position"))
    steps = plan(form, can_continue=True, max_tokens=2)
    assert steps.take(outcome("positi", "length")) is None
    body = steps.request.body
    assert body["structured_outputs"] == {"choice": ["ve", "on"]}
    assert body["messages"][-1]["content"] == "positi"
    assert body["continue_final_message"] is True and body["add_generation_prompt"] is False
    last = steps.take(outcome("ve"))
    assert last is not None and last.body is not None
    assert last.body["choices"][0]["message"]["content"] == "positive"
    assert last.again == "continued"


def test_cut_json_is_asked_again_with_a_larger_budget() -> None:
    steps = plan(AnswerForm(SCHEMA), can_continue=True, max_tokens=10)
    assert steps.take(outcome('{"city": "Ro', "length")) is None
    assert steps.request.body["max_tokens"] == 40
    assert steps.request.body["messages"][-1]["role"] == "user"
    last = steps.take(outcome('{"city": "Rome"}'))
    assert last is not None and last.again == "larger budget"


LOOP = '{"city": "' + "Rome, " * 100


def test_a_looped_answer_of_a_form_is_asked_again_with_a_penalty() -> None:
    steps = plan(AnswerForm(SCHEMA), can_continue=True, max_tokens=10)
    assert steps.take(outcome(LOOP, "length")) is None
    assert steps.request.body["presence_penalty"] == PENALTY
    assert steps.take(outcome('{"city": "Ro', "length")) is None  # cut: asked with more room
    assert steps.request.body["max_tokens"] == 40
    assert steps.request.body["presence_penalty"] == PENALTY
    last = steps.take(outcome('{"city": "Rome"}'))
    assert last is not None and last.answered and last.usage == Usage(3, 6)


def test_a_form_that_loops_with_a_penalty_too_has_failed() -> None:
    steps = plan(AnswerForm(SCHEMA))
    assert steps.take(outcome(LOOP, "length")) is None
    last = steps.take(outcome(LOOP, "length"))
    assert last is not None and last.failure is not None
    assert last.failure.code is Code.INVALID_ANSWER


@pytest.mark.parametrize("second", ["x", "a" * 400])
def test_a_looped_answer_that_has_its_form_stays_unless_the_next_is_better(second: str) -> None:
    steps = plan(AnswerForm(regex="a+"))
    first = outcome("a" * 500, "length")
    assert steps.take(first) is None
    assert steps.request.body["presence_penalty"] == PENALTY
    last = steps.take(outcome(second, "length"))
    assert last is not None and last.body == first.body and last.again is None
    steps = plan(AnswerForm(regex="a+"))
    steps.take(first)
    last = steps.take(outcome("aa"))
    assert last is not None and last.body == response("aa") and last.again == "penalty"


def test_a_run_puts_invalid_answers_into_the_errors_file(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write(
        "in.jsonl",
        {"prompt": '[[answer:text={"city": "Rome"}]]'},
        {"prompt": "[[answer:text=Rome]]"},
    )
    Path("schema.json").write_text(json.dumps(SCHEMA))
    args = ["in.jsonl", "--base-url", server.url, "--schema", "schema.json"]
    assert batch(*args, "--extract", "town=$.city") == 1
    (row,) = read("in.results.jsonl")
    assert row["town"] == "Rome"
    (error,) = read("in.results.errors.jsonl")
    assert error["output"] == "Rome"
    assert error["error"]["code"] == "invalid_answer"  # type: ignore[index]
    assert error["attempts"] == 2
    assert "1 answered, 1 failed (1 invalid)" in capfd.readouterr().err
    asked = sum(server.log.attempts.values())
    assert batch(*args, "--extract", "town=$.city") == 1
    assert sum(server.log.attempts.values()) == asked
    assert batch(*args, "--extract", "town=$.city", "--retry-where", "invalid") == 1
    assert sum(server.log.attempts.values()) == asked + 2


def test_extraction() -> None:
    text = '{"a": {"b": [{"c": 1}, {"c": 2}]}, "x y": 3, "n": null}'
    for path, value in (
        ("$.a.b[0].c", 1),
        ("$.a.b[-1].c", 2),
        ("$.a.b[*].c", [1, 2]),
        ("$['x y']", 3),
        ('$["x y"]', 3),
        ("$.a.b[9].c", None),
        ("$.n", None),
        ("$.no.thing", None),
        ("$", json.loads(text)),
    ):
        assert Extraction.parse(f"name={path}").of(text) == value
    assert Extraction.parse("name=$.a").of("not JSON") is None
    for wrong in ("name", "name=a", "=$.a", "name=$.a..b", "name=$[x]"):
        with pytest.raises(UsageError, match="--extract"):
            Extraction.parse(wrong)


def test_an_extracted_column_does_not_overwrite_one(server: faults.Running) -> None:
    write("in.jsonl", {"prompt": "x", "city": "Oslo"})
    args = ["in.jsonl", "--base-url", server.url, "--json-answer", "--extract", "city=$.city"]
    assert batch(*args) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("reasoning=$.reasoning",), "--extract reasoning: the answer has a column of that name"),
        (("output=$.x",), "such as answer_output."),
        (("_qchat=$.x",), "such as answer_qchat."),
        (("model=$.x",), "--extract model"),
        (("prompt=$.x", "--keep-prompt"), "--extract prompt"),
        (("custom_id=$.x",), "--extract custom_id"),
        (("error=$.x", "-o", "out.csv"), "--extract error: the answer has a column of that name"),
        (("reasoning=$.x", "--prefix", "a_"), "--extract reasoning"),
        (("a=$.x", "--extract", "a=$.y"), "two columns have that name"),
        (("prompt=$.x",), "line 1 has a column 'prompt'"),
    ],
)
def test_an_extracted_column_has_a_name_of_its_own(
    home: Path, capfd: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    write("in.jsonl", "a text")
    with faults.running() as server:
        args = ("in.jsonl", "--base-url", server.url, "--json-answer", "--extract", *more)
        assert batch(*args) == 2
        assert words in capfd.readouterr().err
        assert server.log.records == []


def test_with_a_prefix_a_text_may_be_extracted_as_prompt(server: faults.Running) -> None:
    write("in.jsonl", 'a [[answer:text={"p": 1}]]')
    args = ("in.jsonl", "--base-url", server.url, "--json-answer", "--prefix", "a_")
    assert batch(*args, "--extract", "prompt=$.p", "--extract", "custom_id=$.p") == 0
    (row,) = read("in.results.jsonl")
    assert (row["a_prompt"], row["a_custom_id"]) == (1, 1)
    assert row["prompt"] == 'a [[answer:text={"p": 1}]]'


def test_json_forms_start_the_offline_engine_without_endless_white_space() -> None:
    for form in (AnswerForm(schema={"type": "object"}), AnswerForm(any_json=True)):
        ((name, value),) = form.engine_args
        assert name == "structured-outputs-config"
        assert json.loads(value)["disable_any_whitespace"] is True
    assert AnswerForm(choices=("a", "b")).engine_args == ()
    assert AnswerForm(regex="a+").engine_args == ()
