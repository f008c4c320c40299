"""What the page of a large run costs: `qchat batch --report FILE.html --of OUT.jsonl`.

    python -m tests.bench.report [ROWS]

Writes the results of a run of ROWS rows (1,000,000) with latencies, qualities and probabilities,
and makes the page in a process of its own. Prints seconds, seconds of the CPU, the largest resident
memory, and the size of the page: less than 20 s, 256 MiB and 2 MB are what a run of a million rows
may cost.
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

from tests.batch.reports import row


def write_results(path: Path, count: int) -> None:
    """Write lines as a run with short answers leaves them."""
    source = random.Random(1)
    with path.open("w") as file:
        for line in range(1, count + 1):
            p = source.uniform(0.5, 1)
            mark = {
                "quality": source.choices(("ok", "cut", "empty"), (96, 3, 1))[0],
                "seconds": round(source.lognormvariate(0, 0.7), 3),
                "at": 1_790_000_000 + line / 300,
            }
            columns = {"mood": "good", "mood_p": p, "mood_probs": {"good": p, "bad": 1 - p}}
            usage = {
                "prompt_tokens": source.randint(10, 300),
                "completion_tokens": source.randint(1, 200),
            }
            value = row(line, usage=usage, _qchat=mark, **columns)
            value["output"] = "an answer of some words " * source.randint(1, 12)
            file.write(json.dumps(value, separators=(",", ":")) + "\n")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_results(folder / "out.jsonl", count)
        command = [sys.executable, "-m", "qchat", "batch", "--report", "r.html"]
        environment = {**os.environ, "QCHAT_HOME": str(folder / "home")}
        began = time.monotonic()
        subprocess.run([*command, "--of", "out.jsonl"], cwd=folder, env=environment, check=True)
        seconds = time.monotonic() - began
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        size = (folder / "r.html").stat().st_size
    print(
        f"{count:,} rows: {seconds:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of the CPU, "
        f"{usage.ru_maxrss >> 10} MiB, page {size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
