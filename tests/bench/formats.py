"""What CSV, Parquet and zst cost over JSON lines: whole runs, against an engine that answers
at once. Each run reads its input for the first time: nothing is kept of the one before.

    python -m tests.bench.formats [ROWS] [ROUNDS]

Makes one input of ROWS rows (1,000,000) in each format, then runs them in ROUNDS (5) alternating
rounds, each in a process of its own. Prints the medians of the seconds of the CPU, and their ratio
to JSON lines: 1.10 is what may be.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from . import figures

TARGET = 1.10
NAMES = ("in.jsonl", "in.csv", "in.parquet", "in.jsonl.zst")


def make(folder: Path, count: int) -> None:
    """Write the inputs."""
    import csv

    import pyarrow
    import pyarrow.parquet
    import zstandard

    rows = [{"prompt": f"question {n}? " + "word " * 20, "label": n} for n in range(count)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    (folder / "in.jsonl").write_bytes(lines)
    (folder / "in.jsonl.zst").write_bytes(zstandard.compress(lines))
    with (folder / "in.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("prompt", "label"))
        writer.writeheader()
        writer.writerows(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "in.parquet")


def run(path: Path) -> None:
    """One run in this process."""
    from qchat.batch import run as running
    from qchat.batch.engines.selection import EngineRequest
    from qchat.batch.inputs.row_defaults import RowDefaults
    from qchat.batch.job import BatchJob

    from qchat.settings import load
    from tests.batch.echo import echoing

    output = str(path.with_name("out.jsonl"))
    with echoing():
        job = BatchJob((str(path),), output, RowDefaults(), EngineRequest(), quiet=True)
        assert running.run(job, load(), ["qchat"]) == 0


def cpu_seconds(path: Path) -> float:
    """The seconds of the CPU of one run, and nothing of it is left."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    home = path.parent / "home"
    environment = {**os.environ, "QCHAT_HOME": str(home)}
    subprocess.run([sys.executable, "-m", __spec__.name, str(path)], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(home)  # has the scan of the input
    for file in path.parent.glob("out.*"):
        file.unlink()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(count: int, rounds: int) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, count)
        seconds: dict[str, list[float]] = {name: [] for name in NAMES}
        for _round in range(rounds):
            for name in NAMES:
                seconds[name].append(cpu_seconds(folder / name))
    base = statistics.median(seconds["in.jsonl"])
    made = []
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"{name:14} {middle:7.1f} s  {middle / base:.2f}")
        if name != NAMES[0]:
            label = f"{name.partition('.')[2]} over JSON lines, {count:,} rows"
            made.append(figures.Figure(label, middle / base, TARGET, less=True))
    return figures.end(made)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].isdecimal():
        run(Path(sys.argv[1]))
        sys.exit(0)
    numbers = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*numbers, *(1_000_000, 5)[len(numbers) :]))
