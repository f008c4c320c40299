"""Answers taken over from another run's results, and from equal rows that are answered."""

import json
from pathlib import Path

import pytest
from qchat.batch.journal.lock import RunLock

from tests import faults
from tests.batch.commands import batch, once_each, read, write

pytestmark = pytest.mark.usefixtures("home")


def test_answers_to_the_same_requests_are_taken_over(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    url = ("--base-url", server.url)
    write("old.jsonl", {"prompt": "a", "old": 1}, "b", "b", "c")
    assert batch("old.jsonl", *url) == 0
    write("new.jsonl", "new", {"prompt": "b", "x": 2}, {"prompt": "a"}, "b", "b")
    capfd.readouterr()
    assert batch("new.jsonl", *url, "--adopt", "old.results.jsonl") == 0
    stderr = capfd.readouterr().err
    assert "3 rows have the answers that the same requests got before." in stderr
    assert server.log.attempts == {"a": 1, "b": 3, "c": 1, "new": 1}
    once_each("new.results.jsonl", 5)
    rows = {row["_qchat"]["line"]: row for row in read("new.results.jsonl")}  # type: ignore[index]
    assert rows[2]["x"] == 2 and "old" not in rows[3]
    assert {row["_qchat"]["file"] for row in rows.values()} == {"new.jsonl"}  # type: ignore[index]
    assert batch("new.jsonl", *url, "--adopt", "old.results.jsonl") == 0
    assert sum(server.log.attempts.values()) == 6
    # Other parameters, or another model, are other requests.
    assert batch(
        *("new.jsonl", "-o", "t.jsonl", *url, "--max-tokens", "9"),
        *("--adopt", "old.results.jsonl"),
    ) == 0  # fmt: skip
    assert server.log.attempts["a"] == 2


def test_all_rows_taken_over_start_nothing(server: faults.Running) -> None:
    write("old.jsonl", "a", {"body": {"messages": [{"role": "user", "content": "b"}]}})
    assert batch("old.jsonl", "--base-url", server.url) == 0
    write("new.jsonl", *reversed(read("old.jsonl")))
    args = ("new.jsonl", "--base-url", server.url, "--adopt", "old.results.jsonl")
    assert batch(*args) == 0
    assert server.log.attempts == {"a": 1, "b": 1}
    manifest = json.loads(Path("new.results.manifest.json").read_text())
    assert (manifest["state"], manifest["answered"]) == ("finished", 2)
    assert {row.get("custom_id") for row in read("new.results.jsonl")} == {None, "new-1"}


def test_what_cannot_be_taken_over_is_refused(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    write("other.jsonl", {"prompt": "a", "output": "b"})
    args = ("in.jsonl", "--base-url", server.url, "--adopt")
    assert batch(*args, "none.jsonl") == 2
    assert batch(*args, "other.jsonl") == 2
    assert "has no line with the digest of a request" in capfd.readouterr().err
    write("old.jsonl", "a")
    assert batch("old.jsonl", "--base-url", server.url) == 0
    with RunLock(Path("old.results.lock")):
        assert batch(*args, "old.results.jsonl") == 2
    assert "is being written by a run" in capfd.readouterr().err
    assert batch(*args, "old.results.jsonl", "--prefix", "p_") == 2
    assert batch(*args, "old.results.jsonl", "-o", "-") == 2
    assert not list(Path().glob("in.results*"))
    assert server.log.attempts == {"a": 1}


def test_dedup_gives_new_rows_the_answers_of_equal_ones(server: faults.Running) -> None:
    args = ("in.jsonl", "--base-url", server.url, "--dedup")
    write("in.jsonl", {"prompt": "a", "seed": 1}, "b")
    assert batch(*args) == 0
    write("in.jsonl", *({"prompt": "a", "seed": 1, "n_": n} for n in range(3)), "b", "b")
    assert batch(*args) == 0
    assert server.log.attempts == {"a": 1, "b": 2}  # `b` need not get the same again
    once_each("in.results.jsonl", 5)
    assert [row["n_"] for row in read("in.results.jsonl") if "n_" in row].count(2) == 1
