"""Why a server ended, and the command to try instead."""

from pathlib import Path

import pytest
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import make_plan
from qchat.serve.supervision.start_failure import (
    exit_reason,
    failure_message,
    suggested_command,
    was_shut_down,
)

from qchat.engine.machine.hardware import Machine


@pytest.mark.parametrize(
    ("log", "command"),
    [
        (
            "the estimated maximum model length is 9871.",
            "--name 'a b' --max-model-len 9216 -- --hf-token '***'",
        ),
        (
            "Free memory on device cuda:0 (20.1/24.0 GiB) on startup",
            "--name 'a b' --gpu-memory-utilization 0.82 -- --hf-token '***'",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory.",
            "--name 'a b' -- --hf-token '***' --max-num-seqs 64",
        ),
        ("Free memory on device cuda:0 (0.3/24.0 GiB) on startup", None),
        ("something else", None),
    ],
)
def test_the_command_to_try_suggested_command(log: str, command: str | None) -> None:
    """The options as typed stay, with tokens masked."""
    command_line = ("demo", "--name", "a b", "--", "--hf-token", "hf_secret")
    plan = make_plan(
        ServeOptions("demo", command_line=command_line), Machine((), 9000, 8000, 2), {}
    )
    assert suggested_command(plan, log) == (command and f"qchat serve demo {command}")
    bare = make_plan(ServeOptions("demo"), Machine((), 9000, 8000, 2), {})
    assert suggested_command(bare, "CUDA out of memory") == "qchat serve demo -- --max-num-seqs 64"


@pytest.mark.parametrize(
    ("exit_code", "reason"),
    [(0, "its engine died"), (-9, "killed by SIGKILL"), (3, "exit code 3")],
)
def test_the_reason_of_an_exit_without_an_error_in_the_log(exit_code: int, reason: str) -> None:
    plan = make_plan(ServeOptions("demo"), Machine((), 9000, 8000, 2), {})
    assert exit_reason(exit_code) == reason
    message = failure_message(plan, None, exit_code, 0, "")
    assert message == f"vLLM can't serve demo: {reason}. Its log: qchat logs demo"
    again = failure_message(plan, "no memory", exit_code, 2, "CUDA out of memory")
    assert again == (
        "vLLM exited 3 times serving demo: no memory. "
        "Try: qchat serve demo -- --max-num-seqs 64 Its log: qchat logs demo"
    )


def test_a_shutdown_of_an_earlier_process_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("INFO API server: shutdown triggered\n")
    offset = log.stat().st_size
    assert was_shut_down(log, 0) and not was_shut_down(log, offset)
