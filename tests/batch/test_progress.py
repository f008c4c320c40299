"""What a person sees of a run."""

import io
import json

import pytest
from qchat.batch import progress
from qchat.batch.background import WorkCounter
from qchat.batch.engines.engine import EngineState
from qchat.batch.engines.metrics import ServerLoad
from qchat.batch.progress import JsonProgress, ProgressDisplay
from qchat.batch.request import Outcome, Usage
from qchat.batch.run_stats import RunStats, details, duration, state_line, summary

from qchat.errors import Code, Failure


def some_stats() -> RunStats:
    stats = RunStats(total=10, answered_before=2, failed_before=1)
    stats.add(Outcome(body={}, usage=Usage(3, 50)))
    stats.add(Outcome(failure=Failure(Code.INVALID_REQUEST, "no")))
    return stats


def test_the_line_says_how_far_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = some_stats()
    stats.started_at = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: 104.0)
    assert stats.line() == "5/10 rows, 0.5 rows/s, 12 tokens/s, ETA 10 s, 2 errors"
    assert summary(stats) == ("10 rows: 3 answered, 2 failed. 2 in 4.0 s: 0.5 rows/s, 12 tokens/s.")


def test_a_narrow_terminal_gets_what_matters_most() -> None:
    stats = some_stats()
    stats.started_at -= 4
    stats.sample(7, {Code.OVERLOADED: 2})
    assert "retries" in stats.line(200) and "retries" not in stats.line(60)
    for columns in range(12, 100):
        assert len(stats.line(columns)) <= max(columns, len("5/10 rows, ETA 99 s"))
        assert stats.line(columns).startswith("5/10 rows")


def test_the_time_to_go_follows_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stats = RunStats(total=1000)
    stats.start()
    for now[0] in range(1, 301):  # a row a second for five minutes, then five a second for one
        for _row in range(1 if now[0] <= 240 else 5):
            stats.add(Outcome(body={}))
        stats.sample(7, {Code.OVERLOADED: 2})
    assert stats.done == 540
    assert stats.eta() == pytest.approx(460 / 5, rel=0.03)
    assert stats.line().endswith("retries: overloaded 2")


def test_json_for_other_programs() -> None:
    stream = io.StringIO()
    display = JsonProgress(stream)
    with display.phase("Starting \x1b[2J..."), display.counting(some_stats()):
        display.tick(some_stats())
    display.warn("careful")
    last = some_stats()
    last.sample(1, {Code.OVERLOADED: 2})
    display.finish(last)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["message", "progress", "warning", "summary"]
    assert events[0]["text"] == "Starting ..."
    assert events[1] | {"total": 10, "done": 5, "answered": 3, "failed": 2} == events[1]
    assert events[1]["completion_tokens"] == 50
    assert events[3]["retries"] == {"overloaded": 2}


def test_before_the_first_answer_there_is_no_eta() -> None:
    assert "ETA" not in RunStats(total=10).line()


def test_durations_are_short() -> None:
    texts = [duration(seconds) for seconds in (0.26, 9.94, 12.3, 59.4, 187, 7387)]
    assert texts == ["0.3 s", "9.9 s", "12 s", "59 s", "3:07", "2:03:07"]


def test_a_pipe_gets_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    display = ProgressDisplay(stream, quiet=False)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with display.phase("Starting ..."), display.counting(some_stats()):
        for now[0] in range(1, 25):
            display.tick(some_stats())
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Starting ..."
    assert len(lines) == 3
    assert all(line.startswith("5/10 rows") for line in lines[1:])
    assert "\x1b" not in stream.getvalue()


def test_long_work_in_a_thread_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    streams = [io.StringIO() for _display in range(3)]
    displays = (
        ProgressDisplay(streams[0], quiet=False),
        ProgressDisplay(streams[1], quiet=True),
        JsonProgress(streams[2]),
    )
    for display in displays:
        counter = WorkCounter(total_bytes=600_000)
        with display.working("Reading in.jsonl", counter) as tick:
            for n in range(12):  # once a second
                now[0] += 1
                tick()
                counter.rows = 100_000 * (n + 1)
                counter.bytes = 50_000 * (n + 1)
    assert streams[0].getvalue().splitlines() == [
        "Reading in.jsonl ...",
        "Reading in.jsonl: 1,000,000 rows (83%)",
    ]
    assert streams[1].getvalue() == ""
    events = [json.loads(line) for line in streams[2].getvalue().splitlines()]
    assert {event["event"] for event in events} == {"message"}
    assert [event["text"] for event in events][1:3] == [
        "Reading in.jsonl: 100,000 rows (8%)",
        "Reading in.jsonl: 200,000 rows (17%)",
    ]


def test_work_that_is_done_within_a_second_is_not_mentioned() -> None:
    stream = io.StringIO()
    with ProgressDisplay(stream, quiet=False).working("Reading in.jsonl", WorkCounter(1)):
        pass
    assert stream.getvalue() == ""


def test_a_terminal_shows_long_work_in_one_line() -> None:
    stream = Terminal()
    counter = WorkCounter(total_bytes=4, rows=1234, bytes=1)
    with ProgressDisplay(stream, quiet=False).working("Reading in.jsonl", counter) as tick:
        tick()
        tick()
    assert "Reading in.jsonl: 1,234 rows (25%)" in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_quiet_leaves_warnings() -> None:
    stream = io.StringIO()
    display = ProgressDisplay(stream, quiet=True)
    with display.phase("Starting ..."):
        display.say("hello")
        display.warn("careful")
    assert stream.getvalue() == "careful\n"


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    ProgressDisplay(stream, quiet=False).say("[bold]x[/] \x1b[2J")
    assert stream.getvalue() == "[bold]x[/] \n"


def test_the_end_tells_what_the_line_leaves_out() -> None:
    stats = some_stats()
    stats.started_at -= 4
    load = ServerLoad(100, 28, 0.456, 1)
    states = [
        EngineState("http://a", 3, 128, 7, load=load),
        EngineState("http://[red]b", 0, 64, 2, up=False),
    ]
    stats.sample(7, {Code.OVERLOADED: 2, Code.DISCONNECTED: 1}, states)
    labels = dict(details(stats))
    assert labels["Retries"] == "overloaded 2, disconnected 1"
    assert labels["Failed"] == "invalid_request 1"
    assert labels["Completion tokens"].startswith("50 (1")
    assert labels["http://a"] == "7 answered"
    assert [state_line(state) for state in states] == [
        "http://a: 3 of 128 in flight, 7 answered, running 100, waiting 28, KV cache 46%",
        "http://[red]b: failing, 0 in flight, 2 answered",
    ]
    stream = io.StringIO()
    ProgressDisplay(stream, quiet=False).finish(stats)
    assert "overloaded 2" in stream.getvalue() and "[red]b" in stream.getvalue()
    assert stats.as_json()["servers"][0]["kv_cache"] == 0.456
