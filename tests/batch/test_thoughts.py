"""A thought that was cut before its end is reasoning, where the model's other answers tell."""

import pytest
from qchat.batch import recorder
from qchat.batch.request import Request
from qchat.batch.thoughts import ThoughtForms

from qchat.json_types import JsonObject
from tests import faults

from .chat_request import chat_request
from .commands import batch, read, write


def response(text: str, finish: str = "stop") -> JsonObject:
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def message_of(forms: ThoughtForms, row: Request, text: str) -> JsonObject:
    message: JsonObject = forms.read(row, response(text, "length"))["choices"][0]["message"]
    return message


def test_it_is_learned_from_whole_answers() -> None:
    forms, row = ThoughtForms(), chat_request("x")
    assert message_of(forms, row, "I think")["content"] == "I think"
    forms.read(row, response("I think so.</think>\n\nYes"))
    assert message_of(forms, row, "I think") == {
        "role": "assistant",
        "content": None,
        "reasoning": "I think",
    }
    assert message_of(forms, row, "So</think>\n\nYe")["content"] == "So</think>\n\nYe"


def test_a_model_without_such_thoughts_is_cut_in_its_answer() -> None:
    forms, row = ThoughtForms(), chat_request("x")
    forms.read(row, response("Yes"))
    forms.read(row, response("The tag </think> ends it."))
    forms.read(row, response("<think>no</think>Yes"))
    assert message_of(forms, row, "I th")["content"] == "I th"


@pytest.mark.usefixtures("home")
def test_a_run_tells_them_apart(server: faults.Running) -> None:
    write(
        "in.jsonl",
        {"prompt": "a [[answer:text=I think so</think>Yes]]"},
        {"prompt": "b [[answer:finish=length;text=I think]]"},
    )
    assert batch("in.jsonl", "--base-url", server.url, "--concurrency", "1") == 0
    check_rows()


def check_rows() -> None:
    rows = {row["_qchat"]["line"]: row for row in read("in.results.jsonl")}  # type: ignore[index]
    assert (rows[1]["output"], rows[1]["reasoning"]) == ("Yes", "I think so")
    assert (rows[2]["output"], rows[2]["reasoning"]) == (None, "I think")
    assert rows[1]["_qchat"]["thought"] == "unopened"  # type: ignore[index]
    assert "thought" not in rows[2]["_qchat"]  # type: ignore[operator]


@pytest.mark.usefixtures("home")
def test_an_openai_answer_stays_as_it_is_and_is_not_looked_at(
    server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[JsonObject] = []
    monkeypatch.setattr(recorder, "has_unopened_thought", looked.append)
    body = {"messages": [{"role": "user", "content": "a [[answer:text=So</think>Yes]]"}]}
    write("in.jsonl", {"custom_id": "a", "body": body})
    assert batch("in.jsonl", "--base-url", server.url) == 0
    (row,) = read("in.results.jsonl")
    assert "So</think>Yes" in str(row["response"])
    assert looked == []


WHOLE = {"prompt": "a [[answer:text=I think so</think>Yes]]"}
CUT = {"prompt": "b [[answer:finish=length;text=I think]]"}


@pytest.mark.usefixtures("home")
def test_a_cut_thought_before_the_first_whole_answer_is_mended_at_the_end(
    server: faults.Running,
) -> None:
    opened = {"prompt": "c [[answer:finish=length;text=<think>Hm]]"}
    write("in.jsonl", CUT, opened, {"prompt": "d [[answer:text=So</think>No]]"}, WHOLE)
    assert batch("in.jsonl", "--base-url", server.url, "--concurrency", "1") == 0
    rows = {row["_qchat"]["line"]: row for row in read("in.results.jsonl")}  # type: ignore[index]
    assert (rows[1]["output"], rows[1]["reasoning"]) == (None, "I think")
    assert (rows[2]["output"], rows[2]["reasoning"]) == (None, "Hm")
    assert (rows[4]["output"], rows[4]["reasoning"]) == ("Yes", "I think so")
    assert rows[1]["_qchat"]["quality"] == "cut"  # type: ignore[index]


@pytest.mark.usefixtures("home")
def test_a_resume_knows_what_the_results_tell(server: faults.Running) -> None:
    args = ("in.jsonl", "--base-url", server.url, "--concurrency", "1", "--no-thinking")
    write("in.jsonl", WHOLE)
    assert batch(*args) == 0
    write("in.jsonl", WHOLE, CUT)
    assert batch(*args) == 0
    check_rows()
    assert batch(*args, "--retry-where", "cut") == 0
    check_rows()


@pytest.mark.usefixtures("home")
def test_a_run_without_such_thoughts_mends_nothing(server: faults.Running) -> None:
    write("in.jsonl", CUT, {"prompt": "c [[answer:text=Yes]]"})
    assert batch("in.jsonl", "--base-url", server.url, "--concurrency", "1") == 0
    rows = {row["_qchat"]["line"]: row for row in read("in.results.jsonl")}  # type: ignore[index]
    assert (rows[1]["output"], rows[1]["reasoning"]) == ("I think", None)
