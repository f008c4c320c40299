"""`qchat ask` against a server that misbehaves on order: what is printed, where, and the code."""

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from qchat.api.client import ServerError
from qchat.api.endpoint import Endpoint
from qchat.api.stream import StreamProgress, apply_chunk, stream_chunks
from qchat.errors import Code, Failure
from qchat.json_types import JsonObject
from qchat.store import open_store

from .ask_command import AskCommand, Completed, environment, in_process, last_body, wait_until

if TYPE_CHECKING:
    from qchat.api.client import Client


def test_the_arguments_are_the_question(ask: AskCommand) -> None:
    done = ask("Why", "is", "it", "so?")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"echo: Why is it so?\n", b"")


def test_a_pipe_is_the_question_or_follows_it(ask: AskCommand) -> None:
    assert ask(stdin="naïve 你好".encode()).stdout.decode() == "echo: naïve 你好\n"
    assert ask("-", stdin=b"piped").stdout == b"echo: piped\n"
    assert ask("sum up:", stdin=b"piped").stdout == b"echo: sum up:\n\npiped\n"
    assert ask("what is 3 - 2", stdin=b"").stdout == b"echo: what is 3 - 2\n"


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (None, "The question is missing"),
        (b"", "The question is missing"),
        (b" \n", "The question is missing"),
        (b"abc\xff", "not UTF-8 text (byte 4)"),
        (b"a\0b", "binary"),
    ],
)
def test_bad_questions(ask: AskCommand, stdin: bytes | None, message: str) -> None:
    done = ask(stdin=stdin)
    assert done.returncode == 2
    assert message in done.stderr.decode() and done.stderr.count(b"\n") == 1
    assert ask.server.log.records == []


def test_bytes_in_an_argument_that_are_no_text(ask: AskCommand) -> None:
    done = subprocess.run(
        [*map(os.fsencode, ask.command()), b"caf\xe9"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=environment(ask.home),
        timeout=60,
    )
    assert done.returncode == 2 and b"UTF-8" in done.stderr


def test_what_is_sent(ask: AskCommand) -> None:
    done = ask("hi", "--system", "Be brief.", "--preset", "code", "--seed", "7", "--stop", "x")
    assert done.returncode == 0, done.stderr
    assert last_body(ask.server) == {
        "model": "demo",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
        "stream": True,
        "max_tokens": 200,
        "temperature": 0.1,
        "top_p": 0.5,
        "seed": 7,
        "stop": ["x"],
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_the_default_preset_is_used_below_the_options(ask: AskCommand) -> None:
    assert ask("hi", "--top-p", "0.4", QCHAT_PRESET="creative").returncode == 0
    body = last_body(ask.server)
    assert (body["temperature"], body["top_p"]) == (0.9, 0.4)


def test_json(ask: AskCommand) -> None:
    done = ask("hi [[answer:reasoning=reasoning]]", "--json")
    assert done.returncode == 0 and done.stderr == b""
    answer = json.loads(done.stdout)
    assert list(answer) == [
        *("content", "reasoning", "model", "usage", "finish_reason", "timings"),
    ]
    assert answer["content"].startswith("echo: hi")
    assert answer["reasoning"].startswith("The user says: hi")
    assert (answer["model"], answer["finish_reason"]) == ("demo", "stop")
    assert answer["usage"]["completion_tokens"] > 0
    timings = answer["timings"]
    assert 0 < timings["first_token_seconds"] <= timings["total_seconds"] < 60


@pytest.mark.parametrize("form", ["reasoning", "reasoning_content", "inline"])
def test_thinking_goes_to_stderr_on_request_alone(ask: AskCommand, form: str) -> None:
    question = f"hi [[answer:reasoning={form}]]"
    done = ask(question)
    assert (done.stdout.decode(), done.stderr) == (f"echo: {question}\n", b"")
    done = ask(question, "--show-thinking")
    assert done.stdout.decode() == f"echo: {question}\n"
    assert f"The user says: {question}" in done.stderr.decode()
    assert b"\x1b" not in done.stderr  # no terminal, no colours


def test_reasoning_without_an_opening_tag_is_noted(ask: AskCommand) -> None:
    done = ask("hi [[answer:reasoning=unopened]]")
    assert done.stdout.decode().endswith("\necho: hi [[answer:reasoning=unopened]]\n")
    assert b"was reasoning" in done.stderr
    done = ask("hi [[answer:reasoning=unopened]]", "--json")
    answer = json.loads(done.stdout)
    assert answer["content"] == "echo: hi [[answer:reasoning=unopened]]"
    assert answer["reasoning"] and done.stderr == b""


def test_hostile_text_is_made_safe_and_json_keeps_it_exact(ask: AskCommand) -> None:
    done = ask("hi [[answer:dress=escapes]]")
    text = done.stdout.decode()
    assert not any(c in text for c in "\x1b\x07\x00\x7f\x9b\u202e")
    raw = ask("hi [[answer:dress=escapes]]", "--json").stdout.decode()
    assert not any(c in raw for c in "\x1b\x07\x00\x7f\x9b\u202e")
    exact = json.loads(raw)["content"]
    assert all(c in exact for c in "\x1b\x07\x00\x7f\x9b\u202e")


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("reset", 3, "broke off"),
        ("reset_mid_body", 3, "broke off"),
        ("half_line", 3, "broke off"),
        ("half_utf8", 3, "broke off"),
        ("cut_stream", 3, "ended before the answer"),
        ("503", 3, "too busy"),
        ("429", 3, "slow down"),
        ("500", 3, "EngineCore encountered an issue"),
        ("502", 3, "status 502"),
        ("401", 3, "--api-key-env"),
        ("404_model", 3, "qchat models"),
        ("400_context", 2, "context length"),
        ("400", 2, "temperature"),
        ("200_garbage", 3, "no answer"),
        ("200_garbage;kind=html", 3, "no answer"),
        ("200_garbage;kind=binary", 3, "no answer"),
        ("200_empty", 3, "no answer"),
        ("200_wrong_shape", 3, "no answer"),
        ("200_wrong_shape;kind=list", 3, "no answer"),
        ("200_wrong_shape;kind=number", 3, "no answer"),
        ("redirect", 3, "redirect"),
        ("stream_error_event", 3, "failed"),
    ],
)
def test_a_failure_is_one_sentence_after_one_request(
    ask: AskCommand, fault: str, code: int, message: str
) -> None:
    done = ask(f"hello there [[fault:{fault}]]", "--model", "demo")
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert text.startswith("Error: http://127.0.0.1:") and text.count("\n") == 1
    assert message in text and "Traceback" not in text
    assert done.stdout == b"" or done.stdout.endswith(b"\n")
    assert len(ask.server.log.records) == 1


@pytest.mark.parametrize(
    "fault",
    ["unknown_field", "keep_alive_comments", "no_done", "slow_loris;seconds=0.001"],
)
def test_odd_but_right_answers_are_answers(ask: AskCommand, fault: str) -> None:
    done = ask(f"hello [[fault:{fault}]]", "--model", "demo")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"echo: hello")


class _BlankEvents(BaseHTTPRequestHandler):
    """Sends what some proxies put between events to keep a stream alive."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        self.wfile.write(f"data:\n\nevent: ping\ndata:\n\ndata: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_blank_events_are_skipped(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _BlankEvents) as blank:
        threading.Thread(target=blank.serve_forever, daemon=True).start()
        args = ["ask", "x", "-m", "m", "--base-url", f"http://127.0.0.1:{blank.server_port}"]
        done = in_process(args, environment(tmp_path), None)
        blank.shutdown()
    assert done == Completed(0, b"hi\n", b"")


def test_a_chunk_of_ten_megabytes(ask: AskCommand) -> None:
    done = ask("hello [[fault:ten_mb_chunk]]", "-m", "demo")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout) > 9_000_000


def test_what_came_before_a_failure_stays(ask: AskCommand) -> None:
    done = ask("hello there [[fault:reset_mid_body]]", "--model", "demo")
    assert done.returncode == 3 and done.stdout.startswith(b"echo: hello")
    done = ask("hello there [[fault:reset_mid_body]]", "--model", "demo", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 3
    assert answer["content"].startswith("echo: hello") and answer["finish_reason"] is None
    assert answer["error"]["code"] == "disconnected"


def test_debug_adds_the_traceback(ask: AskCommand) -> None:
    done = ask("hi [[fault:500]]", "--debug")
    assert done.returncode == 3
    assert b"Traceback" in done.stderr and b"Error: " in done.stderr


def test_an_answer_that_was_cut_is_noted(ask: AskCommand) -> None:
    done = ask("hi [[answer:finish=length]]")
    assert done.returncode == 0 and b"--max-tokens" in done.stderr
    done = ask("hi [[answer:finish=length]]", "--json")
    assert json.loads(done.stdout)["finish_reason"] == "length"


def test_ctrl_c_keeps_what_came(ask: AskCommand) -> None:
    asking = ask.start("hi [[answer:rate=20;length=2000]]")
    assert asking.stdout is not None
    first = asking.stdout.read(4)
    asking.send_signal(signal.SIGINT)
    out, err = asking.communicate(timeout=30)
    assert (first + out).startswith(b"echo:")
    assert out.endswith(b"\n")
    assert (asking.returncode, err) == (130, b"")


def test_ctrl_c_with_json(ask: AskCommand, tmp_path: Path) -> None:
    asking = ask.start("hi [[answer:rate=20;length=2000]]", "--json", "--save")

    def some_has_come() -> bool:
        if not (tmp_path / "data" / "chats.db").exists():
            return False
        with open_store(tmp_path / "data") as store:
            chat = store.conversations.last()
            nodes = [] if chat is None else store.messages.path(chat.id)
            return len(nodes) == 2 and store.messages.get(nodes[1].id).content != ""

    wait_until(some_has_come)
    asking.send_signal(signal.SIGINT)
    out, _err = asking.communicate(timeout=30)
    answer = json.loads(out)
    assert answer["content"] and answer["error"]["code"] == "interrupted"
    assert asking.returncode == 130


def test_a_reader_that_goes_away_is_no_error(ask: AskCommand) -> None:
    asking = ask.start("hi [[answer:rate=200;length=2000]]")
    assert asking.stdout is not None and asking.stderr is not None
    asking.stdout.read(4)
    asking.stdout.close()
    assert asking.wait(timeout=30) == 141
    assert asking.stderr.read() == b""


def test_a_full_disk_is_reported(ask: AskCommand) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        asking = ask.start("hi", stdout=full)
        _out, err = asking.communicate(timeout=30)
    assert asking.returncode == 3
    assert b"Traceback" not in err and b"space" in err, err


def test_in_a_terminal_thinking_is_dim_and_comes_first(ask: AskCommand) -> None:
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        ask.command("hi [[answer:reasoning=reasoning]]"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(ask.home, TERM="xterm"),
    )
    os.close(theirs)
    output = b""
    try:
        while data := os.read(ours, 4096):
            output += data
    except OSError:
        pass  # Linux says EIO where the other side has closed
    os.close(ours)
    assert asking.wait(timeout=30) == 0
    text = output.decode()
    assert text.startswith("\x1b[2mThe user says: hi")
    assert "\x1b[0m" in text and text.index("\x1b[0m") < text.index("echo: hi")


@pytest.mark.parametrize("finished", [True, False])
def test_what_breaks_after_the_last_word_does_no_harm(finished: bool) -> None:
    class Breaking:
        endpoint = Endpoint("http://127.0.0.1:1/v1")

        def stream(self, body: JsonObject) -> Iterator[JsonObject]:
            reason = "stop" if finished else None
            yield {"choices": [{"delta": {"content": "all"}, "finish_reason": reason}]}
            raise ServerError(Failure(Code.DISCONNECTED, "gone"), self.endpoint)

    progress = StreamProgress(wants_usage=True)

    def on_chunk(chunk: JsonObject) -> None:
        list(apply_chunk(progress, chunk))

    client = cast("Client", Breaking())
    with nullcontext() if finished else pytest.raises(ServerError):
        stream_chunks(client, {}, on_chunk, progress)
    assert progress.splitter.answer.content == "all"
