"""Client CPU per request: `qchat batch` against a bare aiohttp loop, at a server that answers at
once.

    python -m tests.bench.client [ROWS]

Whole processes; what a run of one row costs is taken off, so that start-up does not count. The
server is that of tests/faults in a process of its own. Medians of alternating rounds.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from . import figures

ROUNDS = 5
CONCURRENCY = 64


def seconds_of(line: list[str]) -> float:
    """CPU seconds of a command, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def write_rows(path: Path, count: int) -> None:
    """OpenAI batch lines with a prompt of about 200 characters."""
    with path.open("w") as file:
        for n in range(count):
            text = f"question {n} " + "word " * 40
            body = {"model": "demo", "messages": [{"role": "user", "content": text}]}
            line = {"custom_id": f"r{n}", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")


def commands(url: str, folder: Path, count: int) -> dict[str, list[str]]:
    """The two clients over the first so many rows."""
    python = [sys.executable, "-m"]
    rows = folder / f"{count}.jsonl"
    if not rows.exists():
        write_rows(rows, count)
    fixed = str(CONCURRENCY)
    ours = [*python, "qchat", "batch", str(rows), "-o", str(folder / "out.jsonl"), "--restart"]
    return {
        "aiohttp": [
            *(*python, "tests.bench.loops", "aiohttp", url, str(rows)),
            *(str(folder / "loop.jsonl"), fixed),
        ],
        "qchat": [*ours, "--base-url", url, "--concurrency", fixed, "--quiet"],
        "qchat auto": [*ours, "--base-url", url, "--quiet"],
    }


def main(count: int) -> int:
    """Measure and print."""
    spent: dict[str, list[float]] = {}
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.faults", "--port", "0", "--keep", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip().removesuffix("/v1")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for _round in range(ROUNDS):
                few, many = commands(url, folder, 1), commands(url, folder, count)
                for who in many:
                    cost = (seconds_of(many[who]) - seconds_of(few[who])) / (count - 1)
                    spent.setdefault(who, []).append(cost * 1000)
    finally:
        server.terminate()
        server.wait(20)
    medians = {who: statistics.median(costs) for who, costs in spent.items()}
    for who, cost in medians.items():
        print(f"{who:12} {cost:.3f} ms of CPU per request")
    return figures.end(
        [
            figures.Figure(
                "client CPU per request over bare aiohttp",
                medians["qchat"] / medians["aiohttp"],
                2,
                less=True,
            ),
            figures.Figure("client CPU per request", medians["qchat"], 0.5, "ms", less=True),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000))
