"""A row is what it is, not where it stands: what an edited input asks, keeps and writes anew."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.request import Outcome, Request

from qchat.json_types import JsonObject
from tests import faults
from tests.batch.commands import Row, batch, once_each, read, write
from tests.batch.echo import Echo, echoing

pytestmark = pytest.mark.usefixtures("home")


def openai(custom_id: str | None, text: str) -> Row:
    messages = [{"role": "user", "content": text}]
    line = {"method": "POST", "url": "/v1/chat/completions", "body": {"messages": messages}}
    return line if custom_id is None else {"custom_id": custom_id, **line}


def answers(name: str) -> dict[str, str]:
    """The text of each OpenAI result, by custom_id."""
    rows = read(name)
    found = {
        str(row["custom_id"]): row["response"]["body"]["choices"][0]["message"]["content"]  # type: ignore[index]
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def test_corrected_ids_keep_the_answers_of_their_questions(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    url = ("--base-url", server.url)
    write("in.jsonl", *(openai(f"doc-{n}", f"about {n + 1}") for n in range(4)))
    assert batch("in.jsonl", *url) == 0
    write("in.jsonl", *(openai(f"doc-{n + 1}", f"about {n + 1}") for n in range(4)))
    capfd.readouterr()
    assert batch("in.jsonl", *url) == 0
    assert "4 answers were kept, and what they repeat" in capfd.readouterr().err
    assert answers("in.results.jsonl") == {f"doc-{n}": f"echo: about {n}" for n in range(1, 5)}
    assert sum(server.log.attempts.values()) == 4
    assert batch("in.jsonl", *url) == 0
    assert "kept" not in capfd.readouterr().err


def test_swapped_ids_of_equal_questions_stay_with_their_answers(server: faults.Running) -> None:
    server.set_answers("text=random")
    url = ("--base-url", server.url)
    write("in.jsonl", *(openai(name, "the same") for name in "abc"))
    assert batch("in.jsonl", *url) == 0
    before = {row["custom_id"]: row["response"] for row in read("in.results.jsonl")}
    write("in.jsonl", *(openai(name, "the same") for name in "cxab"))
    assert batch("in.jsonl", *url) == 0
    after = {row["custom_id"]: row["response"] for row in read("in.results.jsonl")}
    assert {name: after[name] for name in "abc"} == before
    assert server.log.attempts == {"the same": 4}


def test_whole_numbers_are_ids_too(server: faults.Running) -> None:
    server.set_answers("text=random")
    url = ("--base-url", server.url)
    write("in.jsonl", *({"custom_id": n, "prompt": "the same"} for n in (1, 2)))
    assert batch("in.jsonl", *url) == 0
    before = {row["custom_id"]: row["output"] for row in read("in.results.jsonl")}
    bad = {"custom_id": 3, "prompt": 7}
    write("in.jsonl", *({"custom_id": n, "prompt": "the same", "x": 1} for n in (2, 1)), bad)
    assert batch("in.jsonl", *url) == 1
    assert {row["custom_id"]: row["output"] for row in read("in.results.jsonl")} == before
    assert server.log.attempts == {"the same": 2}
    assert [row["custom_id"] for row in read("in.results.errors.jsonl")] == ["3"]


def test_columns_that_were_added_or_mended_are_written_anew(server: faults.Running) -> None:
    url = ("--base-url", server.url)
    write("in.jsonl", *({"prompt": f"q{n}", "label": n} for n in range(5)))
    assert batch("in.jsonl", *url) == 0
    old = {row["prompt"]: row for row in read("in.results.jsonl")}
    write("in.jsonl", *({"new": None, "prompt": f"q{n}", "label": n + 1} for n in range(5)))
    assert batch("in.jsonl", *url) == 0
    assert sum(server.log.attempts.values()) == 5
    once_each("in.results.jsonl", 5)
    for row in read("in.results.jsonl"):
        n = int(str(row["prompt"])[1:])
        assert (row["label"], row["new"], row["output"]) == (n + 1, None, f"echo: q{n}")
        assert list(row)[:3] == ["new", "prompt", "label"]
        before = old[str(row["prompt"])]
        assert list(row)[3:] == list(before)[2:]
        assert {k: row[k] for k in list(row)[3:-1]} == {k: before[k] for k in list(before)[2:-1]}


def test_the_model_of_an_answer_is_never_in_the_place_of_a_column(server: faults.Running) -> None:
    url = ("--base-url", server.url, "--model", "demo")
    write("in.jsonl", {"prompt": "a"})
    assert batch("in.jsonl", *url) == 0
    write("in.jsonl", {"prompt": "a", "model": "Pixel 9"})
    assert batch("in.jsonl", *url) == 0
    (row,) = read("in.results.jsonl")
    assert row["model"] == "Pixel 9"
    assert row["_qchat"]["model"] == "demo"  # type: ignore[index]
    write("in.jsonl", {"prompt": "a"})
    assert batch("in.jsonl", *url) == 0
    (row,) = read("in.results.jsonl")
    assert row["model"] == "demo" and "model" not in row["_qchat"]  # type: ignore[operator]
    assert server.log.attempts == {"a": 1}


class Probable(Echo):
    """Answers with log probabilities where a row asks for them."""

    async def answer(self, request: Request) -> Outcome:
        choice: JsonObject = {"message": {"content": "yes"}, "finish_reason": "stop"}
        if request.body.get("logprobs"):
            choice["logprobs"] = PROBABLE
        return Outcome(body={"choices": [choice], "model": "m"})


PROBABLE = {"content": [{"token": "yes", "logprob": -0.1}]}


def test_the_log_probabilities_of_an_answer_are_never_in_the_place_of_a_column() -> None:
    row = {"prompt": "x", "logprobs": True, "top_logprobs": 3}
    with echoing(Probable()):
        for columns in (row, {**row, "tag": 1}):
            write("in.jsonl", columns)
            assert batch("in.jsonl", "--choice", "yes,no") == 0
            (line,) = read("in.results.jsonl")
            assert line == {**line, **columns}
            assert line["_qchat"]["logprobs"] == PROBABLE  # type: ignore[index]
        stage = ("--from", "in.results.jsonl", "--column", "first", "-o", "next.jsonl")
        assert batch(*stage) == 0
    (line,) = read("next.jsonl")
    assert line == {**line, **row, "tag": 1, "first": "yes"}


def test_log_probabilities_follow_the_column_that_comes_and_goes() -> None:
    body = ("--extra-body", '{"logprobs": true}')
    with echoing(Probable()):
        for columns in ({}, {"logprobs": True}, {}):
            write("in.jsonl", {"prompt": "x", **columns})
            assert batch("in.jsonl", *body) == 0
            (line,) = read("in.results.jsonl")
            own = columns.get("logprobs")
            assert line["logprobs"] == (own or PROBABLE)
            mark: Any = line["_qchat"]
            assert mark.get("logprobs") == (PROBABLE if own else None)
            assert ("logprobs" in mark) == bool(own)


def test_insertions_and_shuffles_ask_what_is_new(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    url = ("--base-url", server.url)
    rows: list[object] = [{"prompt": f"q{n}"} for n in range(60)]
    rows += [f"s{n}" for n in range(60)]
    write("in.jsonl", *rows)
    assert batch("in.jsonl", *url) == 0
    rows.insert(0, "new")
    write("in.jsonl", *rows)
    capfd.readouterr()
    assert batch("in.jsonl", *url) == 0
    assert "120 answered rows stand elsewhere now" in capfd.readouterr().err
    once_each("in.results.jsonl", 121)
    random.shuffle(rows)
    write("in.jsonl", *rows)
    assert batch("in.jsonl", *url) == 0
    once_each("in.results.jsonl", 121)
    texts = {n: row["prompt"] if isinstance(row, dict) else row for n, row in enumerate(rows, 1)}
    for row in read("in.results.jsonl"):
        assert row["prompt"] == texts[row["_qchat"]["line"]]  # type: ignore[index]
    assert set(server.log.attempts.values()) == {1} and len(server.log.attempts) == 121
    results = Path("in.results.jsonl")
    before = results.stat()
    assert batch("in.jsonl", *url) == 0
    assert results.stat().st_ino == before.st_ino  # nothing is rewritten


def test_equal_rows_take_as_many_answers(server: faults.Running) -> None:
    url = ("--base-url", server.url)
    write("in.jsonl", "a", "b", "a", "a")
    assert batch("in.jsonl", *url) == 0
    write("in.jsonl", "b", "a", "a", "a", "a")
    assert batch("in.jsonl", *url) == 0
    assert server.log.attempts == {"a": 4, "b": 1}
    once_each("in.results.jsonl", 5)
    write("in.jsonl", "a", "a")
    assert batch("in.jsonl", *url) == 0
    once_each("in.results.jsonl", 2)
    removed = sorted(str(row["prompt"]) for row in read("in.results.removed.jsonl"))
    assert removed == ["a", "a", "b"]
    assert server.log.attempts == {"a": 4, "b": 1}


def test_inputs_are_renamed_added_and_left_out(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("parts").mkdir()
    for part in (1, 2):
        write(f"parts/part-{part}.jsonl", *(openai(None, f"{part}.{n}") for n in range(3)), "x")
    args = ("parts/part-*.jsonl", "-o", "out.jsonl", "--base-url", server.url)
    assert batch(*args) == 0
    write("parts/part-10.jsonl", openai(None, "10.0"))
    assert batch(*args) == 0
    assert server.log.attempts["1.0"] == server.log.attempts["10.0"] == 1
    shutil.move("parts/part-2.jsonl", "parts/part-0.jsonl")
    assert batch(*args) == 0
    assert sum(server.log.attempts.values()) == 9
    by_id = {row["custom_id"]: row for row in read("out.jsonl") if "custom_id" in row}
    assert set(by_id) == {*(f"part-{p}-{n}" for p in (0, 1) for n in (1, 2, 3)), "part-10-1"}
    assert "2.1" in json.dumps(by_id["part-0-2"]["response"])
    strings = [row["_qchat"]["file"] for row in read("out.jsonl") if "_qchat" in row]  # type: ignore[index]
    assert sorted(strings) == ["parts/part-0.jsonl", "parts/part-1.jsonl"]
    before = sorted(Path("out.jsonl").read_bytes().splitlines())
    capfd.readouterr()
    assert batch("parts/part-1.jsonl", *args[1:]) == 0
    assert "5 answers to rows of other inputs stay in out.jsonl." in capfd.readouterr().err
    assert sorted(Path("out.jsonl").read_bytes().splitlines()) == before
    assert not Path("out.removed.jsonl").exists()


@pytest.mark.parametrize("name", ["a.jsonl", "z.jsonl"])
def test_an_answer_of_an_input_left_out_takes_no_row_from_another_answer(
    server: faults.Running, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """Whichever of two equal answers stands first in the results."""
    other = "z.jsonl" if name == "a.jsonl" else "a.jsonl"
    args = ("-o", "out.jsonl", "--base-url", server.url, "--concurrency", "1")
    write("a.jsonl", "x")
    write("z.jsonl", "x", "y")
    assert batch("a.jsonl", "z.jsonl", *args) == 0
    before = Path("out.jsonl").read_bytes()
    capfd.readouterr()
    assert batch(name, *args) == 0
    left = "2 answers to rows of other inputs stay in"
    if name == "z.jsonl":
        left = "1 answer to a row of another input stays in"
    assert left in capfd.readouterr().err
    assert Path("out.jsonl").read_bytes() == before
    shutil.move(other, "renamed.jsonl")
    assert batch(name, "renamed.jsonl", *args) == 0
    assert sum(server.log.attempts.values()) == 3
    assert not Path("out.damaged.jsonl").exists() and not Path("out.removed.jsonl").exists()


def test_one_of_equal_rows_is_removed_and_no_answer_is_damaged(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """Deleted and moved: whatever stands in its place now asks the same."""
    url = ("--base-url", server.url, "--concurrency", "1")
    rows = [{"prompt": "x", "k": k} for k in range(4)]
    for left in (rows[1:], [rows[3], rows[1]], [rows[3], "x", rows[0]]):
        write("in.jsonl", *rows)
        assert batch("in.jsonl", *url, "--restart") == 0
        capfd.readouterr()
        write("in.jsonl", *left)
        assert batch("in.jsonl", *url) == 0
        error = capfd.readouterr().err
        n = 4 - len(left)
        assert f"{n} answer" in error and "whose row" in error and "damaged" not in error
        assert len(read("in.results.removed.jsonl")) == n
        assert not Path("in.results.damaged.jsonl").exists()
    assert server.log.attempts == {"x": 12}


@pytest.mark.parametrize("kind", ["removed", "damaged", "retry", "votes"])
def test_a_side_file_of_someone_else_is_left_alone(
    server: faults.Running, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = ("in.jsonl", "--base-url", server.url)
    write("in.jsonl", "a", "b")
    assert batch(*url) == 0
    write("in.jsonl", "b")
    results = Path("in.results.jsonl")
    results.write_bytes(b"damaged\n" + results.read_bytes())
    before = results.read_bytes()
    foreign = Path(f"in.results.{kind}.jsonl")
    foreign.write_text("someone else's")
    for option in ("--ordered", "--restart"):
        assert batch(*url, option) == 2
        assert f"{foreign} exists and is not an output of qchat" in capfd.readouterr().err
        assert (foreign.read_text(), results.read_bytes()) == ("someone else's", before)
    foreign.unlink()
    for _again in range(2):
        assert batch(*url) == 0
        manifest = json.loads(Path("in.results.manifest.json").read_text())
        assert manifest["side_files"] == ["in.results.damaged.jsonl", "in.results.removed.jsonl"]
    assert batch(*url, "--restart") == 0
    assert json.loads(Path("in.results.manifest.json").read_text())["side_files"] == []


def test_failed_rows_are_known_by_content_too(server: faults.Running) -> None:
    url = ("--base-url", server.url)
    rows: list[object] = ["a", "b [[fault:400]]", {"no": "request"}, "c [[fault:400]]"]
    write("in.jsonl", *rows)
    assert batch("in.jsonl", *url) == 1
    write("in.jsonl", "new", *reversed(rows))
    assert batch("in.jsonl", *url) == 1
    assert set(server.log.attempts.values()) == {1}
    failed = {row["line"]: row["input"] for row in read("in.results.errors.jsonl")}
    assert failed == {2: "c [[fault:400]]", 3: {"no": "request"}, 4: "b [[fault:400]]"}
    write("in.jsonl", "new", "a", "c [[fault:400]]", "b")
    assert batch("in.jsonl", *url) == 1
    assert [(row["line"], row["custom_id"]) for row in read("in.results.errors.jsonl")] == [
        (3, "in-3")
    ]
    once = {"new", "a", "b"}
    assert {row["prompt"] for row in read("in.results.jsonl")} == once


def test_other_parameters_are_refused_where_they_would_ask_done_rows_again(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    url = ("--base-url", server.url)
    write("in.jsonl", {"prompt": "a", "temperature": 0.1}, openai("x", "b"), {"prompt": "c"})
    assert batch("in.jsonl", *url, "--max-tokens", "5") == 0
    before = Path("in.results.jsonl").read_bytes()
    write("in.jsonl", "new", openai("x", "b"), {"prompt": "c"})
    assert batch("in.jsonl", *url, "--max-tokens", "6") == 2
    error = capfd.readouterr().err
    assert "(max_tokens: 5 before, 6 now), 2 rows that are answered already" in error
    assert Path("in.results.jsonl").read_bytes() == before
    assert batch("in.jsonl", *url, "--max-tokens", "6", "--accept-changes") == 0
    assert len(read("in.results.jsonl")) == len(read("in.results.removed.jsonl")) == 3
    # Parameters that no answered row has got are no reason to refuse.
    write("in.jsonl", {"prompt": "only", "max_tokens": 3})
    assert batch("in.jsonl", *url, "--max-tokens", "6") == 0
    assert batch("in.jsonl", *url, "--max-tokens", "7") == 0
    assert server.log.attempts["only"] == 1


def test_results_of_the_former_version_keep_their_answers(server: faults.Running) -> None:
    url = ("--base-url", server.url)
    write("in.jsonl", {"prompt": "a", "x": 1}, openai("i", "b"), "c", "d [[fault:400]]", 7)
    assert batch("in.jsonl", *url) == 1
    manifest = json.loads(Path("in.results.manifest.json").read_text())
    Path("in.results.manifest.json").write_text(json.dumps(manifest | {"format": 1}))
    results = read("in.results.jsonl")
    for row in results:
        if "_qchat" in row:
            del row["_qchat"]["source"]  # type: ignore[attr-defined]
    write("in.results.jsonl", *results)
    failed = read("in.results.errors.jsonl")
    for row in failed:
        del row["source"]
    write("in.results.errors.jsonl", *failed)
    write("in.jsonl", {"prompt": "a", "x": 2}, openai("i", "b"), "c", "d [[fault:400]]", 7, "e")
    assert batch("in.jsonl", *url) == 1
    assert server.log.attempts == dict.fromkeys(("a", "b", "c", "d [[fault:400]]", "e"), 1)
    assert json.loads(Path("in.results.manifest.json").read_text())["format"] == 2
    rows = {row["prompt"]: row for row in read("in.results.jsonl") if "_qchat" in row}
    assert rows["a"]["x"] == 2 and "source" in rows["a"]["_qchat"]  # type: ignore[operator]
    assert sorted(row["line"] for row in read("in.results.errors.jsonl")) == [4, 5]  # type: ignore[type-var]
