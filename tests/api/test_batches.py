"""`qchat batches` against servers that answer what they should not, and ones that are away."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qchat import cli
from qchat.errors import Exit


class Answers:
    """A server that answers each path with what is listed for it, the last again and again."""

    def __init__(self) -> None:
        self.by_path: dict[str, list[tuple[int, Any]]] = {}
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                listed = answers.by_path[self.path.partition("?")[0]]
                status, value = listed.pop(0) if len(listed) > 1 else listed[0]
                if status == 0:
                    self.close_connection = True
                    return
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def __setitem__(self, path: str, answers: list[tuple[int, Any]]) -> None:
        self.by_path[f"/v1{path}"] = answers


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    answers = Answers()
    thread = Thread(target=answers.server.serve_forever)
    thread.start()
    yield answers
    answers.server.shutdown()
    thread.join()
    answers.server.server_close()


REQUEST = '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


def run(answers: Answers, *arguments: str) -> Result:
    command = ["batches", *arguments, "--base-url", answers.url]
    return CliRunner().invoke(cli.main, command)


def job(batch_id: object = "batch_1", status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"id": batch_id, "object": "batch", "status": status, **more}


@pytest.mark.parametrize("batch_id", ["../evil", "/tmp/evil", "a\x1b[2J", "", None, 7])
@pytest.mark.parametrize("name", ["show", "cancel", "fetch", "list", "submit"])
def test_an_id_of_the_server_that_is_none(
    answers: Answers, tmp_path: Path, name: str, batch_id: object
) -> None:
    """It is no path, no control sequence, and not a fault of ours."""
    Path("in.jsonl").write_text(REQUEST)
    answers["/batches/batch_1"] = [(200, job(batch_id, output_file_id="file-1"))]
    answers["/batches/batch_1/cancel"] = [(200, job(batch_id))]
    answers["/batches"] = [(200, {**job(batch_id), "data": [job(batch_id)]})]
    answers["/files"] = [(200, {"id": "file-1"})]
    answers["/files/file-1/content"] = [(200, "answers")]
    arguments = {"list": [], "submit": ["in.jsonl"]}.get(name, ["batch_1"])
    result = run(answers, name, *arguments)
    assert getattr(result.exception, "exit_code", None) == Exit.ENGINE, result.exception
    assert "id" in str(result.exception) and "\x1b" not in str(result.exception)
    assert [path.name for path in tmp_path.rglob("*.jsonl")] == ["in.jsonl"]


@pytest.mark.parametrize("stored", [{}, {"id": "../x"}, {"id": None}, "text", []])
def test_an_uploaded_file_without_an_id(answers: Answers, stored: object) -> None:
    Path("in.jsonl").write_text(REQUEST)
    answers["/files"] = [(200, stored)]
    result = run(answers, "submit", "in.jsonl")
    assert getattr(result.exception, "exit_code", None) == Exit.ENGINE, result.exception


def test_a_results_file_without_an_id(answers: Answers) -> None:
    answers["/batches/batch_1"] = [(200, job(output_file_id="../batches"))]
    result = run(answers, "fetch", "batch_1")
    assert getattr(result.exception, "exit_code", None) == Exit.ENGINE, result.exception
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("name", ["request_counts", "errors", "metadata"])
def test_a_batch_of_another_form(answers: Answers, name: str) -> None:
    answers["/batches/batch_1"] = [(200, job(**{name: ["x"]}))]
    result = run(answers, "show", "batch_1")
    assert getattr(result.exception, "exit_code", None) == Exit.ENGINE, result.exception


def test_errors_of_another_form_are_left_out(answers: Answers) -> None:
    problems = {"data": ["x", {"line": "\x1b[2J", "message": "m", "code": "c"}]}
    answers["/batches/batch_1"] = [(200, job(errors=problems))]
    result = run(answers, "show", "batch_1")
    assert "m (c)" in result.stdout and "\x1b" not in result.stdout


@pytest.mark.parametrize(("name", "status"), [("show", 503), ("fetch", 0), ("submit", 502)])
def test_waiting_outlasts_a_server_that_is_away(answers: Answers, name: str, status: int) -> None:
    """Also one that does not answer at all: status 0 closes the connection."""
    Path("in.jsonl").write_text(REQUEST)
    running = (200, job(status="in_progress"))
    answers["/files"] = [(200, {"id": "file-1"})]
    answers["/batches"] = [running]
    answers["/batches/batch_1"] = [
        *([running] if name != "submit" else []),
        (status, {}),
        (200, job()),
    ]
    arguments = ["in.jsonl"] if name == "submit" else ["batch_1"]
    result = run(answers, name, *arguments, "--wait")
    assert result.exit_code == 0, result.exception
    assert result.stderr.count("Still waiting") == 1
    assert result.stderr.count("The server answers again.") == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [((401, {}), Exit.ENGINE), ((404, {}), Exit.USAGE), ((200, []), Exit.ENGINE)],
)
def test_waiting_ends_where_nothing_will_come(
    answers: Answers, answer: tuple[int, Any], code: Exit
) -> None:
    answers["/batches/batch_1"] = [(200, job(status="in_progress")), answer]
    result = run(answers, "show", "batch_1", "--wait")
    assert getattr(result.exception, "exit_code", None) == code, result.exception
    assert "Still waiting" not in result.stderr
