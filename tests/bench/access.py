"""What the access layer of `qchat serve` costs, with a key, against the same vLLM without it.

    python -m tests.bench.access [ROUNDS] [ROWS]

Two servers with the demo model stand side by side, one behind the layer. The same aiohttp loop asks
them in turn for answers of 32 tokens; the median of the rounds' ratios counts. On a small machine
such rates swing by more than the layer could cost, so its cost is also taken alone: the layer in
this process around an application that does nothing, in processor time per request, against what
vLLM's API server (the one process that the layer is in) took per request meanwhile.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qchat.serve.access.access_rules import VARIABLE, AccessRules
from qchat.serve.access.keys import generate
from qchat.serve.access.layer import Access
from qchat.serve.processes import ports

from qchat.processes import process_family

from . import figures
from .http import loop, server
from .whole import write_rows

AT_A_TIME = 64
TIMES = 20_000
REPEATS = 7
MOST = 2.0  # per cent


def layer(app: Any, folder: Path, keys: list[str]) -> Access:
    """The layer around `app` with a file of keys."""
    file = folder / f"keys-{len(keys)}"
    file.write_text("".join(f"user{n} {key}\n" for n, key in enumerate(keys)))
    file.chmod(0o600)
    return Access(app, rules(file), {})


def rules(file: Path) -> AccessRules:
    """Those of `qchat serve --api-key-file`."""
    return AccessRules(loopback=True, key_file=str(file))


async def application(_scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers nothing."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def seconds(app: Any, key: str) -> float:
    """Processor time of one request to `app`, with the headers of aiohttp."""
    body = b"{}"
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1:8000"),
            (b"authorization", f"Bearer {key}".encode()),
            (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip, deflate"),
            (b"user-agent", b"Python/3.11 aiohttp/3.11"),
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ],
    }
    statuses = set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        statuses.add(message.get("status"))

    began = time.process_time()
    for _n in range(TIMES):
        await app(scope, receive, send)
    spent = time.process_time() - began
    assert statuses == {200, None}
    return spent / TIMES


def alone(folder: Path, count: int) -> float:
    """Seconds that the layer adds to a request, with so many keys; the last one is given."""
    keys = [generate() for _n in range(count)]
    guarded = layer(application, folder, keys)

    async def difference() -> float:
        return await seconds(guarded, keys[-1]) - await seconds(application, keys[-1])

    return statistics.median(asyncio.run(difference()) for _n in range(REPEATS))


def processor_seconds(pids: list[int]) -> float:
    """What processes have taken, user and system."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Spent:
    """The processor time of a server: its API process, and all of it."""

    def __init__(self, url: str) -> None:
        listener = ports.listener(int(url.rpartition(":")[2]))
        assert listener is not None
        self._sets = [listener.pid], process_family([listener.pid])
        self.api = self.whole = 0.0

    def begin(self) -> None:
        """Count from here."""
        self._before = [processor_seconds(pids) for pids in self._sets]

    def end(self) -> None:
        """Count until here."""
        now = [processor_seconds(pids) for pids in self._sets]
        self.api += now[0] - self._before[0]
        self.whole += now[1] - self._before[1]


def main(rounds: int, count: int) -> int:
    """Measure and print."""
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, hundred = alone(folder, 1), alone(folder, 100)
        print(f"the layer alone: {one * 1e6:.1f} µs a request, {hundred * 1e6:.1f} with 100 keys")
        rows, file = folder / "in.jsonl", folder / "keys-1"
        write_rows(rows, count, "demo")
        os.environ["QCHAT_BENCH_KEY"] = file.read_text().split()[1]
        with (
            server(folder / "guarded.log", **{VARIABLE: rules(file).to_variable()}) as guarded,
            server(folder / "plain.log") as plain,
        ):
            spent = Spent(plain)
            for number in range(rounds + 1):
                rates: dict[str, float] = {}
                for url in (guarded, plain) if number % 2 else (plain, guarded):
                    if url == plain and number:
                        spent.begin()
                    rates[url] = loop("aiohttp", url, rows, AT_A_TIME)
                    if url == plain and number:
                        spent.end()
                if number:  # a server's first answers are slow
                    ratios.append(rates[guarded] / rates[plain])
                    text = ", ".join(f"{rates[url]:.1f}" for url in (guarded, plain))
                    print(f"round {number}: {text} rows/s, ratio {ratios[-1]:.3f}", flush=True)
            api, whole = (s / (rounds * count) for s in (spent.api, spent.whole))
    print(f"vLLM: {api * 1e3:.2f} ms a request in its API server, {whole * 1e3:.2f} in all of it")
    print(f"the layer is {100 * one / whole:.2f}% of all")
    return figures.end(
        [
            figures.Figure(
                f"access layer: throughput over vLLM's without, median of {rounds}",
                statistics.median(ratios),
                1 - MOST / 100,
            ),
            figures.Figure(
                "access layer: its processor time, of that of vLLM's API server",
                100 * one / api,
                MOST,
                unit="%",
                less=True,
            ),
        ]
    )


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(numbers + [8, 1500][len(numbers) :])))
