"""The search of `qchat bench` for the highest load that keeps `--goodput`."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.bench.load_shapes import ClosedLoop, OpenLoop
from qchat.serve.bench.report import format_report
from qchat.serve.bench.search import (
    PRECISION,
    GoodputSearch,
    Trial,
    highest_kept,
    next_value,
    search_result,
)

from qchat import cli
from tests import faults

RATE, CONCURRENCY = GoodputSearch("rate"), GoodputSearch("concurrency")


def trials(search: GoodputSearch, limit: float) -> list[Trial]:
    """A whole search at a server that keeps every load up to `limit`."""
    done: list[Trial] = []
    value: float | None = search.start
    while value is not None:
        assert len(done) < 40, "a search ends"
        done.append(Trial(value, 1.0 if value <= limit else 0.5, value <= limit))
        value = next_value(search, done)
    return done


@given(st.floats(0.07, 9000), st.floats(0.1, 100))
def test_a_rate_is_found_to_within_the_precision(limit: float, start: float) -> None:
    highest = highest_kept(trials(GoodputSearch("rate", start), limit))
    if highest is not None:
        assert highest <= limit <= highest * PRECISION * 1.001 or highest > 5000
    else:  # the lowest that is tried
        assert limit < 1 / 8


@given(st.integers(1, 8000), st.integers(1, 100))
def test_a_concurrency_is_found(limit: int, start: int) -> None:
    done = trials(GoodputSearch("concurrency", float(start)), float(limit))
    assert all(trial.value.is_integer() for trial in done)
    assert len({trial.value for trial in done}) == len(done), "none is tried twice"
    highest = highest_kept(done)
    assert (
        highest is not None
        and highest <= limit
        and (limit < highest * PRECISION + 1 or highest > 4096)
    )


def test_a_search_has_its_ends() -> None:
    assert highest_kept(trials(RATE, 0.01)) is None
    assert highest_kept(trials(CONCURRENCY, 0)) is None
    assert highest_kept(trials(CONCURRENCY, 1e9)) == 8192
    # A load that is kept by luck above one that is not does not count.
    assert highest_kept([Trial(1, 1, True), Trial(2, 0, False), Trial(3, 1, True)]) == 1


def phase(load: Any, share: float | None) -> dict[str, Any]:
    return {
        "load": load.to_json(),
        "name": load.name,
        "goodput": {"share": share, "qps": 1.0},
        "output_tokens_per_second": 9.0,
        "ttft_ms": {},
        "tpot_ms": {},
        "valid": share != 0.5,
        "answered": 0,
        "seconds": 1,
        "total_requests": 0,
        "qps": 0.0,
        "mean_latency_ms": None,
        "failed": 0,
        "errors": {},
        "cut": 0,
        "why_invalid": [],
    }


def test_the_loads_follow_what_was_measured() -> None:
    phases: list[dict[str, Any]] = []
    tried = []
    for load in GoodputSearch("rate", burstiness=2, share=0.9).loads(phases):
        assert isinstance(load, OpenLoop) and load.burstiness == 2
        tried.append(load.rate)
        phases.append(phase(load, 0.9 if load.rate <= 3 else None))
    assert tried == [1, 2, 4, 3, 3.5, 3.25, 3.125]
    result = search_result(GoodputSearch("rate", share=0.9), phases)
    assert (result["highest_kept"], result["lowest_failed"], result["complete"]) == (3, 3.125, True)
    text = format_report(phases, result)
    assert (
        "keeps the limits for 90.0% of the requests: 3 a second. 3.125 a second does not." in text
    )
    rows = [line for line in text.splitlines() if "kept" in line]
    assert len(rows) == 7 and rows[0].startswith("1 a second") and rows[-1].endswith("not kept")


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ([0.5], "No load keeps the limits for 99.0% of the requests; not even 1 at a time."),
        ([1.0, 1.0], "The search was cut short."),
    ],
)
def test_what_a_search_did_not_find(shares: list[float], sentence: str) -> None:
    phases = [phase(ClosedLoop(2**n), share) for n, share in enumerate(shares)]
    text = format_report(phases, search_result(CONCURRENCY, phases))
    assert sentence in text and ("client late" in text) == (0.5 in shares)


def test_a_load_that_was_interrupted_says_nothing() -> None:
    phases = [phase(ClosedLoop(2**n), share) for n, share in enumerate([1.0, 1.0, None])]
    result = search_result(CONCURRENCY, phases, interrupted=True)
    assert (result["highest_kept"], result["lowest_failed"], result["complete"]) == (2, None, False)
    text = format_report(phases, result)
    assert "2 at a time. The search was cut short." in text and "4 at a time" not in text
    nothing = search_result(CONCURRENCY, phases[:1], interrupted=True)
    assert format_report(phases[:1], nothing).endswith("The search was cut short.")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return tmp_path


@pytest.mark.parametrize(("limit", "code"), [("latency:20000", 0), ("latency:1", 1)])
def test_a_search_at_a_server(
    limit: str, code: int, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It starts so high that one load is enough, or none will do."""
    file = home / "a.json"
    arguments = ["--search", "concurrency", "--concurrency", "8192" if code == 0 else "1"]
    arguments += ["--goodput", limit, "--requests", "3", "--warm-up", "0", "--output-len", "2"]
    with faults.running(answers="latency=0.01;length=2") as server:
        line = ["bench", "--base-url", server.url, *arguments, "--json", str(file)]
        assert cli.run(line) == code
    out, err = capsys.readouterr()
    parsed = json.loads(file.read_text())
    assert parsed["search"]["highest_kept"] == (8192 if code == 0 else None)
    assert len(parsed["phases"]) == 1 and parsed["search"]["complete"]
    if code == 0:
        assert "100.0% within the limits, which is enough" in err and "not tried" in out
    else:
        assert "0.0% within the limits, where 99.0% must be" in err and "No load keeps" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--search", "rate"], "--search needs the limits to keep: --goodput"),
        (["--search-share", "99%"], "--search-share is for --search"),
        (["--search", "rate", "--search-share", "0"], "a share such as 99% or 0.95"),
        (["--search", "rate", "--concurrency", "1"], "--search rate or --concurrency, not both"),
        (["--search", "rate", "--sweep"], "--search rate or --sweep, not both"),
        (["--search", "rate", "--rate", "1,2"], "starts at one value of --rate; 2 are given"),
        (["--search", "concurrency", "--burstiness", "2"], "--burstiness is for --rate"),
    ],
)
def test_what_does_not_go_together(
    arguments: list[str], message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", "--base-url", "http://127.0.0.1:9", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
