"""`--retry-where`: answers that are not whole are asked again, and replaced in one atomic way."""

import asyncio
import json
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from qchat.batch.background import WorkCounter
from qchat.batch.followups import continued, larger
from qchat.batch.journal.output_files import OutputFiles
from qchat.batch.journal.replacements import ReopenedRows, merge_replacements
from qchat.batch.request import Outcome, Request

from qchat.errors import Code, Failure
from qchat.json_types import JsonObject
from tests import faults

from .commands import batch, read, write
from .echo import Echo, echoing

PROMPT = "tell me a long story of many words"


@pytest.fixture
def server(home: Path) -> Iterator[faults.Running]:
    with faults.running() as running:
        yield running


def by_line(name: str = "in.results.jsonl") -> dict[int, dict[str, object]]:
    return {row["_qchat"]["line"]: row for row in read(name)}  # type: ignore[index,misc]


def test_cut_answers_are_continued(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": PROMPT, "max_tokens": 4}, {"prompt": "b"})
    args = ["in.jsonl", "--base-url", server.url]
    assert batch(*args) == 0
    cut = by_line()[1]
    assert cut["finish_reason"] == "length"
    assert capfd.readouterr().err.count("(1 cut)") == 1
    assert batch(*args, "--retry-where", "cut") == 0
    row = by_line()[1]
    assert row["output"] == f"echo: {PROMPT}"
    assert row["finish_reason"] == "stop"
    assert row["_qchat"] | {"quality": "ok", "again": "continued"} == row["_qchat"]  # type: ignore[operator]
    assert row["_qchat"]["digest"] == cut["_qchat"]["digest"]  # type: ignore[index]
    err = capfd.readouterr().err
    assert "2 answered, 0 failed. 1 in" in err
    assert "1 continued" in err
    assert sorted(by_line()) == [1, 2]
    assert sum(server.log.attempts.values()) == 3
    assert not Path("in.results.retry.jsonl").exists()
    assert batch(*args, "--retry-where", "cut") == 0
    assert "All 2 rows are done already" in capfd.readouterr().err


def test_openai_rows_are_continued_too(server: faults.Running) -> None:
    body = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 4}
    write("in.jsonl", {"custom_id": "a", "url": "/v1/chat/completions", "body": body})
    args = ["in.jsonl", "--base-url", server.url]
    assert batch(*args) == 0
    assert batch(*args, "--retry-where", "cut") == 0
    (row,) = read("in.results.jsonl")
    choice = row["response"]["body"]["choices"][0]  # type: ignore[index]
    assert choice["message"]["content"] == f"echo: {PROMPT}"
    assert choice["finish_reason"] == "stop"


def test_an_engine_that_cannot_continue_gets_a_larger_budget(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    thought = f"{PROMPT} [[answer:reasoning=inline]]"  # the cut is in the thought
    write("in.jsonl", {"prompt": thought, "max_tokens": 6})
    args = ["in.jsonl", "--base-url", server.url]
    assert batch(*args) == 0
    assert batch(*args, "--retry-where", "cut") == 0
    assert by_line()[1]["_qchat"]["again"] == "larger budget"  # type: ignore[index]
    assert "1 with a larger budget" in capfd.readouterr().err


def test_a_row_that_fails_when_asked_again_keeps_its_answer(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": f"x [[answer:text=]] {PROMPT}"}, {"prompt": "b"})
    args = ["in.jsonl", "--base-url", server.url]
    assert batch(*args) == 0
    before = Path("in.results.jsonl").read_bytes()
    server.set_plan("400")
    assert batch(*args, "--retry-where", "empty") == 0
    assert Path("in.results.jsonl").read_bytes() == before
    assert not Path("in.results.errors.jsonl").exists()
    assert "2 answered, 0 failed (1 empty)" in capfd.readouterr().err
    server.clear()
    assert batch(*args, "--retry-where", "empty") == 0
    assert by_line()[1]["_qchat"]["again"] == "resampled"  # type: ignore[index]


def test_a_looped_answer_is_asked_once_more_with_a_penalty(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "and on " * 200
    write("in.jsonl", {"prompt": f"x [[answer:finish=length;text={text}]]"})
    assert batch("in.jsonl", "--base-url", server.url) == 0
    row = by_line()[1]
    assert row["_qchat"] | {"quality": "looped", "attempts": 2} == row["_qchat"]  # type: ignore[operator]
    assert "1 answered, 0 failed (1 looped)" in capfd.readouterr().err


STORY = "Once upon a time there was a model that told of itself, word by word, to the very end."


class Storyteller(Echo):
    """Goes on with the story that the prompt of a completion has begun; `max_tokens` are words,
    and 16 where none are named."""

    def __init__(self) -> None:
        self.bodies: list[JsonObject] = []
        self.refuses_more = False

    async def answer(self, request: Request) -> Outcome:
        await asyncio.sleep(0)
        body = request.body
        self.bodies.append(body)
        begun = body["prompt"].removeprefix("Tell: ")
        if begun and self.refuses_more:
            return Outcome(failure=Failure(Code.CONTEXT_LENGTH, "too long"))
        assert STORY.startswith(begun)
        words = re.findall(r"\s*\S+", STORY[len(begun) :])
        limit = body.get("max_tokens", 16)
        reason = "length" if len(words) > limit else "stop"
        text = "".join(words[:limit])
        usage = {"prompt_tokens": 2, "completion_tokens": min(limit, len(words))}
        choice = {"index": 0, "text": text, "finish_reason": reason}
        return Outcome(body={"choices": [choice], "model": "m", "usage": usage})


@pytest.mark.parametrize("kind", ["text", "openai"])
def test_cut_completions_are_continued_by_any_engine(home: Path, kind: str) -> None:
    body = {"prompt": "Tell: ", "max_tokens": 3}
    row = {"custom_id": "a", "url": "/v1/completions", "body": body} if kind == "openai" else body
    write("in.jsonl", row)
    engine = Storyteller()
    args = ("in.jsonl", "--endpoint", "completions")
    with echoing(engine):
        assert batch(*args) == 0
        assert batch(*args, "--retry-where", "cut") == 0  # 12 words more
        assert batch(*args, "--retry-where", "cut") == 0
        assert batch(*args, "--retry-where", "cut") == 0
    assert [one["max_tokens"] for one in engine.bodies] == [3, 12, 12]
    assert engine.bodies[1]["prompt"] == "Tell: Once upon a"
    (line,) = read("in.results.jsonl")
    if kind == "openai":
        choice = line["response"]["body"]["choices"][0]  # type: ignore[index]
        assert (choice["text"], choice["finish_reason"]) == (STORY, "stop")
        return
    assert (line["output"], line["finish_reason"]) == (STORY, "stop")
    assert line["usage"]["completion_tokens"] == len(STORY.split())  # type: ignore[index]
    assert line["_qchat"]["again"] == "continued"  # type: ignore[index]


def test_a_completion_that_cannot_go_on_gets_more_than_the_usual_tokens(home: Path) -> None:
    """A request that names no number of tokens gets 16, so asking it as it is would cut it again;
    other servers may have given more."""
    write("in.jsonl", {"prompt": "Tell: "}, {"prompt": "Tell: ", "max_tokens": 2})
    engine = Storyteller()
    engine.refuses_more = True
    args = ("in.jsonl", "--endpoint", "completions")
    with echoing(engine):
        assert batch(*args) == 0
        assert batch(*args, "--retry-where", "cut") == 0
    tokens = [body.get("max_tokens") for body in engine.bodies]
    assert sorted(tokens[2:]) == [8, 8, 64, 64]
    lines = by_line()
    assert [lines[n]["finish_reason"] for n in (1, 2)] == ["stop", "length"]
    assert {line["_qchat"]["again"] for line in lines.values()} == {"larger budget"}  # type: ignore[index]


def test_a_cut_response_gets_a_larger_budget() -> None:
    """Of the endpoint `responses`, whose limit has a name of its own."""
    body = {"input": "x", "max_output_tokens": 5, "model": "m"}
    cut = {"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]}
    assert larger(body, cut) == {**body, "max_output_tokens": 20}
    assert continued(body, cut) is None


@pytest.mark.parametrize(
    "more", [{"echo": True}, {"logprobs": 0}, {"suffix": "z"}, {"prompt": ["a", "b"]}]
)
def test_completions_whose_text_is_no_beginning_are_asked_as_a_whole(more: JsonObject) -> None:
    body = {"prompt": "x", "model": "m", **more}
    cut = {"choices": [{"text": "a", "finish_reason": "length"}], "usage": None}
    assert continued(body, cut) is None
    assert larger(body, cut) == {**body, "max_tokens": 64}
    usage = {"completion_tokens": 100}
    assert larger(body, {**cut, "usage": usage}) == {**body, "max_tokens": 400}


def test_only_known_qualities(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "x")
    assert batch("in.jsonl", "--retry-where", "short", "--base-url", "http://127.0.0.1:1") == 2
    assert "'short' is none of cut, empty, looped, invalid" in capfd.readouterr().err


def line(number: int, quality: str, text: str) -> bytes:
    mark = {"file": "in.jsonl", "line": number, "digest": "d" * 32, "quality": quality}
    return json.dumps({"output": text, "_qchat": mark}).encode() + b"\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line(1, "ok", "a") + line(2, "cut", "b") + line(3, "cut", "c"))
    return path


def reopened(results: Path) -> ReopenedRows:
    rows = ReopenedRows(results, results.with_name("out.retry.jsonl"), 0o600)
    assert rows.find({"cut"}, "", lambda _location: 0, WorkCounter()) == [(0, 2), (0, 3)]
    return rows


def merge(results: Path) -> int:
    return merge_replacements(OutputFiles.named(results), lambda _paths: None, WorkCounter())


def test_damaged_new_lines_are_set_aside_and_the_old_ones_stay(results: Path) -> None:
    rows = reopened(results)
    rows.add((0, 3), line(3, "ok", "better"))
    rows.add((0, 2), line(2, "ok", "better"))
    rows.close()
    files = OutputFiles.named(results)
    good, other = files.retry.read_bytes().splitlines(keepends=True)
    bad = [other.replace(b'"line":', b'"lime":', 1), b"[]\n", b"\0\n", other.replace(b"}", b"]", 1)]
    whole = b"".join([*bad, good])
    named: list[tuple[Path, ...]] = []
    before = results.read_bytes()
    for _crash in range(2):  # before the file is removed
        files.retry.write_bytes(whole)
        assert (
            merge_replacements(files, lambda paths: named.append(tuple(paths)), WorkCounter()) == 4
        )
    assert named == [(files.damaged,)] * 2
    assert files.damaged.read_bytes() == b"".join(bad)
    assert results.read_bytes() == before.replace(line(3, "cut", "c"), line(3, "ok", "better"))
    assert not files.retry.exists()


def test_damaged_new_lines_are_not_held_in_memory(results: Path) -> None:
    files = OutputFiles.named(results)
    size, count = 1 << 18, 20
    files.retry.write_bytes(b"".join(b"%d" % n * size + b"\n" for n in range(10, 10 + count)))
    tracemalloc.start()
    try:
        assert merge(results) == count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert files.damaged.stat().st_size == count * (2 * size + 1)
    assert peak < 8 * size


def test_a_damaged_new_line_does_not_end_the_next_run(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": PROMPT, "max_tokens": 4})
    args = ["in.jsonl", "--base-url", server.url]
    assert batch(*args) == 0
    Path("in.results.retry.jsonl").write_text("not ours\n")
    capfd.readouterr()
    assert batch(*args) == 2
    assert "in.results.retry.jsonl exists and is not an output" in capfd.readouterr().err
    assert Path("in.results.retry.jsonl").read_text() == "not ours\n"
    manifest = json.loads(Path("in.results.manifest.json").read_text())
    del manifest["side_files"]  # as a former version wrote it
    Path("in.results.manifest.json").write_text(json.dumps(manifest))
    assert batch(*args) == 0
    error = capfd.readouterr().err
    assert "1 damaged line of in.results.retry.jsonl was moved to in.results.damaged.jsonl" in error
    assert Path("in.results.damaged.jsonl").read_text() == "not ours\n"
    assert batch(*args, "--retry-where", "cut") == 0
    assert by_line()[1]["finish_reason"] == "stop"


class Looking(Echo):
    """Answers too short, and looks at the manifest."""

    def __init__(self) -> None:
        self.named: list[tuple[list[str], bool]] = []

    async def answer(self, request: Request) -> Outcome:
        names = json.loads(Path("in.results.manifest.json").read_text())["side_files"]
        self.named.append((names, Path("in.results.retry.jsonl").exists()))
        choice = {"message": {"content": "a"}, "finish_reason": "length"}
        return Outcome(body={"choices": [choice], "model": "m"})


def test_the_manifest_names_the_file_of_new_lines_while_it_may_be_there(home: Path) -> None:
    write("in.jsonl", "a")
    with echoing(engine := Looking()):
        assert batch("in.jsonl") == 0
        assert batch("in.jsonl", "--retry-where", "cut") == 0
    assert engine.named[0] == ([], False)
    assert engine.named[1] == (["in.results.retry.jsonl"], False)
    assert json.loads(Path("in.results.manifest.json").read_text())["side_files"] == []


def test_a_crash_before_the_merge_loses_neither_answer(results: Path) -> None:
    before = results.read_bytes()
    rows = reopened(results)
    assert rows.record((0, 3))["output"] == "c"
    rows.add((0, 2), line(2, "ok", "better"))
    assert len(rows) == 1 and rows.qualities() == {"cut": 1}
    rows.sync()
    assert results.read_bytes() == before
    retry = results.with_name("out.retry.jsonl")
    with retry.open("ab") as file:
        file.write(b'{"replaces":"torn')
    merge(results)
    assert results.read_bytes() == (
        line(1, "ok", "a") + line(2, "ok", "better") + line(3, "cut", "c")
    )
    assert not retry.exists()


def test_merging_twice_changes_nothing(results: Path) -> None:
    rows = reopened(results)
    for text in ("one", "two"):
        rows = reopened(results)
        rows.add((0, 2), line(2, "cut", text))
        rows.close()
    retry = results.with_name("out.retry.jsonl")
    kept = retry.read_bytes()
    merge(results)
    merged = results.read_bytes()
    assert b'"two"' in merged and b'"one"' not in merged  # the last one counts
    retry.write_bytes(kept)  # as after a crash between the merge and the removal
    merge(results)
    assert results.read_bytes() == merged
