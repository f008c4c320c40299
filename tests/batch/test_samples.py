"""`--samples N` and `--vote`: a line for each sample, exactly once, and the majority."""

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path

import pytest
from qchat.batch.evaluation.votes import vote_of
from qchat.batch.inputs.samples import row_by_row, sample_key, split_key
from qchat.batch.rates import record_rate
from qchat.batch.request import Outcome, Request, Usage
from qchat.batch.run_stats import RunStats

from qchat.errors import Code, Failure

from .commands import Row, batch, read, write
from .echo import Echo, echoing
from .reports import Page

WORDS = ("good", "bad", "good", "good", "bad")


class Speaker(Echo):
    """Answers each request of a prompt with the next of its words, and keeps the bodies."""

    def __init__(self, words: tuple[str, ...] = WORDS, fail: str = "") -> None:
        self.words = words
        self.fail = fail
        self.asked: Counter[str] = Counter()
        self.requests: list[Request] = []

    async def answer(self, request: Request) -> Outcome:
        await asyncio.sleep(0)
        text = str(request.body["messages"][-1]["content"])
        word = self.words[self.asked[text] % len(self.words)]
        self.asked[text] += 1
        self.requests.append(request)
        if text == self.fail:
            return Outcome(failure=Failure(Code.INVALID_REQUEST, "no such luck"))
        message = {"role": "assistant", "content": word}
        body = {"choices": [{"message": message, "finish_reason": "stop"}], "model": "m"}
        return Outcome(body=body, usage=Usage(1, 1))


@pytest.fixture(autouse=True)
def _files(home: Path) -> None:
    write("in.jsonl", {"custom_id": "a", "prompt": "x"}, {"custom_id": "b", "prompt": "y"}, "z")


def places(name: str) -> list[tuple[int, int]]:
    marks = [row["_qchat"] for row in read(name)]
    return [(mark["line"], mark.get("sample", 0)) for mark in marks]  # type: ignore[index,attr-defined]


ALL = [(line, sample) for line in (1, 2, 3) for sample in range(3)]
ARGS = ("in.jsonl", "-o", "out.jsonl")


def test_each_sample_is_a_line_of_its_own() -> None:
    engine = Speaker()
    with echoing(engine):
        assert batch(*ARGS, "--samples", "3", "--ordered") == 0
        assert places("out.jsonl") == ALL
        assert batch(*ARGS, "--samples", "3") == 0
    assert len(engine.requests) == 9
    assert {row["_qchat"]["file"] for row in read("out.jsonl")} == {"in.jsonl"}  # type: ignore[index]
    assert len({row["_qchat"]["digest"] for row in read("out.jsonl")}) == 9  # type: ignore[index]


def test_the_samples_of_a_row_are_asked_together() -> None:
    engine = Speaker()
    with echoing(engine):
        assert batch(*ARGS, "--samples", "3") == 0
    prompts = [request.body["messages"][-1]["content"] for request in engine.requests]
    assert prompts == [*"xxxyyyzzz"]


def test_more_samples_ask_what_is_new_and_fewer_nothing() -> None:
    engine = Speaker()
    with echoing(engine):
        assert batch(*ARGS) == 0
        assert batch(*ARGS, "--samples", "2") == 0
        assert len(engine.requests) == 6
        assert batch(*ARGS, "--samples", "3") == 0
        assert len(engine.requests) == 9
        assert batch(*ARGS, "--samples", "1") == 0
    assert len(engine.requests) == 9
    assert sorted(places("out.jsonl")) == ALL


def test_the_limit_counts_rows() -> None:
    engine = Speaker()
    with echoing(engine):
        assert batch(*ARGS, "--samples", "3", "--limit", "2") == 0
        assert sorted(places("out.jsonl")) == ALL[:6]
        assert batch(*ARGS, "--samples", "3") == 0
    assert len(engine.requests) == 9


def test_a_torn_sample_alone_is_asked_again() -> None:
    engine = Speaker()
    with echoing(engine):
        assert batch(*ARGS, "--samples", "3") == 0
        data = Path("out.jsonl").read_bytes()
        Path("out.jsonl").write_bytes(data[:-5])
        assert batch(*ARGS, "--samples", "3") == 0
    assert len(engine.requests) == 10
    assert sorted(places("out.jsonl")) == ALL


def test_an_edited_input_keeps_the_samples_of_its_rows() -> None:
    engine = Speaker()
    with echoing(engine):
        assert batch(*ARGS, "--samples", "3") == 0
        write(
            "in.jsonl",
            "new",
            {"custom_id": "b", "prompt": "y", "more": 1},
            "z",
            {"custom_id": "a", "prompt": "x"},
        )
        assert batch(*ARGS, "--samples", "3", "--ordered") == 0
    assert len(engine.requests) == 12
    assert places("out.jsonl") == [(line, sample) for line in (1, 2, 3, 4) for sample in range(3)]
    rows = read("out.jsonl")
    assert [row["prompt"] for row in rows] == [*["new"] * 3, *"yyyzzzxxx"]
    assert rows[3]["more"] == 1
    assert [row["output"] for row in rows[3:6]] == ["good", "bad", "good"]


def test_failed_samples_are_retried_by_themselves() -> None:
    engine = Speaker(fail="y")
    with echoing(engine):
        assert batch(*ARGS, "--samples", "3") == 1
        errors = read("out.errors.jsonl")
        assert [(row["line"], row.get("sample", 0)) for row in errors] == ALL[3:6]
        engine.fail = ""
        assert batch(*ARGS, "--samples", "3", "--retry-failed") == 0
    assert len(engine.requests) == 12
    assert sorted(places("out.jsonl")) == ALL and not read("out.errors.jsonl")


def test_openai_rows_keep_their_form() -> None:
    body = {"messages": [{"role": "user", "content": "x"}]}
    write("o.jsonl", {"custom_id": "a", "body": body}, {"custom_id": "b", "body": body})
    engine = Speaker()
    with echoing(engine):
        for _run in range(2):
            assert batch("o.jsonl", "-o", "out.jsonl", "--samples", "2", "--ordered") == 0
    assert len(engine.requests) == 4
    assert [row["custom_id"] for row in read("out.jsonl")] == ["a", "a", "b", "b"]


def test_openai_rows_have_their_prompts_in_a_report() -> None:
    body = {"messages": [{"role": "user", "content": "Why is it?"}]}
    write("o.jsonl", {"custom_id": "a", "body": body})
    with echoing(Speaker()):
        args = ("o.jsonl", "-o", "out.jsonl", "--samples", "3", "--report", "r.html")
        assert batch(*args) == 0
    text = Page(Path("r.html").read_bytes()).text
    assert text.count("Why is it?") >= 3 and "o.jsonl:1" in text
    assert "#sample=" not in text and "not in the results" not in text


def test_a_check_counts_the_answers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stats = RunStats(100, 0, 0)
    stats.answered, stats.started_at = 100, stats.started_at - 20
    record_rate(tmp_path / "home" / "state", "demo", stats)
    write("in.jsonl", *(f"row {n}" for n in range(20)), {"nothing": 1})
    seconds: dict[int, float] = {}
    for count in (1, 5):
        args = ("in.jsonl", "--model", "demo", "--samples", f"{count}")
        assert batch(*args, "--check", "--progress", "json") == 1
        value = json.loads(capfd.readouterr().out)
        assert (value["rows"], value["samples"]) == (21, count)
        seconds[count] = value["seconds"]
    assert seconds[5] == pytest.approx(5 * seconds[1], rel=0.01)
    assert batch("in.jsonl", "--samples", "5", "--check") == 1
    assert "Samples of each row: 5 (100 answers)" in capfd.readouterr().out


def test_samples_that_come_row_by_row_are_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "x", "y", "z")
    with echoing(Speaker()):
        assert batch(*ARGS, "--samples", "3") == 0
    assert places("out.jsonl") == ALL
    assert "--ordered" not in capfd.readouterr().err


def test_a_seed_differs_from_sample_to_sample() -> None:
    engine = Speaker()
    with echoing(engine):
        assert batch(*ARGS, "--samples", "3", "--seed", "7") == 0
    assert {request.body["seed"] for request in engine.requests} == {7, 8, 9}


def test_equal_samples_are_warned_of(capfd: pytest.CaptureFixture[str]) -> None:
    with echoing(Speaker()):
        assert batch(*ARGS, "--samples", "2", "--temperature", "0") == 0
    assert "--temperature" in capfd.readouterr().err


def test_standard_output_has_them_all(capfd: pytest.CaptureFixture[str]) -> None:
    with echoing(Speaker()):
        assert batch("in.jsonl", "-o", "-", "--samples", "3") == 0
    rows: list[Row] = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert Counter(row["_qchat"]["sample"] for row in rows) == {0: 3, 1: 3, 2: 3}  # type: ignore[index]


def test_a_table_has_the_samples_of_a_row_together() -> None:
    with echoing(Speaker()):
        assert batch("in.jsonl", "-o", "out.csv", "--samples", "2") == 0
    lines = Path("out.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["a", "a", "b", "b", "", ""]


def test_the_majority_of_choices(capfd: pytest.CaptureFixture[str]) -> None:
    Path("gold.csv").write_text("custom_id,output\na,good\nb,bad\n")
    options = ("--samples", "5", "--choice", "good,bad", "--vote")
    with echoing(Speaker()):
        assert batch(*ARGS, *options, "--gold", "gold.csv") == 0
    rows = read("out.votes.jsonl")
    assert [row.get("custom_id") for row in rows] == ["a", "b", None]
    assert rows[0] == {
        "custom_id": "a",
        "prompt": "x",
        "output": "good",
        "output_share": 0.6,
        "output_votes": {"good": 3, "bad": 2},
        "_qchat": {"file": "in.jsonl", "line": 1, "samples": 5},
    }
    shown = capfd.readouterr().err
    assert "output: accuracy 0.500, Brier 0.26, ECE 0.10 (2 rows)" in shown
    with echoing(Speaker()):
        assert batch(*ARGS, *options, "--restart") == 0
    assert list(Path().glob("out.2*.votes.jsonl"))


def test_the_votes_are_named_before_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(Exception): ...

    def kill(*_args: object) -> None:
        raise KilledError

    options = ("--samples", "2", "--choice", "good,bad", "--vote")
    with echoing(Speaker()):
        with monkeypatch.context() as patch, contextlib.suppress(KilledError):
            patch.setattr("qchat.batch.evaluation.stage.write_votes", kill)
            batch(*ARGS, *options)
        manifest = json.loads(Path("out.manifest.json").read_text())
        assert manifest["side_files"] == ["out.votes.jsonl"]
        assert batch(*ARGS, *options) == 0
        assert batch(*ARGS, *options) == 0
    assert len(read("out.votes.jsonl")) == 3


def test_the_majority_of_extracted_fields() -> None:
    texts = ('{"city": "Rome", "n": 1}', '{"city": "Oslo", "n": 1}', '{"city": "Oslo", "n": 2}')
    options = ("--json-answer", "--extract", "city=$.city", "--extract", "n=$.n", "--vote")
    with echoing(Speaker(texts)):
        assert batch(*ARGS, "--samples", "3", *options) == 0
    row = read("out.votes.jsonl")[0]
    assert (row["city"], row["n"]) == ("Oslo", "1")
    assert row["city_share"] == row["n_share"] == pytest.approx(2 / 3, abs=1e-6)
    assert "output" not in row


def test_votes_need_samples_and_something_to_count() -> None:
    with echoing(Speaker()):
        assert batch(*ARGS, "--vote", "--choice", "good,bad") == 2
        assert batch(*ARGS, "--vote", "--samples", "3") == 2


def test_of_equal_counts_the_first_sample_wins() -> None:
    assert vote_of(["b", "a", "a", "b", "c"]).value == "b"
    assert vote_of(["a", "b", "b"]).share == pytest.approx(2 / 3)


def test_keys_of_samples() -> None:
    assert split_key(sample_key("a/b.jsonl", 3)) == ("a/b.jsonl", 3)
    assert split_key("a#sample=x") == ("a#sample=x", 0)
    columns = [[1, 2], [5], [3, 4], [6]]  # two inputs, two samples
    assert list(row_by_row(columns, 2)) == [1, 3, 2, 4, 5, 6]


def test_fewer_samples_than_before_are_not_rows_of_other_inputs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    write("in.jsonl", "a", "b")
    with echoing(Speaker()):
        assert batch("in.jsonl", "--samples", "3") == 0
        capfd.readouterr()
        assert batch("in.jsonl", "--samples", "2") == 0
    message = capfd.readouterr().err
    assert "2 answers to rows of this run are beyond --samples, and stay in" in message
    assert "other inputs" not in message


def test_the_votes_of_openai_rows_name_their_file_and_a_failed_row_has_none() -> None:
    rows = ("x", "fails")
    bodies = [{"messages": [{"role": "user", "content": text}]} for text in rows]
    write(
        "o.jsonl", *({"custom_id": body["messages"][0]["content"], "body": body} for body in bodies)
    )
    options = ("--samples", "2", "--choice", "good,bad", "--vote")
    with echoing(Speaker(fail="fails")):
        assert batch("o.jsonl", "-o", "out.jsonl", *options) == 1
    (row,) = read("out.votes.jsonl")
    assert row["custom_id"] == "x"
    assert row["_qchat"] == {"file": "o.jsonl", "line": 1, "samples": 2}
