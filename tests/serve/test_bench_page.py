"""`--report`: the page of a benchmark, and its curves."""

import base64
import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.bench.client import RequestRecord
from qchat.serve.bench.load import Measurement
from qchat.serve.bench.load_shapes import ClosedLoop, Load, OpenLoop, Ramp
from qchat.serve.bench.metrics import GoodputLimits, compute_metrics
from qchat.serve.bench.page import page
from qchat.serve.bench.search import GoodputSearch, search_result

from qchat import cli
from qchat.errors import Code, Failure
from qchat.html.line_chart import Point, Series, line_chart, linear_axis, log_axis, named_axis
from tests import faults
from tests.batch.reports import HOSTILE, Page


def record(at: float, ttft: float, last: float, turn: int = 1) -> RequestRecord:
    one = RequestRecord(at, at, at + ttft, at + last, turn=turn)
    one.prompt_tokens, one.completion_tokens, one.has_usage = 10, 5, True
    one.first_visible_at = at + ttft
    return one


def phase(load: Load, *more: RequestRecord, slow: float = 1.0) -> dict[str, Any]:
    records = [record(n / 10, slow * (0.1 + n / 100), slow * (0.4 + n / 100)) for n in range(40)]
    measured = Measurement(load, 0.0, 10.0, [*records, *more])
    return compute_metrics(measured, GoodputLimits({"ttft": 500.0}))


def metadata(**values: Any) -> dict[str, Any]:
    settings = {"model": "demo", "endpoint": "/v1/chat/completions", "dataset": None, "turns": 2}
    return {
        "server": "http://127.0.0.1:8000/v1",
        "ended_at": "2026-11-27T00:00:00+00:00",
        "qchat": "0",
        "complete": True,
        "notes": [],
        "settings": settings,
        "client_machine": {"system": "Linux", "cpus": 2},
        **values,
    }


def test_a_page_has_the_figures_and_a_chart_for_each_curve() -> None:
    phases = [phase(ClosedLoop(1)), phase(ClosedLoop(4), record(4, 0.2, 0.9, turn=2), slow=2)]
    data = page(metadata(), phases)
    parsed = Page(data)
    assert parsed.elements.count("svg") == 4 + 2 * 4
    labels = {value for value in parsed.values if value.endswith("over time")}
    assert labels == {"output tokens/s over time", "requests in flight over time"}
    assert "4 at a time" in parsed.text and "20.0 output" not in parsed.text
    # The mark of the median says what the table says.
    assert f"TTFT p50: {phases[1]['ttft_ms']['p50']:.3g} ms" in parsed.texts["title"]
    assert parsed.elements.count("details") == 2 and parsed.elements.count("table") == 3
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", data.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        (policy,) = [value for value in parsed.values if value.startswith("default-src 'none'")]
        assert f"{tag}-src 'sha256-{digest}'" in policy and "unsafe" not in policy
    names = set().union(*parsed.attributes.values())
    assert not {name for name in names if name.startswith("on")} | names & {"style", "src", "href"}


def test_a_search_has_its_chart_and_its_sentence() -> None:
    search = GoodputSearch("rate")
    phases = [phase(OpenLoop(rate), slow=rate) for rate in (1.0, 2.0, 4.0)]
    for one, share in zip(phases, (1.0, 1.0, 0.4), strict=True):
        one["goodput"]["share"] = share
    parsed = Page(page(metadata(search=search_result(search, phases)), phases))
    assert "keeps the limits for 99.0% of the requests: 2 a second" in parsed.text
    assert parsed.elements.count("svg") == 2 + 4 + 3 * 4
    assert "4 a second: 40.0%" in parsed.texts["title"]
    cut_short = search_result(search, phases[:1], interrupted=True)
    parsed = Page(page(metadata(search=cut_short), phases[:1]))
    assert "The search was cut short." in parsed.text


@pytest.mark.parametrize("load", [OpenLoop(3.0, 0.5), Ramp(1, 9)])
def test_what_was_not_measured_leaves_a_page(load: Load) -> None:
    nothing = compute_metrics(Measurement(load, 5.0, 5.0))
    failed = RequestRecord(1, 1, failure=Failure(Code.OVERLOADED, "busy"))
    no_answer = compute_metrics(Measurement(load, 0.0, 10.0, [failed]))
    parsed = Page(page(metadata(complete=False), [nothing, no_answer]))
    assert "Nothing was measured." in parsed.text and "not complete" in parsed.text
    assert "1 failed: overloaded (busy)" in parsed.text


def test_nothing_from_outside_is_markup() -> None:
    failed = RequestRecord(1, 1, failure=Failure(Code.BAD_RESPONSE, HOSTILE))
    phases = [phase(ClosedLoop(1), failed)]
    settings = {
        "model": HOSTILE,
        "endpoint": HOSTILE,
        "dataset": HOSTILE,
        "sampling": {"stop": HOSTILE},
    }
    values = {"server": HOSTILE, "notes": [HOSTILE], "settings": settings}
    plain = Page(page(metadata(notes=["a note"]), [phase(ClosedLoop(1), failed)]))
    hostile = Page(page(metadata(**values), phases))
    for name in ("script", "img", "style", "svg", "p"):
        assert hostile.elements.count(name) == plain.elements.count(name)
    assert "onmouseover" not in set().union(*hostile.attributes.values())
    assert hostile.text.count("<img src=x") >= 6 and "\x1b" not in hostile.text


@given(st.lists(st.tuples(st.floats(-5, 105), st.none() | st.floats(-1, 1e9)), max_size=30))
def test_curves_stay_on_their_chart(values: list[tuple[float, float | None]]) -> None:
    points = [Point(x, y, "here") for x, y in values]
    for axis in (linear_axis(0, 100), log_axis(1, 100), named_axis([str(n) for n in range(101)])):
        chart = line_chart([Series("a", points), Series("b", [])], axis, "a chart")
        numbers = [
            tuple(map(float, pair.split(",")))
            for line in re.findall(r'points="([^"]*)"', chart)
            for pair in line.split()
        ]
        assert all(0 <= x <= 720 and 0 <= y <= 220 for x, y in numbers)
        assert chart.count("<circle") == sum(y is not None for _x, y in values)
        assert all(0 <= tick.at <= 1 for tick in axis.ticks)


def test_the_command_writes_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    file = tmp_path / "a.html"
    arguments = ["--concurrency", "1,2", "--requests", "4", "--warm-up", "0", "--html", str(file)]
    with faults.running(answers="length=4;latency=0.01;rate=400") as server:
        assert cli.run(["bench", "--base-url", server.url, *arguments]) in (0, 1)
    assert "2 at a time" in Page(file.read_bytes()).text
    for name, message in (("a.txt", "ends in .html"), ("no/a.html", "no folder")):
        assert cli.run(["bench", "--base-url", "http://127.0.0.1:9", "--report", name]) == 2, (
            message
        )
