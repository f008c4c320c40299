"""The SLURM job of examples/slurm, with stand-ins for SLURM's programs, Ray and qchat."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qchat.processes import alive, kill_processes, process_family

pytestmark = pytest.mark.needs_tool("bash")

SCRIPT = Path(__file__).parents[3] / "examples" / "slurm" / "qchat-ray.sbatch"

# `ray start --head` listens as Ray does; each stand-in writes its arguments into the file `calls`.
PROGRAMS = {
    "scontrol": """#!/bin/bash
        echo "scontrol $*" >>calls
        [ "$2" = hostnames ] && printf '127.0.0.1\\nnode2\\n'
        exit 0""",
    "srun": """#!/bin/bash
        while [ "$1" != bash ]; do shift; done
        trap 'kill $(jobs -p)' TERM
        for n in 0 1; do SLURM_PROCID=$n "$@" & done
        wait || wait""",
    "ray": """#!{python}
import os, signal, socket, sys, time
with open("calls", "a") as calls:
    print("ray", *sys.argv[1:], file=calls)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
assert os.stat(os.environ["RAY_AUTH_TOKEN_PATH"]).st_mode & 0o777 == 0o600
assert len(open(os.environ["RAY_AUTH_TOKEN_PATH"]).read()) == 64
if os.environ.get("RAY_FAILS"):
    sys.exit(1)
if "--head" in sys.argv:
    server = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
time.sleep(120)""",
    "qchat": """#!/bin/bash
        echo "qchat $*" >>calls
        [ -z "$QCHAT_SLEEPS" ] && exit "$QCHAT_CODE"
        trap 'exit "$QCHAT_CODE"' TERM
        touch asking
        sleep 60 >/dev/null 2>&1 & wait""",
}


class Job:
    """A job in the folder `work`."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._folder = work / "bin"
        self._folder.mkdir()
        for name, text in PROGRAMS.items():
            program = self._folder / name
            program.write_text(text.replace("{python}", sys.executable))
            program.chmod(0o700)

    def start(self, *args: str, code: int = 0, **environ: str) -> "subprocess.Popen[str]":
        """Start the script as SLURM starts it; qchat ends with `code`."""
        slurm = {
            "SLURM_JOB_ID": str(free_port() - 6400),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_JOB_NUM_NODES": "2",
            "QCHAT_CODE": str(code),
            "PATH": f"{self._folder}:{os.environ['PATH']}",
        }
        return subprocess.Popen(
            ["bash", SCRIPT, *args],
            cwd=self._work,
            env={**os.environ, **slurm, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        """What was called, in order."""
        return (self._work / "calls").read_text().splitlines()

    @property
    def was_requeued(self) -> bool:
        """Whether the job went back into the queue."""
        return any(call.startswith("scontrol requeue ") for call in self.calls)


def free_port() -> int:
    """A port that the job's number leads to: 6400 to 7399."""
    for port in range(6400 + os.getpid() % 900, 7400):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def end(run: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code and output; nothing of the job is left."""
    family = process_family([run.pid])
    try:
        out, err = run.communicate(timeout=60)
    finally:
        left = [pid for pid in alive(family) if pid != run.pid]
        deadline = time.monotonic() + 20  # a busy machine takes its time
        while alive(left) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert kill_processes(left, 0) == [] and alive(left) == []
    return run.returncode, out + err


def until_asking(work: Path, run: "subprocess.Popen[str]") -> None:
    until((work / "asking").exists)
    assert run.poll() is None, run.communicate()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_starts_ray_on_its_nodes_and_ends_it(job: Job, tmp_path: Path) -> None:
    run = job.start("in.jsonl", "--model", "m", "--replicas", "1-8")
    code, output = end(run)
    assert code == 0, output
    heads = [call for call in job.calls if call.startswith("ray start --head --port ")]
    assert len(heads) == 1 and "--include-dashboard=false --disable-usage-stats" in heads[0]
    assert "qchat batch in.jsonl --model m --replicas 1-8 --engine ray --ray-address auto" in (
        job.calls
    )
    assert not job.was_requeued
    assert list(tmp_path.glob(".qchat-ray-*")) == []  # the token is removed


def test_shortly_before_its_end_a_job_goes_back_into_the_queue(job: Job, tmp_path: Path) -> None:
    run = job.start("in.jsonl", code=143, QCHAT_SLEEPS="1")
    until_asking(tmp_path, run)
    until(lambda: any(call.startswith("ray start --address 127.0.0.1:") for call in job.calls))
    run.send_signal(signal.SIGUSR1)
    code, output = end(run)
    assert (code, job.was_requeued) == (143, True), output
    assert "Back into the queue" in output


@pytest.mark.parametrize(
    ("code", "environ", "requeued"),
    [
        (1, {}, False),
        (2, {}, False),
        (3, {}, True),
        (3, {"SLURM_RESTART_COUNT": "20"}, False),
        (3, {"SLURM_RESTART_COUNT": "20", "QCHAT_MAX_RESTARTS": "30"}, True),
    ],
)
def test_only_a_lost_cluster_is_worth_another_turn(
    job: Job, code: int, environ: dict[str, str], requeued: bool
) -> None:
    ended, output = end(job.start("in.jsonl", code=code, **environ))
    assert (ended, job.was_requeued) == (code, requeued), output


def test_a_job_that_is_cancelled_stays_so(job: Job, tmp_path: Path) -> None:
    run = job.start("in.jsonl", code=143, QCHAT_SLEEPS="1")
    until_asking(tmp_path, run)
    run.send_signal(signal.SIGTERM)
    code, output = end(run)
    assert (code, job.was_requeued) == (143, False), output


def test_a_ray_that_does_not_start_is_said(job: Job) -> None:
    code, output = end(job.start("in.jsonl", RAY_FAILS="1", QCHAT_START_SECONDS="5"))
    assert code == 3
    assert "Ray did not start on 127.0.0.1" in output


def test_without_arguments_or_outside_of_slurm_the_usage_is_shown(job: Job) -> None:
    for run in (job.start(), job.start("in.jsonl", SLURM_JOB_ID="")):
        code, output = end(run)
        assert code == 2
        assert "usage: sbatch" in output


@pytest.mark.needs_tool("shellcheck")
def test_shellcheck() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
