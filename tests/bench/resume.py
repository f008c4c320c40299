"""What resuming a large finished run costs, whatever was done to its input.

    python -m tests.bench.resume [ROWS]

A run of ROWS rows (1,000,000) is made; then the same command is run again, each time in a process
of its own with an engine that answers at once: the input unchanged (its scan is not cached yet,
then it is), with a line inserted on top, and shuffled. Prints seconds, seconds of the CPU, and the
growth of the resident memory over a run of 1,000 rows: it may be 32 MiB, and 16 bytes a row.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import figures

SMALL = 1_000


def make(folder: Path, count: int) -> None:
    """Write the input, as large rows as a short question makes, and the results of a whole run."""
    from qchat.batch.inputs.discovery import InputFile, with_keys
    from qchat.batch.inputs.row_defaults import RowDefaults
    from qchat.batch.inputs.scan import iter_rows
    from qchat.batch.journal.manifest import Manifest, recorded_settings
    from qchat.batch.journal.records import result_line
    from qchat.batch.request import Request

    source = folder / "in.jsonl"
    with source.open("w") as file:
        for n in range(count):
            file.write(json.dumps({"prompt": f"question {n}? " + "word " * 20, "label": n}) + "\n")
    defaults = RowDefaults(model="m")
    inputs = with_keys([InputFile("in.jsonl", source)], folder)
    message = {"message": {"content": "an answer of some words " * 8}, "finish_reason": "stop"}
    body = {"choices": [message], "usage": {"completion_tokens": 40}, "model": "m"}
    with (folder / "in.results.jsonl").open("wb") as file:
        for row in iter_rows(inputs, defaults):
            assert isinstance(row, Request)
            file.write(result_line(row, body, name="in.jsonl", number=0, attempts=1, prefix=""))
    manifest = Manifest(
        ("in.jsonl",),
        "in.results.jsonl",
        "in.results.errors.jsonl",
        recorded_settings(defaults),
        rows=count,
        qualities={"ok": count},
    )
    manifest.save(folder / "in.results.manifest.json", state="finished", answered=count)


def run(path: Path) -> None:
    """One run in this process; prints what it took."""
    from qchat.batch import run as running
    from qchat.batch.engines.selection import EngineRequest
    from qchat.batch.inputs.row_defaults import RowDefaults
    from qchat.batch.job import BatchJob

    from qchat.settings import load
    from tests.batch.echo import echoing

    began = time.monotonic()
    job = BatchJob((str(path),), None, RowDefaults(), EngineRequest(), quiet=True)
    with echoing():
        code = running.run(job, load(), [])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "code": int(code),
        "seconds": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / 1024,
    }
    print(json.dumps(result))


def measured(folder: Path, label: str) -> dict[str, float]:
    """Run the command in a process of its own."""
    line = [sys.executable, "-m", "tests.bench.resume", "--run", str(folder / "in.jsonl")]
    environment = {**os.environ, "QCHAT_HOME": str(folder / "home")}
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["code"] == 0, result
    print(
        f"{label}: {result['seconds']:.1f} s ({result['cpu']:.1f} s of CPU), "
        f"peak {result['peak']:.0f} MiB",
        flush=True,
    )
    return result


def edit(source: Path, how: str) -> None:
    """Edit the input in another process: a child's highest memory begins with its parent's."""
    line = [sys.executable, "-m", "tests.bench.resume", f"--{how}", str(source)]
    subprocess.run(line, check=True)


def main(count: int) -> int:
    """Measure and print."""
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        small, folder = Path(name) / "small", Path(name) / "large"
        for where, rows in ((small, SMALL), (folder, count)):
            where.mkdir()
            make(where, rows)
        base = measured(small, f"{SMALL:,} rows")["peak"]
        source = folder / "in.jsonl"
        results["as it was, first time"] = measured(folder, "as it was, first time")
        results["as it was"] = measured(folder, "as it was")
        edit(source, "top")
        results["a line on top"] = measured(folder, "a line on top")
        edit(source, "shuffle")
        results["shuffled"] = measured(folder, "shuffled")
    budget = 32 + 16 * count / (1 << 20)
    made = [
        figures.Figure(
            f"resume of {count:,} rows, {label}: growth of memory",
            result["peak"] - base,
            budget,
            "MiB",
            less=True,
        )
        for label, result in results.items()
    ]
    seconds = results["as it was"]["seconds"] * 1_000_000 / count
    made.append(figures.Figure("resume of 1M rows, as it was", seconds, 8, "s", less=True))
    return figures.end(made)


if __name__ == "__main__":
    if sys.argv[1:2] in (["--top"], ["--shuffle"]):
        source = Path(sys.argv[2])
        lines = source.read_bytes().splitlines(keepends=True)
        if sys.argv[1] == "--top":
            lines.insert(0, b'"new"\n')
        else:
            random.Random(1).shuffle(lines)
        source.write_bytes(b"".join(lines))
        sys.exit(0)
    if sys.argv[1:2] == ["--run"]:
        run(Path(sys.argv[2]))
        sys.exit(0)
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
