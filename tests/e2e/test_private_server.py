"""`qchat batch` on a vLLM that the offline adapter does not fit: a private server answers."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.processes import process_family
from tests.batch.commands import read

from .servers import READY

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

QUESTIONS = Path(__file__).parents[2] / "examples" / "questions.jsonl"
GONE = 20.0  # seconds that the processes get to end, on a busy machine too

# The real self-check is told of a table with one name more, which no vLLM has.
PROGRAM = """
import sys
from qchat.engine.runtime import vllm_entry_points as table, vllm_versions
from qchat.engine.runtime.vllm_entry_points import EntryPoint, Use

table._TABLE += (EntryPoint("no_such_name", ("vllm.x",), frozenset({Use.OFFLINE})),)
vllm_versions.is_tested = lambda _version: False

if __name__ == "__main__":
    from qchat.__main__ import main

    sys.exit(main())
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """With a mark by which every process of a run can be recognised."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "OPENAI_"))}
    return environ | {
        "QCHAT_HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path),
        "QCHAT_TEST_MARK": uuid.uuid4().hex,
    }


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    return [sys.executable, str(program), "batch", "--model", "demo", "--engine", "offline"]


def marked(environ: dict[str, str]) -> Iterator[int]:
    """The processes of the run that still are there."""
    mark = f"QCHAT_TEST_MARK={environ['QCHAT_TEST_MARK']}".encode()
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in file.read_bytes():
                yield int(file.parent.name)
        except OSError:
            continue


def wait_until_gone(environ: dict[str, str]) -> list[int]:
    deadline = time.monotonic() + GONE
    while (left := list(marked(environ))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def test_same_output_and_same_resume(
    command: list[str], tmp_path: Path, environ: dict[str, str]
) -> None:
    rows = QUESTIONS.read_text("utf-8").splitlines()
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(rows[:12]) + "\n")
    arguments = [str(source), "-o", str(out)]
    done = subprocess.run(
        [*command, *arguments], env=environ, capture_output=True, text=True, timeout=2 * READY
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("lacks what qchat uses of it: vllm.x.no_such_name") == 1
    assert "12 answered, 0 failed" in done.stderr
    assert wait_until_gone(environ) == []
    assert list(tmp_path.glob("qchat-vllm-*")) == []
    # The rows that are left are asked in this process, and none of the others again.
    source.write_text("\n".join(rows) + "\n")
    offline = [sys.executable, "-m", "qchat", "batch", "--model", "demo", "--engine", "offline"]
    first = read(str(out))
    done = subprocess.run(
        [*offline, *arguments], env=environ, capture_output=True, text=True, timeout=2 * READY
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rows)} answered, 0 failed. {len(rows) - 12} in " in done.stderr
    whole = read(str(out))
    assert whole[:12] == first and len(whole) == len(rows)
    assert {frozenset(row) for row in first} == {frozenset(row) for row in whole[12:]}


@pytest.mark.parametrize("ready", [False, True])
def test_nothing_outlives_a_kill(
    command: list[str], tmp_path: Path, environ: dict[str, str], ready: bool
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"prompt": "Count to one hundred.", "max_tokens": 400}\n' * 400)
    run = subprocess.Popen(
        [*command, str(source), "-o", str(out), "--allow-duplicates"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + READY
        while not (out.exists() and out.stat().st_size) if ready else not is_serving(environ):
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        assert len(list(marked(environ))) >= 2
        run.kill()
        run.wait()
        assert wait_until_gone(environ) == []
    finally:
        for pid in marked(environ):
            os.kill(pid, signal.SIGKILL)
        run.wait()


def test_an_engine_that_is_killed_is_started_again(
    command: list[str], tmp_path: Path, environ: dict[str, str]
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"prompt": f"Count to {n}.", "max_tokens": 100} for n in range(800)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (tmp_path / "stderr").open("w+") as stderr:
        run = subprocess.Popen(
            [*command, str(source), "-o", str(out)],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            deadline = time.monotonic() + READY
            while not (out.exists() and out.stat().st_size):
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            # Its title lies over its environment, and so over the mark.
            family = process_family([run.pid])
            (engine,) = (pid for pid in family if b"EngineCore" in read_command(pid))
            os.kill(engine, signal.SIGKILL)
            assert run.wait(READY) == 0
        finally:
            for pid in marked(environ):
                os.kill(pid, signal.SIGKILL)
            run.wait()
        stderr.seek(0)
        text = stderr.read()
    assert text.count("vLLM's engine was killed") == 1 and "Starting it again." in text
    assert len(read(str(out))) == len(rows)


def is_serving(environ: dict[str, str]) -> bool:
    """Whether the launcher is there, long before it is ready."""
    return any(b"qchat.serve.launcher" in read_command(pid) for pid in marked(environ))


def read_command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
