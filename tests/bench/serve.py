"""`qchat serve` against the same vLLM started by hand: the time until it is ready, and how soon
`qchat status` and `qchat stop` answer.

    python -m tests.bench.serve [ROUNDS]

Ready is when /health answers 200. Three commands take turns: `qchat serve demo`; the command that
it prints (its launcher, without the supervisor); and vLLM's own module with the same options. The
first round warms vLLM's caches and those of the file system, and does not count. Each is stopped
again: `qchat stop` against a SIGTERM to the launcher, until the last process of it is gone. At the
end three servers run at once, for `qchat status`.
"""

import http.client
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qchat.serve.access.access_rules import VARIABLE
from qchat.serve.planning.passthrough_args import to_arguments

from qchat.engine.runtime.vllm_model import locate_model, options_for
from qchat.processes import alive, kill_processes, process_family

from . import figures
from .http import free_port

QCHAT = [sys.executable, "-m", "qchat"]
LONGEST = 240.0  # seconds for a start
LOOK = 0.02
ANSWERS = 11  # of `qchat status`, each
READY, SOON = 1.03, 0.3


OURS, LAUNCHER, BY_HAND = "qchat serve", "launcher", "vLLM by hand"


@dataclass(frozen=True, slots=True)
class Server:
    """One that is ready: after how many seconds, and all processes of it."""

    process: "subprocess.Popen[bytes]"
    seconds: float
    members: list[int]


class Trial:
    """A folder for qchat, and the commands that are compared there."""

    def __init__(self, folder: Path, port: int) -> None:
        self.log, self.port = folder / "log", port
        self.environ = {**os.environ, "QCHAT_HOME": str(folder / "home")}
        self.serve = [*QCHAT, "serve", "demo", "--port", str(port)]
        printed = subprocess.run(
            [*self.serve, "--print-command"],
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        rules, *self.launcher = shlex.split(printed.stdout)
        self.rules = {VARIABLE: rules.removeprefix(f"{VARIABLE}=")}

    def by_hand(self) -> list[str]:
        """vLLM's own server with the options that the launcher would give it."""
        at = self.launcher.index("--")
        arguments = self.launcher[at + 1 :]
        typed = {arg[2:]: "" for arg in arguments if arg.startswith("--")}
        options = options_for(model := locate_model("demo"), typed, cpu=True) | {
            "enforce-eager": ""
        }
        defaults = to_arguments(options)
        return [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model),
            *("--served-model-name", "demo", "--host", "127.0.0.1", "--port", str(self.port)),
            *(*arguments, *defaults),
        ]

    def run(self, *arguments: str) -> float:
        """Seconds of a command of qchat's, which says nothing."""
        began = time.perf_counter()
        subprocess.run(
            [*QCHAT, *arguments],
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - began

    def start(self, line: list[str], environ: Mapping[str, str]) -> Server:
        """A server that is ready."""
        with self.log.open("wb") as log:
            began = time.perf_counter()
            process = subprocess.Popen(
                line,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            while not is_ready(self.port):
                if process.poll() is not None or time.perf_counter() > began + LONGEST:
                    raise SystemExit(f"no start of {line}:\n{self.log.read_text()[-2000:]}")
                time.sleep(LOOK)
            return Server(process, time.perf_counter() - began, process_family([process.pid]))
        except BaseException:
            kill_processes(process_family([process.pid]))
            raise

    def stop(self, server: Server, by_command: bool) -> float:
        """Seconds until no process of it is left."""
        try:
            if by_command:
                took = self.run("stop")
                left = alive(server.members)
                assert set(left) <= {server.process.pid}, "qchat stop came back too early"
                return took
            began = time.perf_counter()
            server.process.send_signal(signal.SIGTERM)
            while alive(server.members):
                assert time.perf_counter() < began + LONGEST, "it does not end"
                time.sleep(LOOK)
            return time.perf_counter() - began
        finally:
            kill_processes(alive(server.members))
            server.process.wait()


def is_ready(port: int) -> bool:
    """Whether /health answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def starts_and_stops(trial: Trial, rounds: int) -> list[figures.Figure]:
    """All three in turn."""
    sides: dict[str, tuple[list[str], Mapping[str, str]]] = {
        OURS: (trial.serve, {}),
        LAUNCHER: (trial.launcher, trial.rules),
        BY_HAND: (trial.by_hand(), {}),
    }
    starts: dict[str, list[float]] = {who: [] for who in sides}
    stops: dict[str, list[float]] = {who: [] for who in sides}
    for number in range(rounds + 1):
        for who in sorted(sides, reverse=bool(number % 2)):
            server = trial.start(*sides[who])
            took = trial.stop(server, who == OURS)
            if number:
                starts[who].append(server.seconds)
                stops[who].append(took)
        if number:
            text = ", ".join(
                f"{who} {starts[who][-1]:.2f} s (stopped in {stops[who][-1]:.2f})" for who in sides
            )
            print(f"round {number}: {text}", flush=True)

    ready = statistics.median(a / b for a, b in zip(starts[OURS], starts[BY_HAND], strict=True))
    own = statistics.median(a - b for a, b in zip(starts[OURS], starts[LAUNCHER], strict=True))
    print(f"beyond the command that it prints: {own:.2f} s of a start", flush=True)
    beyond = statistics.median(stops[OURS]) - statistics.median(stops[LAUNCHER])
    return [
        figures.Figure(
            f"time to ready over vLLM's by hand, median of {rounds}", ready, READY, less=True
        ),
        figures.Figure("qchat stop, beyond vLLM's own end", beyond, SOON, unit="s", less=True),
    ]


def answers(trial: Trial) -> list[figures.Figure]:
    """`qchat status` with one server, and with three."""
    measured: list[figures.Figure] = []
    try:
        for names in (("one",), ("two", "three")):
            for name in names:
                arguments = ("--name", name, "--port", str(free_port()), "--detach")
                trial.run("serve", "demo", *arguments)
            count = len(measured) * 2 + 1
            trial.run("status")
            median = statistics.median(trial.run("status") for _n in range(ANSWERS))
            text = f"qchat status, servers: {count}, median of {ANSWERS}"
            measured.append(figures.Figure(text, median, SOON, unit="s", less=True))
    finally:
        print(f"three stopped at once in {trial.run('stop', '--all'):.2f} s", flush=True)
    return measured


def main(rounds: int) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Path(name), free_port())
        return figures.end([*starts_and_stops(trial, rounds), *answers(trial)])


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:] or ["5"])))
