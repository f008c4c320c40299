"""Whole runs, start included: `qchat batch` against vLLM's run-batch over the same file.

    python -m tests.bench.whole [ROUNDS] [ROWS]

Both are commands of their own, each from nothing to its last answer and its exit, in alternating
rounds; the median of the rounds' ratios counts. Rows of 32 tokens on the demo model, with a KV
cache of one size. What both compiled before is kept between rounds, as it is for a user.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from qchat.engine.runtime.vllm_model import locate_model, options_for

from . import figures
from .offline import bodies


def write_rows(path: Path, count: int, model: str) -> None:
    """The rows of `tests.bench.offline` as OpenAI batch lines."""
    with path.open("w") as file:
        for n, body in enumerate(bodies(model, count, 32, ragged=False)):
            line = {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({**line, "body": body}) + "\n")


def commands(rows: Path, folder: Path) -> dict[str, tuple[list[str], Path]]:
    """The two commands, each with the file that it writes."""
    model = locate_model("demo")
    size = options_for(model, {}, cpu=True).get("kv-cache-memory-bytes")
    room = ["--kv-cache-memory-bytes", size] if size else []
    python = [sys.executable, "-m"]
    theirs, mine = folder / "run-batch.jsonl", folder / "qchat.jsonl"
    return {
        "run-batch": (
            [
                *(*python, "vllm.entrypoints.launchers.run_batch", "-i", str(rows)),
                *("-o", str(theirs), "--model", model, "--served-model-name", "bench", *room),
            ],
            theirs,
        ),
        "qchat": (
            [
                *(*python, "qchat", "batch", str(rows), "-o", str(mine), "--restart"),
                *("--model", "demo", "--quiet"),
            ],
            mine,
        ),
    }


def main(rounds: int, count: int) -> int:
    """Measure and print."""
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = folder / "in.jsonl"
        write_rows(rows, count, "bench")
        for number in range(rounds + 1):
            took: dict[str, float] = {}
            sides = commands(rows, folder)
            for who in sorted(sides, reverse=bool(number % 2)):
                line, out = sides[who]
                began = time.monotonic()
                subprocess.run(
                    line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
                )
                took[who] = time.monotonic() - began
                assert len(out.read_bytes().splitlines()) == count
            durations = ", ".join(f"{who} {seconds:.1f} s" for who, seconds in took.items())
            if number:  # the first fills vLLM's caches of compiled code
                ratios.append(took["run-batch"] / took["qchat"])
                print(f"round {number}: {durations}, ratio {ratios[-1]:.2f}", flush=True)
    median = statistics.median(ratios)
    text = f"whole run of {count:,} rows, times faster than run-batch, median of {rounds}"
    return figures.end([figures.Figure(text, median, 1.15)])


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(numbers + [3, 4000][len(numbers) :])))
