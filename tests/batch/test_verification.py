"""`--verify N`: answered rows asked again alone and in company, and where their answers part."""

import asyncio
import json
from pathlib import Path

import pytest
from qchat.batch.request import Outcome, Request
from qchat.batch.verification import Answers, VerificationResult, parting

from qchat.errors import Code, Failure
from qchat.json_types import JsonObject

from .commands import batch, read, write
from .echo import Echo, echoing

ARGS = ("in.jsonl", "-o", "out.jsonl", "--temperature", "0")


class Sociable(Echo):
    """Answers some prompts in another way when it works on several at a time."""

    def __init__(self, fickle: str = "") -> None:
        self.fickle = fickle
        self.in_flight = 0
        self.asked: list[str] = []
        self.alone: list[bool] = []

    async def answer(self, request: Request) -> Outcome:
        text = str(request.body["messages"][-1]["content"])
        self.asked.append(text)
        self.in_flight += 1
        for _turn in range(3):
            await asyncio.sleep(0)
        self.alone.append(self.in_flight == 1)
        ending = "among others" if self.in_flight > 1 and text in self.fickle else "always"
        await asyncio.sleep(0)
        self.in_flight -= 1
        message = {"role": "assistant", "content": f"{text}: {ending}"}
        return Outcome(body={"choices": [{"message": message, "finish_reason": "stop"}]})


@pytest.fixture(autouse=True)
def _files(home: Path) -> None:
    write("in.jsonl", *({"custom_id": f"r-{text}", "prompt": text} for text in "abcdef"))


def test_answers_that_depend_on_company_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Sociable("ab")
    with echoing(engine):
        assert batch(*ARGS, "--verify", "6") == 0
    assert len(engine.asked) == 18
    assert all(engine.alone[6:12]) and not all(engine.alone[12:])
    shown = capfd.readouterr().err
    assert "Verified 6 rows: 67% the same alone as in company, 67% alone as in the run." in shown
    assert 'r-a parts at character 5: "a: always" | "a: among others"' in shown
    assert "r-b parts" in shown and "r-c parts" not in shown
    assert len(read("out.jsonl")) == 6


def test_a_sample_is_the_same_again_and_needs_no_new_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    engine = Sociable()
    with echoing(engine):
        assert batch(*ARGS) == 0
        for _run in range(2):
            assert batch(*ARGS, "--verify", "2", "--progress", "json") == 0
    first, second = engine.asked[6:10], engine.asked[10:]
    assert sorted(first) == sorted(second) and len(set(first)) == 2
    events = [
        json.loads(line) for line in capfd.readouterr().err.splitlines()[2:] if line[0] == "{"
    ]
    summary = next(event for event in events if event["event"] == "summary")
    same = summary["verification"]["same"]
    assert same == {"alone_as_run": 1.0, "company_as_run": 1.0, "alone_as_company": 1.0}


class Vectors(Echo):
    """Answers requests of other endpoints; the vector of ``b`` depends on its company, and each
    call of a tool has an id of its own."""

    def __init__(self) -> None:
        self.in_flight = self.calls = 0

    async def answer(self, request: Request) -> Outcome:
        self.in_flight += 1
        self.calls += 1
        for _turn in range(3):
            await asyncio.sleep(0)
        alone = self.in_flight == 1
        await asyncio.sleep(0)
        self.in_flight -= 1
        return Outcome(body=self.body_of(request, alone=alone))

    def body_of(self, request: Request, *, alone: bool) -> JsonObject:
        body = request.body
        text = next((body[key] for key in ("input", "text_1", "prompt") if key in body), "")
        number = len(text) + (0.5 if text == "b" and not alone else 0.25)
        if request.endpoint == "/v1/embeddings":
            return {"data": [{"embedding": [number, 1.0]}]}
        if request.endpoint == "/v1/score":
            return {"data": [{"score": number}]}
        if request.endpoint == "/v1/completions":
            return {"choices": [{"text": f"{number}", "finish_reason": "stop"}]}
        if request.endpoint == "/v1/responses":
            part = {"type": "output_text", "text": f"{number}"}
            return {"output": [{"type": "message", "content": [part]}], "object": "response"}
        function = {"name": "look", "arguments": "{}"}
        calls = [{"id": f"call-{self.calls}", "type": "function", "function": function}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}


ROWS = {
    "embeddings": [{"input": text} for text in "abc"],
    "score": [{"text_1": text, "text_2": "x"} for text in "abc"],
    "completions": [{"prompt": text} for text in "abc"],
    "responses": [{"input": text} for text in "abc"],
}


@pytest.mark.parametrize("endpoint", [*ROWS, "openai"])
def test_answers_of_every_endpoint_are_compared(
    endpoint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The figures are those of the endpoint's own answers, not of a chat's."""
    if endpoint == "openai":
        rows = [
            {"custom_id": text, "url": "/v1/embeddings", "body": {"input": text}} for text in "abc"
        ]
        write("e.jsonl", *rows)
        options: tuple[str, ...] = ()
    else:
        write("e.jsonl", *ROWS[endpoint])
        options = ("--endpoint", endpoint, "--temperature", "0")
    with echoing(Vectors()):
        assert batch("e.jsonl", "-o", "e.out.jsonl", *options, "--verify", "3") == 0
    shown = capfd.readouterr().err
    assert "Verified 3 rows: 67% the same alone as in company, 67% alone as in the run" in shown
    assert "parts at character" in shown and "at random" not in shown


def test_calls_of_tools_are_compared_without_their_ids(capfd: pytest.CaptureFixture[str]) -> None:
    with echoing(Vectors()):
        assert batch(*ARGS, "--verify", "6") == 0
    assert "100% the same alone as in company, 100% alone" in capfd.readouterr().err


def test_no_row_has_no_shares() -> None:
    result = VerificationResult.of([], 0)
    assert set(result.as_json()["same"].values()) == {None}
    assert list(result.lines()) == ["Verified nothing: no answered row is in the input."]


class Sleeping(Sociable):
    """Answers once it is started, as a cluster does."""

    started = 0

    async def start(self, rows: int = 0) -> None:
        self.started += 1

    async def answer(self, request: Request) -> Outcome:
        if not self.started:
            return Outcome(failure=Failure(Code.UNREACHABLE, "None of the replicas is up."))
        return await super().answer(request)

    async def alive(self) -> bool:
        return self.started > 0


def test_an_engine_is_started_to_verify_a_run_that_was_finished(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with echoing(Sociable()):
        assert batch(*ARGS) == 0
    engine = Sleeping()
    with echoing(engine, start_message="Starting the replicas ..."):
        assert batch(*ARGS) == 0
        assert engine.started == 0
        assert batch(*ARGS, "--verify", "3", "--wait", "1") == 0
    assert engine.started == 1
    assert "Verified 3 rows: 100%" in capfd.readouterr().err


def test_random_sampling_and_dedup(capfd: pytest.CaptureFixture[str]) -> None:
    with echoing(Sociable()):
        assert batch("in.jsonl", "-o", "out.jsonl", "--verify", "3") == 0
        assert "3 of them are sampled at random" in capfd.readouterr().err
        assert batch(*ARGS, "--verify", "3", "--dedup") == 2
        assert batch("in.jsonl", "-o", "-", "--verify", "3") == 2


def test_failed_rows_are_no_equal_answers() -> None:
    answers = [
        Answers("a", 1, "x", "x", "x"),
        Answers("b", 2, "x", None, "x"),
        Answers("c", 3, "xy", "x", "xy"),
    ]
    result = VerificationResult.of(answers, 3)
    assert (result.alone_as_company, result.alone_as_run, result.company_as_run) == (1, 1, 3)
    assert result.failed == 1
    (difference,) = result.differences
    assert (difference.custom_id, difference.at) == ("c", 1)


def test_where_texts_part() -> None:
    assert parting("abc", "abd") == 2
    assert parting("ab", "abc") == 2
    assert parting("", "a") == 0
