"""`qchat batch` as a person runs it, against a server that can misbehave."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import faults
from tests.batch.commands import batch, command, read, write

pytestmark = pytest.mark.usefixtures("home")


def test_every_kind_of_row_gets_its_answer(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    user = [{"role": "user", "content": "b"}]
    openai = {"custom_id": "mine", "url": "/v1/chat/completions", "body": {"messages": user}}
    write("in.jsonl", {"prompt": "a", "label": 7}, openai, "c", {"messages": user, "id": "x"})
    assert batch("in.jsonl", "--base-url", server.url, "--temperature", "0") == 0
    rows = {
        row["_qchat"]["line"] if "_qchat" in row else 2: row for row in read("in.results.jsonl")
    }  # type: ignore[index]
    assert rows[1]["output"] == "echo: a"
    assert rows[1]["label"] == 7
    assert rows[1]["model"] == "demo"
    assert rows[1]["finish_reason"] == "stop"
    assert rows[3] | {"prompt": "c", "output": "echo: c"} == rows[3]
    assert rows[4]["id"] == "x"
    mark = rows[1]["_qchat"]
    assert isinstance(mark, dict)
    assert mark["file"] == "in.jsonl" and mark["attempts"] == 1 and len(mark["digest"]) == 32
    response = rows[2]["response"]
    assert isinstance(response, dict)
    assert set(rows[2]) == {"id", "custom_id", "response", "error"}
    assert rows[2]["custom_id"] == "mine" and rows[2]["error"] is None
    assert response["status_code"] == 200
    assert response["body"]["choices"][0]["message"]["content"] == "echo: b"
    assert not Path("in.results.errors.jsonl").exists()
    assert not Path("in.results.lock").exists()
    manifest = json.loads(Path("in.results.manifest.json").read_text())
    assert (manifest["state"], manifest["answered"]) == ("finished", 4)
    assert "4 answered, 0 failed" in capfd.readouterr().err
    bodies = [record.body for record in server.log.records if record.body]
    assert all(body["temperature"] == 0 and body["model"] == "demo" for body in bodies)


def test_the_same_command_again_asks_nothing_and_appended_rows_are_new(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a", "b")
    assert batch("in.jsonl", "--base-url", server.url) == 0
    assert batch("in.jsonl", "--base-url", server.url) == 0
    assert "All 2 rows are done already" in capfd.readouterr().err
    write("in.jsonl", "a", "b", "c")
    assert batch("in.jsonl", "--base-url", server.url) == 0
    assert server.log.answered == {"a": 1, "b": 1, "c": 1}
    assert len(read("in.results.jsonl")) == 3


def test_bad_and_refused_rows_go_to_the_errors_file(
    server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, _high: low)  # no pause before a next try
    write("in.jsonl", "a", {"prompt": 3}, "b [[fault:400]]", "c [[fault:500]]")
    with Path("in.jsonl").open("ab") as file:
        file.write(b"{\n\xff\n")
    assert batch("in.jsonl", "--base-url", server.url) == 1
    errors = {row["line"]: row for row in read("in.results.errors.jsonl")}
    assert sorted(errors) == [2, 3, 4, 5, 6]  # type: ignore[type-var]
    assert set(errors[3]) >= {"file", "line", "custom_id", "error", "attempts", "input"}
    codes = {line: row["error"]["code"] for line, row in errors.items()}  # type: ignore[index]
    assert codes == {
        2: "invalid_line",
        3: "invalid_request",
        4: "server_error",
        5: "invalid_line",
        6: "invalid_line",
    }
    assert errors[4]["attempts"] == 8
    assert errors[2]["input"] == {"prompt": 3}
    assert [row["prompt"] for row in read("in.results.jsonl")] == ["a"]
    # Again: the 500 is asked again, the others are not.
    before = server.log.attempts["b [[fault:400]]"]
    assert batch("in.jsonl", "--base-url", server.url) == 1
    assert server.log.attempts["b [[fault:400]]"] == before == 1
    assert server.log.attempts["c [[fault:500]]"] == 16
    assert sorted(row["line"] for row in read("in.results.errors.jsonl")) == [2, 3, 4, 5, 6]  # type: ignore[type-var]


def test_restart_keeps_the_old_answers_under_another_name(server: faults.Running) -> None:
    write("in.jsonl", "a")
    assert batch("in.jsonl", "--base-url", server.url) == 0
    old = Path("in.results.jsonl").read_bytes()
    assert batch("in.jsonl", "--base-url", server.url, "--restart") == 0
    assert server.log.answered["a"] == 2
    renamed = list(Path().glob("in.2*.results.jsonl"))
    assert [path.read_bytes() for path in renamed] == [old]
    assert len(read("in.results.jsonl")) == 1


def test_changed_parameters_are_refused_and_named(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a", "b")
    args = ("in.jsonl", "--base-url", server.url)
    assert batch(*args, "--temperature", "0.5") == 0
    before = Path("in.results.jsonl").read_bytes()
    assert batch(*args, "--temperature", "0.7") == 2
    error = capfd.readouterr().err
    assert "temperature: 0.5 before, 0.7 now" in error
    assert "--restart" in error
    assert Path("in.results.jsonl").read_bytes() == before


def test_foreign_files_are_refused(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    write("in.results.jsonl", "precious")
    for more in ([], ["--restart"]):
        assert batch("in.jsonl", "--base-url", server.url, *more) == 2
        assert "is not an output of qchat" in capfd.readouterr().err
    assert read("in.results.jsonl") == ["precious"]
    assert batch("in.jsonl", "--base-url", server.url, "-o", "out.jsonl") == 0
    assert batch("out.jsonl", "--base-url", server.url) == 2
    assert "is the output of an earlier run" in capfd.readouterr().err
    assert server.log.answered == {"a": 1}


def test_an_input_that_is_left_out_keeps_its_answers(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("a.jsonl", "a")
    write("b.jsonl", "b")
    assert batch("a.jsonl", "-o", "out.jsonl", "--base-url", server.url) == 0
    capfd.readouterr()
    assert batch("b.jsonl", "-o", "out.jsonl", "--base-url", server.url) == 0
    assert "1 answer to a row of another input stays in out.jsonl." in capfd.readouterr().err
    assert batch("a.jsonl", "b.jsonl", "-o", "out.jsonl", "--base-url", server.url) == 0
    assert server.log.answered == {"a": 1, "b": 1}
    assert [row["output"] for row in read("out.jsonl")] == ["echo: a", "echo: b"]


def test_limit_takes_the_first_rows_and_the_rest_comes_later(server: faults.Running) -> None:
    write("in.jsonl", "a", "b", "c")
    args = ("in.jsonl", "--base-url", server.url)
    assert batch(*args, "--limit", "2") == 0
    assert server.log.answered == {"a": 1, "b": 1}
    assert batch(*args) == 0
    assert batch(*args, "--limit", "1") == 0
    assert server.log.answered == {"a": 1, "b": 1, "c": 1}


def test_to_standard_output(server: faults.Running, capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "a", "b [[fault:400]]")
    assert batch("in.jsonl", "-o", "-", "--base-url", server.url, "-q") == 1
    out, error = capfd.readouterr()
    assert [json.loads(line)["output"] for line in out.splitlines()] == ["echo: a"]
    assert "in.jsonl line 2: " in error
    assert [path.name for path in Path().iterdir()] == ["in.jsonl"]


def test_quiet_says_nothing_when_all_is_well(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    assert batch("in.jsonl", "--base-url", server.url, "--quiet") == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "args", "code", "message"),
    [
        (None, ["missing.jsonl"], 2, "There is no file missing.jsonl."),
        (None, ["."], 2, "a folder without a file that has rows"),
        (b"", ["in.jsonl"], 0, "no rows, nothing to do"),
        (b"\n \n", ["in.jsonl"], 0, "no rows, nothing to do"),
        (b"\x1f\x8b\x08\x00", ["in.jsonl"], 2, "gzip data ends early"),
        (b"\0\1\2", ["in.jsonl"], 2, "binary file"),
        (b"{\n", ["in.jsonl"], 2, "Line 1: not valid JSON"),
        (b'"a"\n', ["in.jsonl", "-o", "nowhere/out.jsonl"], 2, "There is no folder nowhere"),
        (b'"a"\n', ["in.jsonl", "-o", "out.json"], 2, "ends in .jsonl"),
        (b'"a"\n', ["in.jsonl", "in.jsonl"], 2, "named twice"),
        (b'"a"\n', ["in.jsonl", "--encoding", "klingon"], 2, "no encoding 'klingon'"),
        (b'"a"\n', ["in.jsonl", "--wait", "soon"], 2, "not a duration such as 90s"),
        (b'"a"\n', ["in.jsonl", "--model", "nope"], 3, "does not offer the model 'nope', but demo"),
        (b'"a"\n', ["in.jsonl", "--template", "{title}"], 2, "no column 'title'"),
        (b'["a"]\n["b"]\n', ["in.jsonl", "--template", "{text}"], 2, "must be an object"),
        (b'{"a": 1}\n', ["in.jsonl", "--template", "{text}"], 2, "no column 'text'"),
        (b'{"prompt": "a", "usage": 1}\n', ["in.jsonl"], 2, "line 1 has a column 'usage'"),
        (
            b'{"custom_id": "x", "prompt": "a"}\n' * 2,
            ["in.jsonl"],
            2,
            "in.jsonl line 1 and in.jsonl line 2",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_the_right_code(
    server: faults.Running,
    capfd: pytest.CaptureFixture[str],
    content: bytes | None,
    args: list[str],
    code: int,
    message: str,
) -> None:
    if content is not None:
        Path("in.jsonl").write_bytes(content)
    assert batch(*args, "--base-url", server.url) == code
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert server.log.answered == {}
    assert not list(Path().glob("*.results.*"))


def test_a_line_of_50_mb_costs_that_line(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("in.jsonl").open("wb") as file:
        file.write(b'"a"\n"' + b"x" * (50 << 20) + b'"\n"b"\n')
    assert batch("in.jsonl", "--base-url", server.url) == 1
    assert server.log.answered == {"a": 1, "b": 1}
    (row,) = read("in.results.errors.jsonl")
    assert row["line"] == 2
    assert Path("in.results.errors.jsonl").stat().st_size < 10_000


def test_a_server_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    with faults.running() as gone:
        url = gone.url
    write("in.jsonl", "a")
    assert batch("in.jsonl", "--base-url", url) == 3
    assert f"{url}/v1 can't be reached" in capfd.readouterr().err
    assert not list(Path().glob("*.results.*"))


def test_a_wrong_key_ends_the_run_without_failed_rows(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "wrong")
    with faults.running(api_key="right") as server:
        write("in.jsonl", "a")
        assert batch("in.jsonl", "--base-url", server.url, "--api-key-env", "LAB_KEY") == 3
        assert "wrong" not in capfd.readouterr().err
        assert not Path("in.results.errors.jsonl").exists()
        monkeypatch.setenv("LAB_KEY", "right")
        assert batch("in.jsonl", "--base-url", server.url, "--api-key-env", "LAB_KEY") == 0


def test_a_fault_of_the_run_in_its_middle_says_how_to_go_on(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with faults.running("401:skip=5") as server:
        write("in.jsonl", *[f"q{n}" for n in range(20)])
        args = ["in.jsonl", "--base-url", server.url, "--concurrency", "1"]
        monkeypatch.setattr(sys, "argv", ["qchat", "batch", *args])
        assert batch(*args) == 3
        error = capfd.readouterr().err
        assert "5 of 20 rows are done and saved" in error
        assert f"\n  qchat batch in.jsonl --base-url {server.url} --concurrency 1\n" in error
        assert len(read("in.results.jsonl")) == 5
        assert not Path("in.results.errors.jsonl").exists()


def test_hostile_model_text_stays_data() -> None:
    with faults.running(answers="dress=escapes") as server:
        write("in.jsonl", "a")
        assert batch("in.jsonl", "--base-url", server.url, "-q") == 0
        raw = Path("in.results.jsonl").read_bytes()
        assert b"\x1b" not in raw
        assert "\x1b" in str(json.loads(raw)["output"])


def test_answers_are_as_private_as_their_questions(server: faults.Running) -> None:
    write("in.jsonl", "a")
    Path("in.jsonl").chmod(0o600)
    assert batch("in.jsonl", "--base-url", server.url, "-q") == 0
    assert Path("in.results.jsonl").stat().st_mode & 0o777 == 0o600
    assert Path("in.results.manifest.json").stat().st_mode & 0o777 == 0o600


def test_nobody_to_ask_says_what_to_give(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "a")
    assert batch("in.jsonl") == 2
    error = capfd.readouterr().err
    assert "--model demo" in error and "--base-url" in error


def test_a_file_is_the_same_from_wherever_it_is_named(
    server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("data").mkdir()
    write("data/in.jsonl", "a")
    assert batch("data/in.jsonl", "--base-url", server.url) == 0
    monkeypatch.chdir("data")
    assert batch("./in.jsonl", "--base-url", server.url) == 0
    assert server.log.answered == {"a": 1}
    (row,) = read("in.results.jsonl")
    assert row["_qchat"]["file"] == "in.jsonl"  # type: ignore[index]


def test_standard_input_to_files(server: faults.Running) -> None:
    args = command("-", "-o", "out.jsonl", "--base-url", server.url, "-q")
    for _again in range(2):
        done = subprocess.run(args, input='"a"\n{"prompt": "b"}\n', text=True, timeout=30)
        assert done.returncode == 0
    assert server.log.answered == {"a": 1, "b": 1}
    assert {row["_qchat"]["file"] for row in read("out.jsonl")} == {"stdin"}  # type: ignore[index]
