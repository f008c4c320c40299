"""`qchat batches` against a server, as it is typed."""

import json
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from qchat.serve.batches.child import BatchChild

from tests.serve.supervised import LINUX

from .serving import ALICE, BOB, Served, create, ended, line, lines

pytestmark = LINUX


class Command:
    """`qchat batches` in a folder, with a key."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served = served
        self.folder = folder

    def __call__(self, *arguments: str, key: str = ALICE) -> "subprocess.CompletedProcess[str]":
        options = (
            ()
            if "--help" in arguments
            else (*("--base-url", self.served.url, "--api-key-env", "MY_KEY"),)
        )
        return subprocess.run(
            [sys.executable, "-m", "qchat", "batches", *arguments, *options],
            env={**self.served.environment(), "MY_KEY": key, "COLUMNS": "100"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def command(served: Served, tmp_path: Path) -> Command:
    return Command(served, tmp_path)


def test_from_submit_to_fetch(command: Command, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(3) + line("wrong", "a bad one").encode())
    done = command("submit", "in.jsonl", "--metadata", "project=films", "--wait")
    assert done.returncode == 1, done.stderr  # one request failed
    assert "completed" in done.stdout and "3 of 4 requests answered, 1 failed" in done.stdout
    assert "project: films" in done.stdout
    batch_id = done.stdout.split()[0]
    assert f"qchat batches fetch {batch_id}" in done.stderr
    beginning = batch_id[:20]
    shown = command("show", f"{beginning}…", "--json")  # as a narrow terminal lists it
    assert json.loads(shown.stdout)["id"] == batch_id
    listed = command("list")
    assert batch_id in listed.stdout and "STATUS" in listed.stdout
    fetched = command("fetch", beginning, "-o", "answers.jsonl")
    assert fetched.returncode == 1 and "answers.errors.jsonl" in fetched.stderr
    answers = [json.loads(text) for text in (tmp_path / "answers.jsonl").open()]
    assert sorted(a["custom_id"] for a in answers) == ["row-0", "row-1", "row-2"]
    errors = (tmp_path / "answers.errors.jsonl").read_text().splitlines()
    assert [json.loads(text)["custom_id"] for text in errors] == ["wrong"]
    again = command("fetch", batch_id, "-o", "answers.jsonl")
    assert again.returncode == 2 and "--force" in again.stderr
    assert command("fetch", batch_id, "-o", "answers.jsonl", "--force").returncode == 1
    assert list(tmp_path.glob(".*.new")) == []


def test_cancel_and_unfinished(command: Command, alice: openai.OpenAI) -> None:
    job = create(alice, b"".join(line(f"h{i}", "hang").encode() for i in range(2)))
    early = command("fetch", job.id)
    assert early.returncode == 2 and "--wait" in early.stderr
    done = command("cancel", job.id)
    assert done.returncode == 0 and "cancel" in done.stdout
    assert ended(alice, job.id).status == "cancelled"
    again = command("fetch", job.id)
    assert again.returncode == 1 and "no results" in again.stderr


def test_a_failed_batch_says_why(command: Command, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line("a", model="gpt-4o"))
    done = command("submit", "in.jsonl", "--wait")
    assert done.returncode == 1
    assert "line 1: " in done.stdout and "model_not_found" in done.stdout
    (tmp_path / "in.jsonl").write_text("".join(line(str(n), model="gpt-4o") for n in range(9)))
    done = command("submit", "in.jsonl", "--wait")
    assert done.stdout.count("model_not_found") == 5 and "4 more problems" in done.stdout
    assert "batches fetch" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "key", "code", "words"),
    [
        (("show", "batch_unknown"), ALICE, 2, "/v1 answered: No batch found"),
        (("show", "../../etc"), ALICE, 2, "is no id"),
        (("list",), "w" * 40, 3, "key"),
        (("submit", "missing.jsonl"), ALICE, 2, "missing.jsonl"),
        (("submit", "in.jsonl", "--endpoint", "/pause"), ALICE, 2, "endpoint"),
        (("submit", "in.jsonl", "--metadata", "x"), ALICE, 2, "NAME=TEXT"),
        (("submit", "in.jsonl", "--window", "soon"), ALICE, 2, "not a duration"),
        (("submit", "prose.md"), ALICE, 2, "prose.md:2: not a request of the Batch API"),
        (("submit", "questions.jsonl"), ALICE, 2, "qchat batch questions.jsonl"),
        (("submit", "empty.jsonl"), ALICE, 2, "has no request"),
    ],
)
def test_what_goes_wrong(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], key: str, code: int, words: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(1))
    (tmp_path / "prose.md").write_text("\n# A title\n")
    (tmp_path / "questions.jsonl").write_text('{"prompt": "hello"}\n')
    (tmp_path / "empty.jsonl").write_text("\n")
    done = command(*arguments, key=key)
    assert done.returncode == code and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_another_key_sees_nothing(command: Command, alice: openai.OpenAI) -> None:
    job = create(alice, lines(1))
    assert command("show", job.id, key=BOB).returncode == 2


@pytest.mark.parametrize("name", ["", "list", "show", "cancel", "fetch", "submit"])
def test_help_has_examples(command: Command, name: str) -> None:
    done = command(*filter(None, [name]), "--help")
    assert done.returncode == 0 and "Examples:\n    qchat batches" in done.stdout


def test_batches_yield_to_live_requests(tmp_path: Path) -> None:
    """As soon as `qchat batch` can."""
    done = subprocess.run(
        [sys.executable, "-m", "qchat", "batch", "--help"], capture_output=True, text=True
    )
    child = BatchChild(tmp_path, tmp_path / "in.jsonl", "http://127.0.0.1:1/v1", "key")
    assert ("--low-priority" in done.stdout) == ("--low-priority" in child.command())
