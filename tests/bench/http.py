"""Through a real vLLM server: qchat against a bare aiohttp loop, against `asyncio.gather` over the
openai SDK, and `--concurrency auto` against the best of several fixed numbers.

    python -m tests.bench.http [ROUNDS] [ROWS]

The server is the demo model's (`python -m qchat.serve.launcher`), started for this. All clients are
processes of their own and ask the same rows of 32 tokens; a rate counts from the first request to
the last answer written. The SDK gets fewer rows, since it was
seen to stall, and no figure: its rate is printed. A sweep finds the best fixed number first; the
rounds then put that, `auto` and the loop side by side, and the median of their ratios counts. With
fewer rows the end counts, where steps are not full: some 30 of 550 in 2,000 rows.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import figures
from .whole import write_rows

FIXED = (32, 64, 128, 256, 512)
SIDE_BY_SIDE = 256
SDK_ROWS = 300
SWEEP_ROWS = 1200


def free_port() -> int:
    """A port that no socket is bound to at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(log: Path, *options: str, **environ: str) -> Iterator[str]:
    """Run the demo model's server; yields its base URL. `options` are vLLM's, `environ` variables
    for it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    line = [sys.executable, "-m", "qchat.serve.launcher", "--model", "demo"]
    line += ["--port", str(port), "--parent-pid", str(os.getpid())]
    line += ["--", *options] if options else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            line,
            env={**os.environ, **environ},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + 240
        while True:
            try:
                opener.open(f"{url}/health", timeout=2).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(
                        f"the server did not start:\n{log.read_text()[-2000:]}"
                    ) from None
                time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def qchat(url: str, rows: Path, concurrency: str) -> float:
    """Rows a second of `qchat batch`."""
    out = rows.with_name("qchat.jsonl")
    line = [sys.executable, "-m", "qchat", "batch", str(rows), "-o", str(out), "--restart"]
    line += ["--base-url", url, "--concurrency", concurrency, "--progress", "json"]
    done = subprocess.run(line, stderr=subprocess.PIPE, text=True, check=True)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    (summary,) = (event for event in events if event["event"] == "summary")
    if concurrency == "auto":
        windows = [e["servers"][0]["window"] for e in events if e["event"] == "progress"]
        print(f"  auto went through {list(dict.fromkeys(windows))}", flush=True)
    return float(summary["rows_per_second"])


def loop(name: str, url: str, rows: Path, concurrency: int) -> float:
    """Rows a second of one of `tests.bench.loops`."""
    out = rows.with_name("loop.jsonl")
    line = [sys.executable, "-m", "tests.bench.loops", name, url, str(rows), str(out)]
    done = subprocess.run(
        [*line, str(concurrency)], stdout=subprocess.PIPE, text=True, check=True, timeout=900
    )
    return float(json.loads(done.stdout)["rows_per_second"])


def main(rounds: int, count: int) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, server(Path(name) / "vllm.log") as url:
        few, some, rows = (Path(name) / f"{n}.jsonl" for n in (SDK_ROWS, SWEEP_ROWS, "all"))
        for path, n in ((few, SDK_ROWS), (some, SWEEP_ROWS), (rows, count)):
            write_rows(path, n, "demo")
        qchat(url, few, "64")  # a server's first answers are slow
        print("sweep")
        sweep = {n: _report(f"qchat {n}", qchat(url, some, str(n))) for n in FIXED}
        best = max(sweep, key=lambda n: sweep[n])
        clients = {
            "aiohttp": lambda: loop("aiohttp", url, rows, SIDE_BY_SIDE),
            **{
                f"qchat {n}": lambda n=n: qchat(url, rows, str(n))
                for n in sorted({SIDE_BY_SIDE, best})
            },
            "qchat auto": lambda: qchat(url, rows, "auto"),
        }
        rates: dict[str, list[float]] = {who: [] for who in clients}
        for number in range(1, rounds + 1):
            print(f"round {number}")
            for who in list(clients)[:: 1 if number % 2 else -1]:
                rates[who].append(_report(who, clients[who]()))
        _report("openai SDK", loop("openai", url, few, 64))

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True))

    return figures.end(
        [
            figures.Figure(
                f"http over bare aiohttp, {SIDE_BY_SIDE} at a time, median of {rounds}",
                ratio(f"qchat {SIDE_BY_SIDE}", "aiohttp"),
                0.97,
            ),
            figures.Figure(
                f"auto over the best fixed ({best})", ratio("qchat auto", f"qchat {best}"), 0.97
            ),
        ]
    )


def _report(who: str, rate: float) -> float:
    print(f"  {who:14} {rate:6.1f} rows/s", flush=True)
    return rate


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(numbers + [5, 4000][len(numbers) :])))
