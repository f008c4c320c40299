"""`--concurrency auto` against fixed numbers, at servers that limit the rate of requests.

    python -m tests.bench.limits [ROWS]

Three limiters: a token bucket, one that refuses half of all requests at random, and none; each
answers after a fixed latency, and asks for a second of patience with a 429. Every run is a whole
`qchat batch`; what counts are its rows a second while rows are asked, against those of the best
fixed number.
"""

import asyncio
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import web

from . import figures

ROWS = 2000
FIXED = (16, 64, 256)
LEAST = 0.9


@dataclass(frozen=True)
class Limiter:
    """`per_second` requests are let through (None: all), after a burst of so many; of these a
    `share` is refused at random. An answer takes `latency` seconds, the next of `slots`."""

    name: str
    per_second: float | None = None
    share: float = 0.0
    latency: float = 0.2


LIMITERS = (
    Limiter("token bucket", per_second=100),
    Limiter("half refused at random", share=0.5),
    Limiter("no limit"),
)


def serve(limiter: Limiter, ready: Connection) -> None:
    """Serve until killed; sends the port."""
    rate = limiter.per_second
    state = {"tokens": rate or 0.0, "at": time.monotonic()}
    chance = random.Random(7)

    def refuses() -> bool:
        if rate is not None:
            now = time.monotonic()
            state["tokens"] = min(rate, state["tokens"] + (now - state["at"]) * rate)
            state["at"] = now
            if state["tokens"] < 1:
                return True
            state["tokens"] -= 1
        return chance.random() < limiter.share

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        if refuses():
            error = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
            return web.json_response(error, status=429, headers={"Retry-After": "1"})
        await asyncio.sleep(limiter.latency)
        message = {"role": "assistant", "content": "ok"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        return web.json_response({"model": "m", "choices": [choice], "usage": usage})

    async def models(_request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "m"}]})

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def running(limiter: Limiter) -> Iterator[str]:
    """Yield the address of a server of its own process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(limiter, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def rows_per_second(folder: Path, url: str, concurrency: str) -> float:
    """Run one batch; raises where it does not answer all."""
    line = [sys.executable, "-m", "qchat", "batch", "in.jsonl", "--base-url", url, "--restart"]
    line += ["--concurrency", concurrency, "--progress", "json"]
    environ = {**os.environ, "QCHAT_HOME": str(folder / "home")}
    done = subprocess.run(line, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    events = [json.loads(text) for text in done.stderr.splitlines()]
    last = next(event for event in events if event["event"] == "summary")
    assert last["answered"] == last["total"]
    return float(last["rows_per_second"])


def main(rows: int) -> int:
    """Measure all limiters; 1 where one missed its target."""
    results: list[figures.Figure] = []
    for limiter in LIMITERS:
        with tempfile.TemporaryDirectory() as name, running(limiter) as url:
            folder = Path(name)
            text = "".join(f'{{"prompt": "row {n}"}}\n' for n in range(rows))
            (folder / "in.jsonl").write_text(text)
            rates = {
                number: rows_per_second(folder, url, number)
                for number in ("auto", *map(str, FIXED))
            }
        best = max(rate for number, rate in rates.items() if number != "auto")
        print(f"{limiter.name}: " + ", ".join(f"{n} {rate:.0f}/s" for n, rate in rates.items()))
        ratio = rates["auto"] / best
        results.append(
            figures.Figure(f"auto against the best number: {limiter.name}", ratio, LEAST)
        )
    return figures.end(results)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
