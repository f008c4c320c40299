"""`--limit` over an input that was edited: what is known to be gone is removed, and no more."""

import csv
import json
from pathlib import Path

import pytest

from tests import faults
from tests.batch.commands import batch, once_each, read, write

pytestmark = pytest.mark.usefixtures("home")


def test_a_limit_removes_nothing(server: faults.Running) -> None:
    url = ("--base-url", server.url)
    write("in.jsonl", "a", "b", "c")
    assert batch("in.jsonl", *url) == 0
    write("in.jsonl", "new", "a", "b", "c")
    assert batch("in.jsonl", *url, "--limit", "2") == 0
    assert not Path("in.results.removed.jsonl").exists()
    assert len(read("in.results.jsonl")) == 4
    assert batch("in.jsonl", *url) == 0
    once_each("in.results.jsonl", 4)
    assert server.log.attempts == dict.fromkeys(("a", "b", "c", "new"), 1)


def test_an_edited_row_within_a_limit_gives_its_new_answer(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    limit = ("--base-url", server.url, "--limit", "2")
    write("in.jsonl", *({"prompt": text} for text in "abcd"), {"prompt": 7})
    assert batch("in.jsonl", *limit[:2], "-o", "out.csv") == 1
    write("in.jsonl", *({"prompt": text} for text in "xbcd"), {"prompt": 7})
    capfd.readouterr()
    assert batch("in.jsonl", *limit, "-o", "out.csv") == 0
    error = capfd.readouterr().err
    assert "1 answered row has changed" in error and "moved to out.removed.jsonl" in error
    assert "echo: a" not in Path("out.csv").read_text()
    assert [row["prompt"] for row in read("out.removed.jsonl")] == ["a"]
    lines = {row["prompt"]: row["_qchat"]["line"] for row in read("out.jsonl")}  # type: ignore[index]
    assert lines == {"x": 1, "b": 2, "c": 3, "d": 4}
    assert len(read("out.errors.jsonl")) == 1  # of a row beyond the limit
    assert batch("in.jsonl", *limit[:2], "-o", "out.csv") == 1
    assert server.log.attempts == dict.fromkeys("abcdx", 1)


@pytest.mark.parametrize("most", [0, 100])
def test_an_answer_of_a_row_that_moved_beyond_a_limit_stays_and_is_no_other_rows(
    server: faults.Running, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.batch.journal.rows_beyond.MOST", most)
    url = ("in.jsonl", "--base-url", server.url, "--choice", "x,y", "-o", "out.csv")
    Path("gold.csv").write_text("custom_id,output\nin-1,x\nin-2,x\n")
    old = [{"prompt": "[[answer:text=y]]"}, "[[fault:400]]", {"prompt": "[[answer:text=x]]"}]
    new = [{"prompt": f"[[answer:text=x]] {n}"} for n in range(2)]
    write("in.jsonl", *old)
    assert batch(*url) == 1
    write("in.jsonl", *new, *old)
    assert batch(*url, "--limit", "2", "--gold", "gold.csv") == 0
    assert not Path("out.removed.jsonl").exists()
    assert len(read("out.jsonl")) == 4 and len(read("out.errors.jsonl")) == 1
    with Path("out.csv").open() as file:
        assert [row["prompt"] for row in csv.DictReader(file)] == [row["prompt"] for row in new]
    judged = json.loads(Path("out.manifest.json").read_text())["questions"]["output"]
    assert (judged["answers"], judged["accuracy"]) == (2, 1.0)
    assert batch(*url) == 1
    assert set(server.log.attempts.values()) == {1} and len(server.log.attempts) == 5
    assert len(read("out.jsonl")) == 4 and len(read("out.errors.jsonl")) == 1


@pytest.mark.parametrize("most", [0, 100])
def test_equal_rows_beyond_a_limit_keep_their_answers(
    server: faults.Running, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.batch.journal.rows_beyond.MOST", most)
    url = ("in.jsonl", "--base-url", server.url, "-o", "out.csv")
    write("in.jsonl", "a", "a", "a")
    assert batch(*url) == 0
    write("in.jsonl", "new", "a", "a", "a")
    for _again in range(2):
        assert batch(*url, "--limit", "2") == 0
        with Path("out.csv").open() as file:
            assert [row["prompt"] for row in csv.DictReader(file)] == ["new", "a"]
        assert len(read("out.jsonl")) == 4
    assert batch(*url) == 0
    once_each("out.jsonl", 4)
    assert server.log.attempts == {"a": 3, "new": 1}
    assert not Path("out.removed.jsonl").exists() and not Path("out.damaged.jsonl").exists()
