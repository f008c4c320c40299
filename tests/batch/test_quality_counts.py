"""Cut, empty and looped answers are counted wherever a run is summed up."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from qchat.batch.request import Outcome
from qchat.batch.run_stats import RunStats, details, summary

from tests import faults

from .commands import batch, read, write

ROWS = (
    {"prompt": "a [[answer:finish=length;text=half an ans]]"},
    {"prompt": "b [[answer:finish=content_filter;text=]]"},
    {"prompt": "c [[answer:finish=length;text=<think>I think]]"},
    {"prompt": "d"},
    {"prompt": "e [[fault:null_content]]"},
)


@pytest.fixture
def server(home: Path) -> Iterator[faults.Running]:
    with faults.running() as running:
        yield running


def test_stats_count_them() -> None:
    stats = RunStats(total=3)
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}
    stats.add(Outcome(body=body))
    stats.add(Outcome(body={}))
    assert "2 answered, 0 failed (1 cut)." in summary(stats)
    state = stats.as_json()
    assert state | {"cut": 1, "empty": 0, "looped": 0, "invalid": 0} == state
    assert "1 cut" in stats.line() and "1 cut" not in stats.line(20)
    assert details(RunStats(total=1)) == []


def test_a_run_counts_them_and_ends_well(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *ROWS)
    assert batch("in.jsonl", "--base-url", server.url) == 0
    assert "5 rows: 5 answered, 0 failed (2 cut, 2 empty)." in capfd.readouterr().err
    qualities = {
        row["_qchat"]["line"]: row["_qchat"]["quality"] for row in read("in.results.jsonl")
    }  # type: ignore[index]
    assert qualities == {1: "cut", 2: "empty", 3: "cut", 4: "ok", 5: "empty"}
    thought = next(row for row in read("in.results.jsonl") if str(row["prompt"]).startswith("c"))
    assert (thought["output"], thought["reasoning"]) == (None, "I think")


def test_the_status_and_a_later_run_count_those_of_an_earlier_one(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *ROWS)
    assert batch("in.jsonl", "--base-url", server.url) == 0
    capfd.readouterr()
    assert batch("--status", "in.results.jsonl") == 0
    assert "2 cut, 2 empty" in capfd.readouterr().out
    assert batch("--status", "in.results.jsonl", "--progress", "json") == 0
    status = json.loads(capfd.readouterr().out)
    assert status | {"cut": 2, "empty": 2, "looped": 0, "invalid": 0} == status
    write("in.jsonl", *ROWS, {"prompt": "f [[answer:finish=length]]"})
    assert batch("in.jsonl", "--base-url", server.url, "--progress", "json") == 0
    last = json.loads(capfd.readouterr().err.splitlines()[-2])
    assert last | {"event": "summary", "cut": 3, "empty": 2} == last
