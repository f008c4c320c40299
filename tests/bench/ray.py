"""`--engine ray`: one replica against the offline engine, and what the driver of many costs.

    python -m tests.bench.ray [--rounds 5] [--rows 4000] [--replicas 100] [--only offline|driver]

The first: rows of 32 tokens on the demo model, alternating rounds on the same cores, start
excluded; the median of the rounds' ratios counts. The second: whole runs of `qchat batch`, journal
included, against stub replicas that answer up to 4,000 rows a second together; CPU of the driver's
process, all threads, for the rows that the longer of two runs has more.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.batch.commands import write
from tests.batch.ray.cluster import ROOT, cluster
from tests.batch.ray.stubs import STUB_WINDOW

from . import figures
from .offline import Side, bodies, ours

SHORT, LONG = 6_000, 60_000


class _Silent:
    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        print(text, file=sys.stderr)


def side(name: str, rows: int, folder: str) -> None:
    """One of the two, in its process."""
    from qchat.batch.engines.ray.engine import RayEngine, RayOptions

    engine = None
    if name == "ray":
        engine = RayEngine(RayOptions("demo", Path(folder)), _Silent())
    ours("demo", bodies("demo", rows, 32, ragged=False), {}, engine)


def against_offline(rounds: int, rows: int) -> list[figures.Figure]:
    """One replica over the offline engine."""
    ratios: list[float] = []
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="qb-") as folder:
        os.environ["QCHAT_HOME"] = f"{folder}/home"
        arguments = ["--rows", str(rows), "--folder", folder]
        sides = {
            name: Side(name, arguments, Path(folder) / f"{name}.log", "ray")
            for name in ("offline", "ray")
        }
        try:
            for number in range(1, rounds + 1):
                order = sorted(sides, reverse=bool(number % 2))
                took = {name: sides[name].round() for name in order}
                speed = {name: t["rows"] / t["seconds"] for name, t in took.items()}
                ratios.append(speed["ray"] / speed["offline"])
                print(
                    f"round {number}: ray {speed['ray']:.1f} rows/s, offline "
                    f"{speed['offline']:.1f} ({ratios[-1]:.2f})",
                    flush=True,
                )
        finally:
            for one in sides.values():
                one.close()
    text = f"one Ray replica over the offline engine, median of {rounds}"
    return [figures.Figure(text, statistics.median(ratios), 0.9)]


def driver(replicas: int) -> list[figures.Figure]:
    """The CPU of the driver's process a row, and the rows a second that it reached."""
    os.environ[STUB_WINDOW] = str(8000 // replicas)
    with (
        tempfile.TemporaryDirectory(dir="/tmp", prefix="qb-") as folder,
        cluster(nodes=1, cpus=replicas) as running,
    ):
        os.environ["QCHAT_HOME"] = f"{folder}/home"
        os.chdir(folder)
        seconds: list[float] = []
        for rows in (SHORT, LONG):
            write("in.jsonl", *({"prompt": f"row {n}: what is a KV cache?"} for n in range(rows)))
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.monotonic()
            run = subprocess.run(
                [
                    *(sys.executable, "-m", "tests.batch.ray.driver", "wide"),
                    *("batch", "in.jsonl", "--restart", "--model", "demo", "--engine", "ray"),
                    *("--ray-address", running.address, "--replicas", str(replicas)),
                ],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            assert run.returncode == 0, run.stderr
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            [summary] = [line for line in run.stderr.splitlines() if "answered, " in line]
            print(f"{summary}  {seconds[-1]:.1f} s of CPU in {time.monotonic() - began:.0f} s")
    cost = (seconds[1] - seconds[0]) / (LONG - SHORT) * 1000
    text = f"driver with {replicas} stub replicas, CPU a row"
    return [figures.Figure(text, cost, 0.3, "ms", less=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--only", choices=("offline", "driver"))
    parser.add_argument("--side", choices=("offline", "ray"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side is not None:
        side(options.side, options.rows, options.folder)
        return 0
    results: list[figures.Figure] = []
    if options.only != "driver":
        results += against_offline(options.rounds, options.rows)
    if options.only != "offline":
        results += driver(options.replicas)
    return figures.end(results)


if __name__ == "__main__":
    sys.exit(main())
