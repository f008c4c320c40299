"""`--report`: the page of a run."""

import base64
import hashlib
import json
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from qchat.batch.background import WorkCounter
from qchat.batch.report.labels import labels
from qchat.batch.report.page import MAX_BYTES
from qchat.batch.report.reading import RunReport, read_run
from qchat.batch.report.samples import Largest, Reservoir
from qchat.batch.report.timeline import MAX_BUCKETS, Timeline

from ..faults import running
from .commands import batch, read, write
from .echo import echoing
from .reports import HOSTILE, Page, failed_row, openai_row, row, write_lines


def page_of(name: str = "out.jsonl") -> Page:
    assert batch("--report", "r.html", "--of", name) == 0
    return Page(Path("r.html").read_bytes())


def test_a_run_ends_with_its_page(home: Path) -> None:
    write("in.jsonl", *[f"row {n}" for n in range(20)], {"nothing": 1})
    with echoing():
        assert batch("in.jsonl", "-o", "out.jsonl", "--report", "r.html") == 1
    page = Page(Path("r.html").read_bytes())
    assert "21rows20answered1failed" in page.text
    assert "invalid_line: 1 (100.0% of all failures)" in page.text
    assert "answer 7" in page.text and "row 7" in page.text
    assert {"main", "svg", "table", "pre"} <= set(page.elements)
    marks = [line["_qchat"] for line in read("out.jsonl")]
    assert all(mark["seconds"] >= 0 and mark["at"] > 1.7e9 for mark in marks)  # type: ignore[index]


def test_the_page_has_no_network_and_only_its_own_script(home: Path) -> None:
    write_lines(Path("out.jsonl"), [row(n) for n in range(1, 9)])
    page = page_of()
    data = Path("r.html").read_text()
    (policy,) = [value for value in page.values if value.startswith("default-src 'none'")]
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", data, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    names = set().union(*page.attributes.values())
    assert not {name for name in names if name.startswith("on")} | names & {"style", "src", "href"}
    assert "http://" not in data and "https://" not in data
    assert "prefers-color-scheme:dark" in data


def test_nothing_of_a_row_is_markup(home: Path) -> None:
    plain = [row(n, label=f"label {n}") for n in range(1, 30)]
    hostile = [
        row(
            n,
            prompt=HOSTILE,
            output=HOSTILE,
            reasoning=HOSTILE,
            finish_reason=HOSTILE[:70],
            model=HOSTILE[:70],
            custom_id=HOSTILE,
            _qchat={"file": HOSTILE, "again": HOSTILE[:30], "quality": "cut"},
            **{HOSTILE[:40]: HOSTILE, f"{HOSTILE[:40]}_p": 0.4},
            **{f"{HOSTILE[:40]}_probs": {HOSTILE[:60]: 0.4, "b": 0.3}},
        )
        for n in range(1, 30)
    ]
    errors = [failed_row(n, HOSTILE[:50], HOSTILE, {"prompt": HOSTILE}) for n in range(30, 34)]
    pages = {}
    for name, rows, failed in (
        ("plain", plain, [failed_row(30, "c", "m", "p")]),
        ("hostile", hostile, errors),
        ("openai", [openai_row(n, HOSTILE) for n in range(1, 30)], errors),
    ):
        write_lines(Path(f"{name}.jsonl"), rows)
        write_lines(Path(f"{name}.errors.jsonl"), failed)
        pages[name] = page_of(f"{name}.jsonl")
    for name in ("hostile", "openai"):
        page = pages[name]
        # Every element is one of ours, and none has an attribute that ours have not.
        assert set(page.elements) <= set(pages["plain"].elements) | {"details", "summary"}
        assert page.elements.count("script") == page.elements.count("style") == 1
        assert "img" not in page.elements
        for attributes in page.attributes.values():
            assert not {name for name in attributes if name.startswith("on")} | attributes & {
                "src",
                "href",
                "style",
            }
        assert "<script>document.title='pwned'</script>" in page.text
        assert "\x1b" not in page.text and "\u202e" not in page.text


def test_openai_rows_have_their_prompts_from_the_input(home: Path) -> None:
    bodies = [{"messages": [{"role": "user", "content": f"ask {n}"}]} for n in range(1, 4)]
    rows = [
        {"custom_id": f"id-{n}", "url": "/v1/chat/completions", "method": "POST", "body": body}
        for n, body in enumerate(bodies)
    ]
    write("in.jsonl", *rows)
    with running() as server:
        args = ("--base-url", server.base_url, "-o", "out.jsonl", "--report", "r.html")
        assert batch("in.jsonl", *args) == 0
    page = Page(Path("r.html").read_bytes())
    assert "id-2 (in.jsonl:3)" in page.text and "ask 3" in page.text
    assert "Seconds to an answer" in page.text  # counted by the run itself
    Path("in.jsonl").unlink()
    assert "(not in the results)" in page_of().text


def test_what_a_page_counts(home: Path) -> None:
    rows = [
        row(1, finish_reason="length", _qchat={"quality": "cut", "attempts": 3}),
        row(2, output="", _qchat={"quality": "empty"}),
        row(3, _qchat={"quality": "looped", "seconds": 99.0}),
        row(4, model="other", usage={"prompt_tokens": 1000, "completion_tokens": 5}),
    ]
    write_lines(Path("out.jsonl"), rows)
    with Path("out.jsonl").open("a") as file:
        file.write('{"prompt": "torn')
    failed = [failed_row(n, "timeout", f"no answer {n}", "p") for n in range(5, 15)]
    failed.append(failed_row(15, "invalid_answer", "not a choice", "p") | {"output": "maybe"})
    write_lines(Path("out.errors.jsonl"), failed)
    report = read_run(Path("out.jsonl"), Path("out.errors.jsonl"), None, WorkCounter())
    assert (report.answered, report.failed, report.unread, report.retried) == (4, 11, 1, 1)
    assert report.qualities == {"cut": 1, "empty": 1, "looped": 1, "ok": 1, "invalid": 1}
    assert report.finish_reasons == {"length": 1, "stop": 3}
    assert (report.prompt_tokens, report.completion_tokens) == (1030, 65)
    assert report.errors["timeout"].count == 10
    assert [one.message for one in report.errors["timeout"].examples] == [
        "no answer 5",
        "no answer 6",
        "no answer 7",
    ]
    assert next(iter(report.slowest))[1].line == 3
    text = page_of().text
    assert "timeout: 10 (90.9% of all failures)" in text and "maybe" in text
    assert "1 lines could not be read" in text


def test_probabilities_are_drawn(home: Path) -> None:
    rows = [
        row(n, mood="good", mood_p=p, mood_probs={"good": p, "bad": 1 - p}, mood_mass=0.5)
        for n, p in enumerate((0.9, 0.8, 0.97, 0.55), 1)
    ]
    write_lines(Path("out.jsonl"), rows)
    page = page_of()
    assert (
        "4 rows, 80% sure on average; 50.0% of the model's belief lay on the options" in page.text
    )
    assert "0.95 to 1.00: 1 rows" in page.text
    unsure = page.texts["details"]
    assert unsure.index("question 4") < unsure.index("question 2")


def test_what_a_row_asked_has_none_of_its_answers(home: Path) -> None:
    answers = {"mood": "good", "mood_p": 0.9, "mood_probs": {"good": 0.9, "bad": 0.1}}
    mark = {"file": "in.csv", "line": 1, "attempts": 1, "requests": 2}
    value = {"review": "It leaks.", **answers, "mood_mass": 0.5, "usage": {}, "_qchat": mark}
    write_lines(Path("out.jsonl"), [value])
    text = page_of().text
    assert "review: It leaks." in text and "mood: good (90%)" in text
    assert "mood_probs" not in text


def test_the_comparison_with_labels_is_drawn() -> None:
    curve = [
        {"low": 0.5, "high": 0.6, "rows": 10, "confidence": 0.55, "accuracy": 0.4},
        {"low": 0.9, "high": 1.0, "rows": 30, "confidence": 0.97, "accuracy": 0.9},
    ]
    score = {
        "rows": 40,
        "accuracy": 0.775,
        "brier": 0.21,
        "ece": 0.08,
        "curve": curve,
        "confusion": {"good": {"good": 20, "<b>bad": 9}, "bad": {"<b>bad": 11}},
        "threshold": {"p": 0.93, "accuracy": 0.95, "coverage": 0.6},
        "mean_error": None,
    }
    report = RunReport("out.jsonl")
    report.manifest = SimpleNamespace(questions={"<i>mood": score})  # type: ignore[assignment]
    drawn = labels(report)
    assert "accuracy 0.775, Brier 0.210, ECE 0.080, 40 rows" in drawn
    assert "From 0.93 on, 95% are right; that is 60% of all rows." in drawn
    assert drawn.count("<circle") == 2 and "10 rows: 0.55 sure, 40% right" in drawn
    assert "<b>" not in drawn and "<i>" not in drawn
    unlabelled = {"mood": {"answers": 4, "mass": 0.8, "order_bias": 0.1}}
    report.manifest = SimpleNamespace(questions=unlabelled)  # type: ignore[assignment]
    assert labels(report) == ""
    report.manifest = None
    assert labels(report) == ""


def test_a_page_of_huge_rows_stays_small(home: Path) -> None:
    rows = [row(n, prompt="&" * 50_000, output="\u4e2d<" * 30_000) for n in range(1, 80)]
    for n, one in enumerate(rows):
        one["_qchat"]["quality"] = ("cut", "empty", "looped")[n % 3]  # type: ignore[index]
    write_lines(Path("out.jsonl"), rows)
    failed = [failed_row(n, f"code {n}", "<" * 9000, "<" * 9000) for n in range(1, 99)]
    write_lines(Path("out.errors.jsonl"), failed)
    page_of()
    assert Path("r.html").stat().st_size < MAX_BYTES


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--report", "r.txt", "--of", "out.jsonl"), "a name that ends in .html"),
        (("--report", "no/r.html", "--of", "out.jsonl"), "no folder no"),
        (("--report", "r.html", "--of", "none.jsonl"), "there are no results"),
        (("--report", "r.html", "--of", "in.jsonl"), "has no line of a run's results"),
        (("--of", "out.jsonl"), "Give --of with --report"),
        (("in.jsonl", "--report", "r.html", "-o", "-"), "needs the results in a file"),
    ],
)
def test_what_can_not_be_shown_is_refused(
    home: Path, capfd: pytest.CaptureFixture[str], args: tuple[str, ...], message: str
) -> None:
    write("in.jsonl", "a")
    write_lines(Path("out.jsonl"), [row(1)])
    assert batch(*args) == 2
    assert message in " ".join(capfd.readouterr().err.split())
    assert not Path("r.html").exists()


def test_the_page_is_as_private_as_the_results(home: Path) -> None:
    write_lines(Path("out.jsonl"), [row(1)])
    Path("out.jsonl").chmod(0o640)
    page_of()
    assert Path("r.html").stat().st_mode & 0o777 == 0o640


def test_a_sample_has_every_row_as_likely_as_any_other() -> None:
    hits = [0] * 100
    for seed in range(400):
        reservoir: Reservoir[int] = Reservoir(10, source=random.Random(seed))
        for item in range(100):
            if reservoir.wants():
                reservoir.add(item)
        assert len(set(reservoir.items)) == 10
        for item in reservoir.items:
            hits[item] += 1
    # 40 each; the standard deviation is 6.
    assert 30 < sum(hits[:50]) / 50 < 50 and 33 < sum(hits[90:]) / 10 < 47
    assert min(hits) > 10


def test_the_largest_are_kept_in_their_order() -> None:
    largest: Largest[str] = Largest(3)
    for value in (5, 1, 9, 9, 2, 7):
        if largest.wants(value):
            largest.add(value, f"v{value}")
    assert [value for value, _item in largest] == [9, 9, 7]


def test_a_timeline_has_a_fixed_size_and_leaves_pauses_out() -> None:
    timeline = Timeline()
    for n in range(50_000):
        timeline.add(1_790_000_000 + n * 0.5, 2)
    for n in range(100):
        timeline.add(1_791_000_000 + n, 2)
    assert len(timeline.buckets) <= MAX_BUCKETS
    spans = timeline.spans()
    assert sum(span.rows for span in spans) == 50_100
    assert sum(span.tokens for span in spans) == 100_200
    assert len(spans) <= 125 and sum(span.resumed for span in spans) == 1
    assert sum(span.seconds for span in spans) < 27_000


def test_the_json_of_a_run_has_the_same_quantities(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *[f"row {n}" for n in range(5)])
    with echoing():
        assert batch("in.jsonl", "-o", "out.jsonl", "--progress", "json") == 0
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (summary,) = [event for event in events if event["event"] == "summary"]
    assert summary["finish_reasons"] == {"stop": 5}
    assert summary["latency_seconds"].keys() == {"mean", "max", "p50", "p95", "p99"}
    assert summary["answer_tokens"]["p50"] == 1.0


@pytest.mark.parametrize(
    "line",
    [
        {"messages": ["hi"]},
        {"messages": [5]},
        {"body": {"messages": ["hi"]}},
        {"custom_id": "a", "url": "/v1/chat/completions", "body": {"messages": [None]}},
    ],
)
def test_a_line_that_was_no_request_is_on_the_page(home: Path, line: object) -> None:
    write("in.jsonl", "good", line)
    with echoing():
        assert batch("in.jsonl", "-o", "out.jsonl", "--report", "r.html") == 1
    assert "invalid_line: 1" in Page(Path("r.html").read_bytes()).text


@pytest.mark.parametrize("content", [5, 0.5, True, {"a": 1}, [1, 2], ["a"], [{"text": 5}]])
def test_values_of_other_types_than_ours_are_shown(home: Path, content: object) -> None:
    """The results may have come from another program, or through one."""
    odd = openai_row(1, "text")
    choice = odd["response"]["body"]["choices"][0]  # type: ignore[index]
    choice["message"] = {"role": "assistant", "content": content}
    bare = openai_row(2, "text")
    bare["response"]["body"]["choices"][0]["message"] = content  # type: ignore[index]
    marks = [row(n, _qchat={"quality": content, "again": content}) for n in (3, 4)]
    marks[1] |= {"finish_reason": content, "model": content, "usage": content, "output": content}
    write_lines(Path("out.jsonl"), [odd, bare, *marks])
    failure = failed_row(5, "c", "m", content)
    failure["error"] = content
    write_lines(Path("out.errors.jsonl"), [failure])
    report = read_run(Path("out.jsonl"), Path("out.errors.jsonl"), None, WorkCounter())
    assert (report.answered, report.failed) == (4, 1)
    assert report.qualities["ok"] >= 1 and len(report.qualities) < 5
    page_of()
