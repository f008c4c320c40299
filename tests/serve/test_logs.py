"""`qchat logs`."""

import subprocess
import sys

import pytest
from qchat.serve.registry.records import ServerRegistry

from qchat import cli


def test_a_last_line_without_an_end_is_printed(
    registry: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.new_log("demo").write_text("one\nValueError: two")
    assert cli.run(["logs", "demo"]) == 0
    assert capsys.readouterr().out == "one\nValueError: two\n"


def test_the_last_lines_of_a_log(
    registry: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.new_log("demo").write_text("1 ERROR\n2\n3 ERROR\n4\n5")
    for arguments, output in (
        (["-n", "2"], "4\n5\n"),
        (["--lines", "0"], ""),
        (["-n", "9"], "1 ERROR\n2\n3 ERROR\n4\n5\n"),
        (["-n", "1", "--errors"], "3 ERROR\n"),
    ):
        assert cli.run(["logs", "demo", *arguments]) == 0
        assert capsys.readouterr().out == output
    assert cli.run(["logs", "-n", "-1"]) == 2


def test_the_last_lines_and_new_ones(registry: ServerRegistry) -> None:
    log = registry.new_log("demo")
    log.write_text("old\nlast\n")
    command = [sys.executable, "-m", "qchat", "logs", "demo", "-n", "1", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None and follower.stdout.readline() == "last\n"
            with log.open("a") as vllm:
                vllm.write("new\n")
            assert follower.stdout.readline() == "new\n"
        finally:
            follower.kill()


def test_a_line_that_only_mentions_an_error_is_none(
    registry: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [
        "(EngineCore pid=1) ERROR 11-25 02:02:14 [core.py:1] RuntimeError: the engine is dead",
        "Traceback (most recent call last):",
        "ValueError: no weights",
        "[rank0]: torch.OutOfMemoryError: CUDA out of memory",
    ]
    others = [
        "Found ulimit of 20000 and failed to automatically increase with error current limit "
        "exceeds maximum limit. This can cause fd limit errors like `OSError: [Errno 24] Too many "
        "open files`. Consider increasing with ulimit -n",
        "(APIServer pid=7) WARNING 11-25 17:32:47 [a.py:1] fell back after ImportError: no triton",
        '(APIServer pid=7) INFO:     127.0.0.1:5 - "GET /ERROR HTTP/1.1" 404 Not Found',
    ]
    registry.new_log("demo").write_text("".join(f"{line}\n" for line in errors + others))
    assert cli.run(["logs", "demo", "--errors"]) == 0
    assert capsys.readouterr().out.splitlines() == errors
