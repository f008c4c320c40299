"""Peak memory of whole runs, and what a resume of a finished run takes.

    python -m tests.bench.memory [ROWS ...]

Each run is a process of its own with an engine that answers at once, so that only qchat's part is
there: reading, custom_ids checked for duplicates, feeding, the journal. The rows are OpenAI batch
lines with a custom_id. The growth is that of the resident memory at its highest, from the first
number of rows to the last. The resume is the same command once more: it reads all results back;
the first pass over the input is kept where that is large.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import figures

ROWS = (1_000, 100_000, 1_000_000)


def write_rows(path: Path, count: int) -> None:
    """OpenAI batch lines, about 230 bytes each."""
    with path.open("w") as file:
        for n in range(count):
            body = {"model": "m", "messages": [{"role": "user", "content": f"question {n}?"}]}
            line = {"custom_id": f"row-{n:09}", "method": "POST", "body": body}
            file.write(json.dumps({**line, "url": "/v1/chat/completions"}) + "\n")


def run(path: Path) -> None:
    """One run in this process; prints what it took."""
    from qchat.batch import run as running
    from qchat.batch.engines.selection import EngineRequest
    from qchat.batch.inputs.row_defaults import RowDefaults
    from qchat.batch.job import BatchJob
    from qchat.batch.journal import journal
    from qchat.batch.journal.reload import Repairs

    from qchat.settings import load
    from tests.batch.echo import Echo, echoing

    loads: list[float] = []
    original = journal.Journal.load

    def load_timed(self: journal.Journal, *args: Any) -> Repairs:
        began = time.monotonic()
        repairs = original(self, *args)
        loads.append(time.monotonic() - began)
        return repairs

    journal.Journal.load = load_timed  # type: ignore[method-assign]
    engine = Echo()
    engine.window = 256
    began = time.monotonic()
    job = BatchJob((str(path),), None, RowDefaults(), EngineRequest(), quiet=True)
    with echoing(engine):
        code = running.run(job, load(), [])
    result = {
        "code": int(code),
        "seconds": time.monotonic() - began,
        "load": sum(loads),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


def measured(path: Path) -> dict[str, float]:
    """The same in a process of its own."""
    line = [sys.executable, "-m", "tests.bench.memory", "--run", str(path)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    assert result["code"] == 0, result
    return result


def main(counts: tuple[int, ...]) -> int:
    """Measure and print."""
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            path = Path(folder) / f"in{count}.jsonl"
            write_rows(path, count)
            first, again = measured(path), measured(path)
            peaks.append(max(first["peak"], again["peak"]))
            print(
                f"{count:>9,} rows: {count / first['seconds']:7,.0f} rows/s, "
                f"peak {first['peak']:.0f} MiB; again: {again['seconds']:.1f} s, of which "
                f"{again['load']:.1f} s for the results, peak {again['peak']:.0f} MiB",
                flush=True,
            )
    million = 1_000_000 / counts[-1]
    return figures.end(
        [
            figures.Figure(
                f"memory: {counts[-1]:,} rows over {counts[0]:,}",
                peaks[-1] - peaks[0],
                32,
                "MiB",
                less=True,
            ),
            figures.Figure(
                "resume: results of 1M rows", again["load"] * million, 5, "s", less=True
            ),
            figures.Figure(
                "resume: all of it, 1M rows", again["seconds"] * million, 5, "s", less=True
            ),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(Path(sys.argv[2]))
        sys.exit(0)
    sys.exit(main(tuple(map(int, sys.argv[1:])) or ROWS))
