"""`qchat batch --ask`: a table in, answers with probabilities out; labels, thresholds, review."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.request import Outcome, Request

from ..commands import batch, read
from ..echo import Echo, echoing
from .labeller import Labeller, options_of, outcome

QUESTIONS = """\
text: "{{ review }}"
questions:
  - {name: mood, type: choice, ask: "How does the customer feel?", options: [good, bad]}
  - {name: stars, type: score, ask: "How many stars?", range: [1, 3]}
"""
ROWS = {"a": "fine", "b": "poor", "c": "so so"}
BELIEFS = {
    "fine": {"good": 0.8, "bad": 0.1, "1": 0.0, "2": 0.1, "3": 0.8},
    "poor": {"good": 0.02, "bad": 0.88, "1": 0.9, "2": 0.0, "3": 0.0},
    "so so": {"good": 0.5, "bad": 0.4, "1": 0.2, "2": 0.5, "3": 0.2},
}
ARGS = ("in.csv", "--ask", "q.yaml", "-o", "out.jsonl")


def belief(text: str) -> Mapping[str, float]:
    return BELIEFS[text.partition("\n")[0]]


@pytest.fixture(autouse=True)
def _files(home: Path) -> None:
    Path("q.yaml").write_text(QUESTIONS)
    lines = [f"{key},{text}" for key, text in ROWS.items()]
    Path("in.csv").write_text("\n".join(["custom_id,review", *lines, ""]))


def rows_of(name: str) -> list[dict[str, str]]:
    with Path(name).open(newline="") as file:
        return list(csv.DictReader(file))


def manifest() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(Path("out.manifest.json").read_text())
    return value


def test_the_columns_of_the_answers() -> None:
    engine = Labeller(belief)
    with echoing(engine):
        assert batch(*ARGS) == 0
    rows = {row["custom_id"]: row for row in read("out.jsonl")}
    row = rows["a"]
    assert list(row) == [
        *("custom_id", "review", "usage"),
        *("mood", "mood_p", "mood_probs", "mood_mass"),
        *("stars", "stars_p", "stars_probs", "stars_mass"),
        *("model", "_qchat"),
    ]
    assert row["mood"] == "good"
    assert row["mood_p"] == pytest.approx(8 / 9, abs=1e-6)
    assert row["mood_mass"] == pytest.approx(0.9)
    assert row["stars"] == pytest.approx((0.2 + 2.4) / 0.9, abs=1e-6)
    assert row["usage"] == {"prompt_tokens": 40, "total_tokens": 44, "completion_tokens": 4}
    assert row["_qchat"]["requests"] == row["_qchat"]["attempts"] == 4  # type: ignore[index]
    assert len(engine.requests) == 12  # two questions, in two orders
    prefixes = {
        str(one.body["messages"][-1]["content"]).partition("\n")[0] for one in engine.requests
    }
    assert prefixes == set(ROWS.values())


def test_no_swap_halves_the_requests_and_other_questions_ask_again() -> None:
    engine = Labeller(belief)
    with echoing(engine):
        assert batch(*ARGS, "--no-swap") == 0
        assert len(engine.requests) == 6
        assert batch(*ARGS, "--no-swap") == 0
        assert len(engine.requests) == 6
        assert batch(*ARGS) == 2  # would ask every row again
        assert batch(*ARGS, "--accept-changes") == 0
    assert len(engine.requests) == 18


def test_a_stopped_run_goes_on_with_whole_rows() -> None:
    engine = Labeller(belief)
    with echoing(engine):
        assert batch(*ARGS, "--limit", "2") == 0
        assert batch(*ARGS) == 0
    assert len(engine.requests) == 12
    assert sorted(str(row["custom_id"]) for row in read("out.jsonl")) == ["a", "b", "c"]


def test_a_mended_column_keeps_the_answers() -> None:
    engine = Labeller(belief)
    with echoing(engine):
        assert batch(*ARGS) == 0
        text = Path("in.csv").read_text().replace("review\n", "review,shop\n")
        Path("in.csv").write_text(
            text.replace("fine\n", "fine,x\n").replace("r\n", "r,y\n").replace("so\n", "so,z\n")
        )
        assert batch(*ARGS) == 0
    assert len(engine.requests) == 12
    rows = {row["custom_id"]: row for row in read("out.jsonl")}
    assert list(rows["a"])[:5] == ["custom_id", "review", "shop", "usage", "mood"]
    assert rows["b"]["shop"] == "y" and rows["b"]["mood"] == "bad"


def test_a_row_that_fails_costs_itself_alone() -> None:
    with echoing(Labeller(belief, fail="poor\n\nHow many")):
        assert batch(*ARGS) == 1
    assert {row["custom_id"] for row in read("out.jsonl")} == {"a", "c"}
    (error,) = read("out.errors.jsonl")
    assert error["custom_id"] == "b" and error["error"]["message"] == "no such luck"  # type: ignore[index]


@pytest.mark.parametrize(
    ("table", "questions", "message"),
    [
        ("custom_id,text\na,b\n", QUESTIONS, "no column 'review'"),
        ("custom_id,review,mood\na,b,c\n", QUESTIONS, "a column 'mood', which the answer"),
        ("custom_id,review,mood_p\na,b,c\n", QUESTIONS, "a column 'mood_p', which the answer"),
        ("custom_id,review\na,b\n", QUESTIONS + "  - {name: mood}\n", "q.yaml, line 5"),
        ("custom_id,review\na,b\n", "text: '{{ x.y }}'\n" + QUESTIONS, "'text' stands here twice"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    table: str, questions: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("in.csv").write_text(table)
    Path("q.yaml").write_text(questions)
    engine = Labeller(belief)
    with echoing(engine):
        assert batch(*ARGS) == 2
    assert message in capfd.readouterr().err
    assert not engine.requests and not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    "options",
    [
        *(("--choice", "a,b"), ("--extract", "a=$.b"), ("--thinking",), ("--samples", "2")),
        *(("--template", "{review}"), ("--endpoint", "embeddings"), ("--review", "r.csv")),
        *(("--vote",), ("--threshold", "0.5", "--review", "r.txt"), ("--gold", "none.csv")),
    ],
)
def test_options_that_do_not_go_together(options: tuple[str, ...]) -> None:
    with echoing(Labeller(belief)):
        assert batch(*ARGS, *options) == 2


def test_an_engine_without_probabilities_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with echoing(Echo()):
        assert batch(*ARGS) == 3
    assert "'logprobs'" in capfd.readouterr().err
    assert not Path("out.errors.jsonl").exists()


def test_gold_labels_are_compared_with_the_answers(capfd: pytest.CaptureFixture[str]) -> None:
    Path("gold.csv").write_text("custom_id,mood,stars\na,good,3\nb,good,1\nc,,2\n")
    with echoing(Labeller(belief)):
        assert batch(*ARGS, "--gold", "gold.csv") == 0
    shown = capfd.readouterr().err
    # (1 - 8/9)^2 and (88/90)^2, halved; |1/9| and |88/90| are in bins of their own.
    assert "mood: accuracy 0.500, Brier 0.48, ECE 0.54 (2 rows)" in shown
    assert "stars: accuracy 1.000, Brier" in shown and "(3 rows)" in shown
    assert "label good: good 1, bad 1" in shown or "label good: bad 1, good 1" in shown
    value = manifest()["questions"]["mood"]
    assert (value["rows"], value["accuracy"], value["answers"]) == (2, 0.5, 3)
    assert value["threshold"] is None
    capfd.readouterr()
    assert batch("--status", "out.jsonl") == 0
    assert "mood: accuracy 0.500 (2 rows)" in capfd.readouterr().out
    assert batch("--status", "out.jsonl", "--progress", "json") == 0
    assert json.loads(capfd.readouterr().out)["questions"]["mood"]["rows"] == 2


def test_other_labels_ask_nothing_again(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Labeller(belief)
    with echoing(engine):
        assert batch(*ARGS) == 0
        Path("gold.jsonl").write_text('{"custom_id": "a", "stars": 3.0}\n')
        assert batch(*ARGS, "--gold", "gold.jsonl", "--progress", "json") == 0
    assert len(engine.requests) == 12
    assert "stars: accuracy 1.000" in capfd.readouterr().err


def test_the_summary_of_programs_has_the_measures(capfd: pytest.CaptureFixture[str]) -> None:
    Path("gold.csv").write_text("review,mood\nfine,good\npoor,bad\n")
    with echoing(Labeller(belief)):
        assert batch(*ARGS, "--gold", "gold.csv", "--key", "review", "--progress", "json") == 0
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (summary,) = [event for event in events if event["event"] == "summary"]
    assert summary["questions"]["mood"]["accuracy"] == 1.0
    assert summary["questions"]["mood"]["curve"]


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ("custom_id,mood\na,god\n", "gold.csv, line 2: 'god' is no answer of 'mood': good, bad"),
        ("id,mood\na,good\n", "gold.csv, line 2: there is no 'custom_id' here"),
        ("custom_id,mood\na,good\na,bad\n", "gold.csv, line 3: 'a' is the custom_id of line 2"),
        ("custom_id,feeling\na,good\n", "none of the columns mood, stars"),
        ("custom_id,mood\n", "gold.csv has no row"),
        ("custom_id,x\n", "would be labels; its columns: custom_id, x."),
        ("custom_id,mood\na,good,x\n", "gold.csv, line 2: has 3 cells"),
    ],
)
def test_bad_labels_are_refused_with_their_place(
    gold: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("gold.csv").write_text(gold)
    with echoing(Labeller(belief)):
        assert batch(*ARGS, "--gold", "gold.csv") == 2
    assert message in capfd.readouterr().err


def test_unsure_rows_go_to_the_review_file_too(capfd: pytest.CaptureFixture[str]) -> None:
    with echoing(Labeller(belief)):
        assert batch(*ARGS, "--threshold", "0.88", "--review", "review.csv") == 0
    assert "1 row has an answer below 0.88" in capfd.readouterr().err
    (row,) = rows_of("review.csv")
    assert row["custom_id"] == "c" and row["review"] == "so so"
    assert row["mood"] == "" and row["mood_answer"] == "good"
    assert float(row["mood_p"]) == pytest.approx(5 / 9, abs=1e-6)
    assert row["stars_answer"] == "2"
    assert len(read("out.jsonl")) == 3


def test_a_threshold_alone_sends_the_unsure_rows_to_a_review_file_beside_the_results(
    capfd: pytest.CaptureFixture[str],
) -> None:
    args = (*ARGS, "--threshold", "0.88")
    with echoing(Labeller(belief)):
        assert batch(*args) == 0
        assert "Review:  out.review.csv" in capfd.readouterr().err
        assert "out.review.csv" in json.loads(Path("out.manifest.json").read_text())["side_files"]
        (row,) = rows_of("out.review.csv")
        assert row["custom_id"] == "c"
        assert batch(*args) == 0  # its own output: written anew
        assert batch(*args, "--review", "out.review.csv") == 0
        assert not list(Path().glob("out.review.2*.csv"))
        again = ("out.review.csv", "--template", "{review}", "-o", "other.jsonl")
        assert batch(*again) == 2
        assert "out.review.csv is the output of an earlier run" in capfd.readouterr().err
        assert batch(*args, "--restart") == 0
    assert list(Path().glob("out.2*.review.csv"))


def test_a_review_file_without_a_row_has_its_header() -> None:
    args = (*ARGS, "--review", "review.csv")
    with echoing(Labeller(belief)):
        assert batch(*args, "--threshold", "1") == 0
        header = Path("review.csv").read_text().partition("\n")[0]
        assert batch(*args, "--threshold", "0") == 0
    assert Path("review.csv").read_text() == header + "\n"


def test_a_labelled_review_file_is_a_gold_file_and_is_kept() -> None:
    args = (*ARGS, "--threshold", "0.95", "--review", "review.csv")
    with echoing(Labeller(belief)):
        assert batch(*args) == 0
        text = Path("review.csv").read_text()
        assert batch(*args) == 0
        assert Path("review.csv").read_text() == text  # unlabelled: written anew
        assert not list(Path().glob("review.*-*.csv"))
        Path("review.csv").write_text(text.replace("a,fine,,", "a,fine,good,"))
        assert batch(*ARGS, "--gold", "review.csv") == 0
        assert manifest()["questions"]["mood"]["rows"] == 1
        assert batch(*args) == 0
    (kept,) = Path().glob("review.2*.csv")
    assert "a,fine,good," in kept.read_text()


@pytest.mark.parametrize("threshold", ["1", "0"])
def test_a_review_file_among_the_inputs_is_none(
    threshold: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("d").mkdir()
    Path("in.csv").rename("d/in.csv")
    args = ("d/*.csv", "-o", "out.jsonl", "--ask", "q.yaml", "--threshold", threshold)
    review = Path("d/review.csv")
    review.write_text("custom_id,review\nz,mine\n")
    with echoing(Labeller(belief)):
        assert batch(*args, "--review", str(review)) == 2  # somebody's rows
        assert "would replace a file of this run" in capfd.readouterr().err
        review.unlink()
        for _again in range(3):
            assert batch(*args, "--review", str(review)) == 0
            assert batch("d", *args[1:], "--review", str(review), "--check") == 0
            labelled = review.read_text().replace("a,fine,,", "a,fine,good,")
            review.write_text(labelled)  # kept under another name
    assert {row["custom_id"] for row in read("out.jsonl")} == {"a", "b", "c"}
    assert len(read("out.jsonl")) == 3


def test_a_review_of_json_lines_in_the_order_of_the_input() -> None:
    with echoing(Labeller(belief)):
        assert batch(*ARGS, "--threshold", "1", "--review", "review.jsonl") == 0
    rows = read("review.jsonl")
    assert [row["custom_id"] for row in rows] == ["a", "b", "c"]
    assert rows[1]["mood"] is None and rows[1]["mood_probs"]["bad"] > 0.9  # type: ignore[index]


def test_a_review_file_never_replaces_a_file_of_the_run() -> None:
    with echoing(Labeller(belief)):
        outputs = [
            f"out.{kind}.jsonl" for kind in ("errors", "votes", "removed", "damaged", "retry")
        ]
        for name in ("in.csv", "out.jsonl", *outputs, "none/review.csv"):
            assert batch(*ARGS, "--threshold", "1", "--review", name) == 2
        Path("gold.csv").write_text("custom_id,mood\na,good\n")
        labels = ("--gold", "gold.csv", "--review", "gold.csv")
        assert batch(*ARGS, "--threshold", "1", *labels) == 2
        table = (*ARGS[:-1], "out.csv")
        assert batch(*table, "--threshold", "1", "--review", "out.csv") == 2
        Path("link.csv").symlink_to("out.csv")
        assert batch(*table, "--threshold", "1", "--review", "link.csv") == 2


def test_a_review_file_never_replaces_the_output_of_another_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with echoing(Labeller(belief)):
        assert batch(*ARGS[:-1], "other.csv") == 0
        files = {path: path.read_bytes() for path in Path().glob("other.*")}
        for name in ("other.csv", "other.jsonl"):
            assert batch(*ARGS, "--threshold", "1", "--review", name) == 2
            assert "the output of another run" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in Path().glob("other.*")} == files


def test_rows_with_prompts_need_no_template_and_openai_rows_are_refused() -> None:
    Path("q.yaml").write_text(QUESTIONS.partition("\n")[2])
    Path("in.jsonl").write_text('{"prompt": "fine"}\n"poor"\n')
    with echoing(Labeller(belief)):
        assert batch("in.jsonl", *ARGS[1:]) == 0
        assert {row["mood"] for row in read("out.jsonl")} == {"good", "bad"}
        Path("o.jsonl").write_text(
            '{"custom_id": "a", "body": {"messages": [{"role": "user", "content": "fine"}]}}\n'
        )
        assert batch("o.jsonl", "--ask", "q.yaml") == 2


def test_a_table_has_the_answers_columns_and_no_others() -> None:
    with echoing(Labeller(belief)):
        assert batch("in.csv", "--ask", "q.yaml", "-o", "out.csv") == 0
    rows = rows_of("out.csv")
    assert [row["mood"] for row in rows] == ["good", "bad", "good"]
    assert "output" not in rows[0] and "reasoning" not in rows[0]
    assert json.loads(rows[0]["mood_probs"])["good"] > 0.8


def test_options_that_the_server_does_not_tell_are_said(capfd: pytest.CaptureFixture[str]) -> None:
    beliefs = {"fine": {"good": 0.5}, "poor": {"bad": 0.5}, "so so": {"good": 0.3, "bad": 0.3}}
    questions = QUESTIONS.rpartition("  - ")[0]
    Path("q.yaml").write_text(questions)

    class Brief(Labeller):
        async def answer(self, request: Request) -> Outcome:
            self.requests.append(request)
            belief = beliefs[str(request.body["messages"][-1]["content"]).partition("\n")[0]]
            shares = {
                one: belief[word] for one, word in options_of(request).items() if word in belief
            }
            return outcome({**shares, "The": 0.3})

    with echoing(Brief(belief)):
        assert batch(*ARGS, "--threshold", "0.9", "--progress", "json") == 0
    shown = capfd.readouterr().err
    assert "In 2 rows some options were not among the likeliest tokens" in shown
    assert '"unsure":1' in shown


def test_a_check_shows_the_first_question(capfd: pytest.CaptureFixture[str]) -> None:
    assert batch(*ARGS, "--check") == 0
    shown = capfd.readouterr().out
    assert "A. good\\nB. bad" in shown and '"top_logprobs": 20' in shown
