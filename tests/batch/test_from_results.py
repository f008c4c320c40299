"""`--from RESULTS --column NAME`: another run's answers as a column of the input."""

import asyncio
from pathlib import Path

import pytest
from qchat.batch.inputs.row_ids import stems_of_keys
from qchat.batch.request import Outcome, Request

from .commands import batch, read, write
from .echo import Echo, echoing


class Repeater(Echo):
    """Answers with the prompt, in capitals."""

    def __init__(self, model: str = "m") -> None:
        self.model = model
        self.prompts: list[str] = []

    async def answer(self, request: Request) -> Outcome:
        await asyncio.sleep(0)
        text = str(request.body["messages"][-1]["content"])
        self.prompts.append(text)
        message = {"role": "assistant", "content": text.upper(), "reasoning": "hm"}
        choice = {"message": message, "finish_reason": "stop"}
        return Outcome(body={"choices": [choice], "model": self.model})


@pytest.fixture(autouse=True)
def _first_run(home: Path) -> None:
    write("in.jsonl", {"custom_id": "a", "prompt": "x", "n": 1}, {"custom_id": "b", "prompt": "y"})
    with echoing(Repeater()):
        assert batch("in.jsonl", "-o", "one.jsonl") == 0


def test_answers_become_a_column_and_nothing_clashes() -> None:
    engine = Repeater("judge")
    template = ("--template", "Is {first} right for {prompt}?")
    with echoing(engine):
        for _run in range(2):
            args = ("--from", "one.jsonl", "--column", "first", "-o", "two.jsonl", *template)
            assert batch(*args) == 0
    assert sorted(engine.prompts) == ["Is X right for x?", "Is Y right for y?"]
    row = next(row for row in read("two.jsonl") if row["custom_id"] == "a")
    assert list(row)[:4] == ["custom_id", "prompt", "n", "first"]
    assert (row["first"], row["output"], row["model"]) == ("X", "IS X RIGHT FOR X?", "judge")
    assert row["_qchat"]["file"] == "one.jsonl"  # type: ignore[index]


def test_models_one_after_the_other_over_one_file() -> None:
    """Without a template, the row's own prompt is asked again."""
    with echoing(Repeater("other")):
        assert batch("--from", "one.jsonl", "--column", "m1", "-o", "two.jsonl") == 0
        assert batch("--from", "two.jsonl", "--column", "m2", "-o", "three.jsonl") == 0
    row = next(row for row in read("three.jsonl") if row["custom_id"] == "a")
    assert [row[name] for name in ("prompt", "m1", "m2", "output")] == ["x", "X", "X", "X"]


def test_a_rows_own_model_column_stays() -> None:
    write("in.jsonl", {"custom_id": "a", "text": "x", "model": "Pixel 9"})
    with echoing(Repeater()):
        assert batch("in.jsonl", "-o", "own.jsonl", "--template", "{text}", "--prefix", "p_") == 0
        assert (
            batch("--from", "own.jsonl", "-o", "two.jsonl", "--template", "{model} {answer}") == 0
        )
    (row,) = read("two.jsonl")
    assert row["model"] == "Pixel 9" and row["output"] == "PIXEL 9 X"
    assert not [name for name in row if name.startswith("p_")]


def test_a_table_stands_for_its_results() -> None:
    with echoing(Repeater()):
        assert batch("in.jsonl", "-o", "t.csv") == 0
        assert batch("--from", "t.csv", "-o", "two.jsonl", "--template", "{answer}") == 0
    assert sorted(str(row["output"]) for row in read("two.jsonl")) == ["X", "Y"]


def test_openai_results_have_their_answer_and_id() -> None:
    body = {"messages": [{"role": "user", "content": "x"}]}
    write("o.jsonl", {"custom_id": "a", "body": body})
    with echoing(Repeater()):
        assert batch("o.jsonl", "-o", "oo.jsonl") == 0
        assert batch("--from", "oo.jsonl", "-o", "two.jsonl", "--template", "{answer}!") == 0
    (row,) = read("two.jsonl")
    assert (row["custom_id"], row["answer"], row["output"]) == ("a", "X", "X!")


def test_samples_are_rows_of_their_own() -> None:
    with echoing(Repeater()):
        assert batch("in.jsonl", "-o", "s.jsonl", "--samples", "2") == 0
        assert batch("--from", "s.jsonl", "-o", "two.jsonl", "--template", "{answer}") == 0
    assert sorted(str(row["custom_id"]) for row in read("two.jsonl")) == ["a", "a.1", "b", "b.1"]
    assert {row["sample"] for row in read("two.jsonl")} == {0, 1}


def test_samples_of_rows_with_numbers_for_ids() -> None:
    write("in.jsonl", {"custom_id": 1, "prompt": "x"}, {"custom_id": 2, "prompt": "y"}, "z")
    with echoing(Repeater()):
        assert batch("in.jsonl", "-o", "s.jsonl", "--samples", "2") == 0
        assert batch("--from", "s.jsonl", "-o", "two.jsonl", "--template", "{answer}") == 0
    ids = [str(row.get("custom_id")) for row in read("two.jsonl")]
    assert sorted(ids) == ["1", "1.1", "2", "2.1", "in-3", "in-3.1"]


class Backwards(Repeater):
    """Answers the last rows first."""

    async def answer(self, request: Request) -> Outcome:
        for _turn in range(3 * (10 - request.line)):
            await asyncio.sleep(0)
        return await super().answer(request)


def test_rows_without_ids_keep_those_that_were_made_for_them() -> None:
    """Whatever the order of the answers is."""
    write("x.jsonl", {"prompt": "a"}, "b", {"custom_id": None, "prompt": "c"})
    for folder in ("f", "g"):
        Path(folder).mkdir()
        write(f"{folder}/x.jsonl", {"prompt": folder}, {"custom_id": f"own {folder}", "prompt": ""})
    with echoing(Backwards()):
        assert batch("x.jsonl", "-o", "plain.jsonl") == 0
        assert batch("f/x.jsonl", "g/x.jsonl", "-o", "several.jsonl") == 1
    assert [row["prompt"] for row in read("plain.jsonl")] == ["c", "b", "a"]
    with echoing(Repeater()):
        for name in ("plain", "several"):
            args = ("--template", "{prompt}{answer}", "-o", f"{name}.two.jsonl")
            assert batch("--from", f"{name}.jsonl", *args) == 0
    ids = {row["custom_id"]: row["output"] for row in read("plain.two.jsonl")}
    assert ids == {"x-1": "AA", "x-2": "BB", "x-3": "CC"}
    assert {row["custom_id"] for row in read("several.two.jsonl")} == {"f/x-1", "g/x-1"}
    with echoing(Repeater()):  # results that were moved away from their manifest
        Path("plain.jsonl").rename("moved.jsonl")
        assert batch("--from", "moved.jsonl", *args[:2], "-o", "m.jsonl") == 0
    assert {row["custom_id"] for row in read("m.jsonl")} == ids.keys()


def test_the_names_of_inputs_by_their_keys() -> None:
    keys = ["a/x.jsonl", "b/x.jsonl", "y.csv.gz", "stdin", "pipe", "pipe.2", "https://h/z.jsonl"]
    assert list(stems_of_keys(keys).values()) == ["a/x", "b/x", "y", "stdin", "pipe", "pipe.2", "z"]
    assert stems_of_keys(["rows"]) == {"rows": "pipe"}
    assert stems_of_keys([".", "./", "x"])["x"] == "x"


@pytest.mark.parametrize("key", ["", ".", "/"])
def test_results_that_name_no_file_become_rows(key: str) -> None:
    write("odd.jsonl", {"prompt": "x", "output": "y", "_qchat": {"file": key, "line": 1}})
    with echoing(Repeater()):
        assert batch("--from", "odd.jsonl", "-o", "two.jsonl") == 0
    assert [row["answer"] for row in read("two.jsonl")] == ["y"]


def test_samples_of_openai_rows() -> None:
    body = {"messages": [{"role": "user", "content": "x"}]}
    write("o.jsonl", {"custom_id": "a", "body": body}, {"custom_id": "b", "body": body})
    with echoing(Repeater()):
        assert batch("o.jsonl", "-o", "oo.jsonl", "--samples", "3") == 0
        assert batch("--from", "oo.jsonl", "-o", "two.jsonl", "--template", "{answer}") == 0
    ids = sorted(str(row["custom_id"]) for row in read("two.jsonl"))
    assert ids == ["a", "a.1", "a.2", "b", "b.1", "b.2"]


@pytest.mark.parametrize("prefix", [(), ("--prefix", "p_")])
def test_each_of_two_runs_keeps_its_prompts(prefix: tuple[str, ...]) -> None:
    """That of the other run can be used in a template, and is replaced by that of this one."""
    write("in.jsonl", {"custom_id": "a", "text": "x"}, {"custom_id": "b", "text": "y"})
    options = ("--keep-prompt", *prefix)
    column = (prefix[1] if prefix else "") + "prompt"
    with echoing(Repeater()):
        assert batch("in.jsonl", "-o", "k.jsonl", "--template", "Say {text}", *options) == 0
        args = ("--from", "k.jsonl", "-o", "two.jsonl", *options)
        for _run in range(2):
            assert batch(*args, "--template", f"{{{column}}}, then {{answer}}") == 0
    row = next(row for row in read("two.jsonl") if row["custom_id"] == "a")
    assert (row[column], row["answer"]) == ("Say x, then SAY X", "SAY X")
    assert row["text"] == "x"
    with echoing(Repeater()):
        assert batch("--from", "k.jsonl", "-o", "three.jsonl", "--template", f"{{{column}}}") == 0
    row = next(row for row in read("three.jsonl") if row["custom_id"] == "a")
    assert row[column] == "Say x"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--from", "none.jsonl"), "no file none.jsonl"),
        (("--from", "one.jsonl", "-o", "one.jsonl"), "output of this run itself"),
        (("in.jsonl", "--from", "one.jsonl"), "not both"),
        (("in.jsonl", "--column", "x"), "--column names"),
        (("--from", "one.jsonl", "--column", "prompt"), "has a column 'prompt' already"),
        (("--from", "in.jsonl"), "no line of the results"),
        ((), "Missing INPUT"),
        (("--from", "one.jsonl", "--from", "one.jsonl"), "Give --from once"),
    ],
)
def test_what_can_not_be_the_input_is_refused(
    args: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    output = () if "-o" in args else ("-o", "two.jsonl")
    with echoing(Repeater()):
        assert batch(*args, *output, "--template", "{prompt}") == 2
    assert message in capfd.readouterr().err
    assert not Path("two.jsonl").exists()


def test_an_id_that_was_made_may_be_one_that_a_row_was_given(home: Path) -> None:
    write("in.jsonl", {"prompt": "a"}, {"custom_id": "in-1", "prompt": "b"})
    with echoing():
        assert batch("in.jsonl") == 0
        assert batch("--from", "in.results.jsonl", "--template", "{answer}", "-o", "two.jsonl") == 0
    assert len(read("two.jsonl")) == 2


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_rows_that_failed_in_the_other_run_are_named(
    check: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": "x"}, {"no": "request"}, {"prompt": "y"})
    with echoing(Repeater()):
        assert batch("in.jsonl", "-o", "f.jsonl") == 1
        capfd.readouterr()
        args = ("--from", "f.jsonl", "-o", "two.jsonl", "--template", "{answer}", *check)
        assert batch(*args) == 0
    captured = capfd.readouterr()
    note = "1 row of the run that wrote f.jsonl failed; it is not in f.jsonl, and not asked."
    assert note in captured.out + captured.err
