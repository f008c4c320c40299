"""`--verify N`: answered rows asked again alone and in company, and where their answers part."""

import asyncio
import json
from pathlib import Path

import pytest
from qchat.batch.request import Outcome, Request
from qchat.batch.verification import Answers, VerificationResult, parting

from qchat.errors import Code, Failure

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
