"""The main job on the real vLLM with the demo model, offline and through a server."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from qchat import demo
from qchat.processes import process_family

from .servers import READY, Server, wait_until_gone

pytestmark = pytest.mark.vllm

QUESTIONS = Path(__file__).parents[2] / "examples" / "questions.jsonl"
ANSWERS = {
    pair.prompt: pair.content
    for pair in demo.pairs()
    if len(pair.messages) == 1 and not pair.tools and pair.enable_thinking is None
}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "qchat", *args]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "OPENAI_"))}
    return environ | {"QCHAT_HOME": str(tmp_path / "home")}


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def check_answers(rows: list[dict[str, object]]) -> int:
    """How many prompts of the corpus are among the rows; each has its answer to the letter."""
    in_corpus = [row for row in rows if row.get("prompt") in ANSWERS]
    for row in in_corpus:
        assert row["output"] == ANSWERS[str(row["prompt"])]
    return len(in_corpus)


@pytest.mark.slow
def test_the_questions_of_the_demo_offline(tmp_path: Path, environ: dict[str, str]) -> None:
    """What `make demo` runs, killed in its middle and run again."""
    out = tmp_path / "out.jsonl"
    # Many of them, so that there is a middle to kill it in.
    source = tmp_path / "in.jsonl"
    questions = QUESTIONS.read_text("utf-8").splitlines() * 10
    source.write_text("\n".join(questions) + "\n", "utf-8")
    args = command("batch", str(source), "-o", str(out), "--model", "demo")
    first = subprocess.Popen(args, env=environ, cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + READY
        while not (out.exists() and out.stat().st_size > 5_000):
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < end, "no answers"
            time.sleep(0.02)
        members = process_family([first.pid])
        assert len(members) >= 2  # the engine has a process of its own
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert wait_until_gone(members, 15) == []
    before = len(out.read_bytes().splitlines())
    assert 0 < before < len(questions)

    second = subprocess.run(args, env=environ, cwd=tmp_path, capture_output=True, timeout=2 * READY)
    assert second.returncode == 0, second.stderr.decode()
    assert b"rows are done already" in second.stderr
    assert second.stdout == b""
    rows = read(out)
    lines = Counter(row["_qchat"]["line"] for row in rows)  # type: ignore[index]
    assert lines == dict.fromkeys(range(1, len(questions) + 1), 1)
    assert check_answers(rows) >= 100
    logs = list((tmp_path / "home" / "state" / "logs").glob("batch-*.log"))
    assert len(logs) == 2
    assert all(log.stat().st_mode & 0o777 == 0o600 for log in logs)


def answering(tmp_path: Path, environ: dict[str, str]) -> tuple["subprocess.Popen[bytes]", Path]:
    """A run over 3,000 rows, in a process group of its own, when its first answers are there."""
    out = tmp_path / "out.jsonl"
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f'"row {n}"\n' for n in range(3000)))
    run = subprocess.Popen(
        command("batch", str(source), "-o", str(out), "--model", "demo"),
        env=environ,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for_growth(run, out)
    return run, out


def wait_for_growth(run: "subprocess.Popen[bytes]", out: Path) -> None:
    """Wait for an answer more than there are."""
    end = time.monotonic() + READY
    size = out.stat().st_size if out.exists() else 0
    while not (out.exists() and out.stat().st_size > size):
        assert run.poll() is None and time.monotonic() < end, run.communicate()
        time.sleep(0.01)


@pytest.mark.slow
def test_two_signals_give_up_rows_that_stay_open(tmp_path: Path, environ: dict[str, str]) -> None:
    run, out = answering(tmp_path, environ)
    members = process_family([run.pid])
    run.send_signal(signal.SIGINT)
    assert run.stderr is not None
    assert any(b"Stopping" in line for line in run.stderr)
    run.send_signal(signal.SIGINT)
    _out, stderr = run.communicate(timeout=READY)
    assert run.returncode == 130, stderr
    assert b"to resume:" in stderr and b"Traceback" not in stderr
    assert wait_until_gone(members, 15) == []
    assert not out.with_name("out.errors.jsonl").exists()
    assert f"{len(read(out))} of 3000 rows are done".encode() in stderr


def engine_of(run: "subprocess.Popen[bytes]", *, after: int = 0) -> int:
    """Wait for the engine process of a run, another one than `after`, which was killed.

    The fork server that it comes from has another name; a zombie still has the engine's.
    """
    end = time.monotonic() + 60
    while True:
        for member in process_family([run.pid]):
            with contextlib.suppress(FileNotFoundError):
                name = Path(f"/proc/{member}/comm").read_text()
                if member != after and name.startswith("VLLM::EngineCor"):
                    return member
        assert run.poll() is None and time.monotonic() < end, run.communicate()
        time.sleep(0.01)


@pytest.mark.slow
def test_an_engine_that_dies_is_started_again_once(tmp_path: Path, environ: dict[str, str]) -> None:
    run, out = answering(tmp_path, environ)
    first = engine_of(run)
    os.kill(first, signal.SIGKILL)
    second = engine_of(run, after=first)
    wait_for_growth(run, out)
    os.kill(second, signal.SIGKILL)
    _out, stderr = run.communicate(timeout=READY)
    assert run.returncode == 3, stderr
    assert stderr.count(b"Starting it again.") == 1
    assert b"to resume:" in stderr and b"Traceback" not in stderr
    assert wait_until_gone([second], 15) == []
    lines = Counter(row["_qchat"]["line"] for row in read(out))  # type: ignore[index]
    assert 0 < len(lines) < 3000 and set(lines.values()) == {1}
    assert not out.with_name("out.errors.jsonl").exists()


POISON = """
from vllm.v1.sample.logits_processor import LogitsProcessor


class Poison(LogitsProcessor):
    def __init__(self, vllm_config, device, is_pin_memory): ...

    def is_argmax_invariant(self):
        return True

    def apply(self, logits):
        return logits

    def update_state(self, batch_update):
        for _index, params, _prompt, _output in batch_update.added if batch_update else ():
            if (params.extra_args or {}).get("poison"):
                raise RuntimeError("a row that no engine survives")
"""


@pytest.mark.slow
def test_a_row_that_kills_the_engine_is_set_aside(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "poisonous.py").write_text(POISON)
    environ["PYTHONPATH"] = str(tmp_path)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = []
    for n in range(1, 31):
        body: dict[str, object] = {"messages": [{"role": "user", "content": "Hello"}]}
        if n == 17:
            body["vllm_xargs"] = {"poison": 1}
        lines.append({"custom_id": f"r{n}", "url": "/v1/chat/completions", "body": body})
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    vllm = ["--vllm", "logits_processors=poisonous:Poison"]
    args = command("batch", str(source), "-o", str(out), "--model", "demo", *vllm)
    done = subprocess.run(args, env=environ, capture_output=True, timeout=3 * READY)
    stderr = done.stderr.decode()
    assert done.returncode == 1, stderr
    assert "Traceback" not in stderr
    assert stderr.count("a row that no engine survives") == 2
    assert {row["custom_id"] for row in read(out)} == {f"r{n}" for n in range(1, 31) if n != 17}
    (row,) = read(out.with_name("out.errors.jsonl"))
    assert row["custom_id"] == "r17"
    error = row["error"]
    assert isinstance(error, dict)
    mark = row["_qchat"]
    assert isinstance(mark, dict)
    assert (error["code"], mark["retryable"], mark["attempts"]) == ("poison", False, 2)
    assert "a row that no engine survives" in error["message"]


def test_through_a_server_and_again(
    demo_server: Server, tmp_path: Path, environ: dict[str, str]
) -> None:
    out = tmp_path / "out.jsonl"
    args = command("batch", str(QUESTIONS), "-o", str(out), "--base-url", demo_server.base_url)
    for text in (b"24 answered, 0 failed", b"All 24 rows are done already"):
        done = subprocess.run(args, env=environ, capture_output=True, timeout=READY)
        assert done.returncode == 0, done.stderr.decode()
        assert text in done.stderr
    rows = read(out)
    assert len(rows) == 24
    assert check_answers(rows) >= 10
    assert {row["model"] for row in rows} == {"demo"}


def test_what_the_real_server_refuses_is_recorded(
    demo_server: Server, tmp_path: Path, environ: dict[str, str]
) -> None:
    source = tmp_path / "in.jsonl"
    lines: list[object] = [
        "Hello",
        {"prompt": "x " * 5000},
        {"prompt": "Hello", "temperature": -1},
        {"prompt": "Hello", "n": 2, "temperature": 0.5, "max_tokens": 2},
    ]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    args = command("batch", str(source), "--base-url", demo_server.base_url)
    done = subprocess.run(args, env=environ, capture_output=True, timeout=READY)
    assert done.returncode == 1, done.stderr.decode()
    rows = {row["_qchat"]["line"]: row for row in read(tmp_path / "in.results.jsonl")}  # type: ignore[index]
    assert sorted(rows) == [1, 4]  # type: ignore[type-var]
    outputs = rows[4]["output"]
    assert isinstance(outputs, list) and len(outputs) == 2
    errors = {row["line"]: row["error"] for row in read(tmp_path / "in.results.errors.jsonl")}
    assert errors[2]["code"] == "context_length_exceeded"  # type: ignore[index]
    assert errors[3]["code"] == "invalid_request"  # type: ignore[index]
    assert "temperature" in errors[3]["message"]  # type: ignore[index]


def test_ask_and_models(demo_server: Server, environ: dict[str, str]) -> None:
    server = ("--base-url", demo_server.base_url)
    asked = subprocess.run(
        command("ask", "写一首关于春天的诗", *server),
        env=environ,
        capture_output=True,
        text=True,
        timeout=READY,
        stdin=subprocess.DEVNULL,
    )
    assert asked.stdout == ANSWERS["写一首关于春天的诗"] + "\n", asked.stderr
    piped = subprocess.run(
        command("ask", "--json", *server),
        env=environ,
        capture_output=True,
        text=True,
        timeout=READY,
        input="Hello",
    )
    answer = json.loads(piped.stdout)
    assert answer["content"] == ANSWERS["Hello"]
    assert answer["usage"]["completion_tokens"] > 3
    listed = subprocess.run(
        command("models", *server), env=environ, capture_output=True, text=True, timeout=READY
    )
    assert "demo" in listed.stdout


@pytest.mark.slow
def test_a_model_that_is_not_there(tmp_path: Path, environ: dict[str, str]) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('"Hello"\n')
    for model, code in (("./nowhere", 2), ("nobody/no-such-model", 3)):
        args = command("batch", str(source), "--model", model)
        done = subprocess.run(
            args,
            env=environ | {"HF_ENDPOINT": "http://127.0.0.1:9"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=2 * READY,
        )
        assert done.returncode == code, done.stderr
        assert model.removeprefix("./") in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr) < 1000, done.stderr
        assert not (tmp_path / "in.results.jsonl").exists()


@pytest.mark.slow
def test_ctrl_c_of_a_terminal_reaches_qchat_and_not_the_engine(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """A terminal signals the whole group: rows in flight end, and none is cut short."""
    run, out = answering(tmp_path, environ)
    os.killpg(run.pid, signal.SIGINT)
    _out, stderr = run.communicate(timeout=READY)
    assert run.returncode == 130, stderr
    rows = read(out)
    assert rows and {row["finish_reason"] for row in rows} <= {"stop", "length"}
    assert not out.with_name("out.errors.jsonl").exists()
