"""How fast `--check` reads, validates, renders and counts short rows.

    python -m tests.bench.check [ROWS]

ROWS rows (200,000) of about 30 tokens through the real command, with the demo model's tokenizer
and, where the tests have it, with that of SmolLM2, whose vocabulary is of the usual size; each
start included. Then a twentieth of the rows with tools, which vLLM's renderer makes prompts of.
Prints rows/s, seconds of the CPU a row (on two cores, half of them is what a row takes), and the
growth of the memory from a tenth of the rows to all of them: 16 bytes a row (24 where it has a
custom_id), and 8 to 12 at the end. The target is 5,000 rows/s on two cores.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.smollm2 import cache_folder

from . import figures

TARGET = 5000
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def make(path: Path, count: int, *, tools: bool) -> None:
    """Write the rows."""
    with path.open("w") as file:
        for n in range(count):
            text = f"What is the answer to question {n}? " + "word " * 6
            row: dict[str, object] = {"prompt": text}
            if tools:
                row = {"messages": [{"role": "user", "content": text}], "tools": [TOOL]}
            file.write(json.dumps(row) + "\n")


def measure(path: Path, model: str, count: int) -> tuple[float, float, float]:
    """Seconds, seconds of the CPU of all its processes, and the highest memory in MiB."""
    command = [sys.executable, "-m", "qchat", "batch", str(path), "--model", model]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--check", "--progress", "json", "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "QCHAT_HOME": str(path.parent / "home")},
    )
    assert process.stdout is not None
    report = json.loads(process.stdout.read())
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    assert status == 0 and report["counted"] == count, report
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(count: int) -> int:
    """Measure and print."""
    models = {"demo": "demo"}
    if (cache_folder() / "config.json").exists():
        models["SmolLM2"] = str(cache_folder())
    made = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, model in models.items():
            results = []
            for rows in (count // 10, count):
                path = folder / f"{rows}.jsonl"
                make(path, rows, tools=False)
                seconds, cpu, peak = measure(path, model, rows)
                results.append((rows, seconds, cpu, peak))
                print(
                    f"{label}: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
                    f"{cpu:.1f} s of the CPU, peak {peak:.0f} MiB",
                    flush=True,
                )
            (few, _seconds, start, before), (all_rows, seconds, cpu, after) = results
            each = (cpu - start) / (all_rows - few) * 1e6
            print(f"{label}: {each:.0f} µs of the CPU a row beyond the start", flush=True)
            made += [
                figures.Figure(f"check: short rows, {label}", all_rows / seconds, TARGET, "rows/s"),
                figures.Figure(
                    f"check: growth of memory, {label}",
                    after - before,
                    16 + 28 * (all_rows - few) / (1 << 20),
                    "MiB",
                    less=True,
                ),
            ]
        few = count // 20
        make(folder / "tools.jsonl", few, tools=True)
        seconds, cpu, _peak = measure(folder / "tools.jsonl", "demo", few)
        print(f"tools: {few:,} rows in {seconds:.1f} s ({cpu:.1f} s of the CPU), vLLM's start too")
    return figures.end(made)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
