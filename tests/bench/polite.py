"""What live requests feel of a batch beside them: `qchat batch --low-priority`.

    python -m tests.bench.polite [ROUNDS] [SECONDS] [N] [plain|impolite] [URL]

A server with the demo model, behind the access layer of `qchat serve`, or the one at URL. Four
clients ask it for streamed answers of 64 tokens, each as soon as it has its last one; in turn
without a batch and beside one that has been running alone before. The figure is the median, over
the rounds, of the p95 time to first token beside the batch over that without. The first request
of each client meets a batch that has all places; in rounds of 10 seconds these four are 7% of all,
and the p95 is theirs. `plain` is a vLLM without the access layer, whose live requests the batch
tells by vLLM's own metrics; `impolite` a batch that does not yield. Without N the batch measures
its number in each round, before it runs alone. The rows a second, beside live requests and alone,
are printed.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from qchat.serve.access.access_rules import VARIABLE, AccessRules

from . import figures
from .http import server

AT_A_TIME = 4
TOKENS = 64
ROW_TOKENS = 100
WARM_UP = 5.0  # seconds that the batch runs alone before each round
MOST = 1.3
WINDOW = 64

PROMPTS = ("Hello", "Who are you?", "What can you do?", "你好", "What is vLLM?")


def request(prompt: str, tokens: int) -> dict[str, Any]:
    """A body whose answer has so many tokens."""
    return {
        "model": "demo",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
    }


async def live(url: str, seconds: float) -> list[float]:
    """The times to the first token of `AT_A_TIME` clients that ask for so long."""
    times: list[float] = []
    end = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:

        async def ask(number: int) -> None:
            count = number
            while time.monotonic() < end:
                body = {**request(PROMPTS[count % len(PROMPTS)], TOKENS), "stream": True}
                count += 1
                started = time.monotonic()
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    assert response.status == 200
                    is_first = True
                    async for line in response.content:
                        # vLLM's first event has the role alone, and comes before any token.
                        if is_first and b'"content":"' in line and b'"content":""' not in line:
                            times.append(time.monotonic() - started)
                            is_first = False

        await asyncio.gather(*(ask(number) for number in range(AT_A_TIME)))
    return times


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20)[-1]


class Batch:
    """A batch in a process of its own, which a later one resumes."""

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        self._folder = folder
        self._url = url
        self._options = options
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "Batch":
        line = [sys.executable, "-m", "qchat", "batch", str(self._folder / "in.jsonl")]
        line += ["--base-url", self._url, "--progress", "json", "--concurrency", str(WINDOW)]
        self._log = (self._folder / "batch.log").open("w+")
        self._process = subprocess.Popen([*line, *self._options], stderr=self._log)
        self._wait_until_full()
        time.sleep(WARM_UP)
        return self

    def _wait_until_full(self) -> None:
        deadline = time.monotonic() + 60
        while not any(map(_is_full, self._events())):
            assert time.monotonic() < deadline and self._process.poll() is None, self._text()
            time.sleep(0.2)

    def _text(self) -> str:
        return Path(self._log.name).read_text()

    def _events(self) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self._text().splitlines() if line.endswith("}")]
        return [event for event in events if event.get("servers")]

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self.events = self._events()
        self._log.close()

    def rates(self) -> tuple[float, float]:
        """Rows a second beside live requests, and alone with all places."""
        last, full = self.events[-1], next(filter(_is_full, self.events))
        state = last["servers"][0].get("yielding")
        answered = last["servers"][0]["answered"] - full["servers"][0]["answered"]
        seconds = last["seconds"] - full["seconds"]
        if state is None:
            return answered / seconds, answered / seconds
        beside = state["answered_beside"] / max(state["live_seconds"], 1e-9)
        rest = max(seconds - state["live_seconds"], 1e-9)
        return beside, (answered - state["answered_beside"]) / rest


def _is_full(event: dict[str, Any]) -> bool:
    return bool(event["servers"][0]["in_flight"] >= WINDOW / 2)


def main(rounds: int, seconds: float, allowed: int | None, *kinds: str) -> int:
    """Measure and print."""
    ratios: list[float] = []
    option = [] if "impolite" in kinds else ["--low-priority"]
    option = [f"--low-priority={allowed}"] if option and allowed else option
    rules = {} if "plain" in kinds else {VARIABLE: AccessRules(loopback=True).to_variable()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "in.jsonl").open("w") as file:
            for number in range(50_000):
                row = request(f"{PROMPTS[number % len(PROMPTS)]} {number}", ROW_TOKENS)
                file.write(json.dumps({**row, "model": None}).replace('"model": null, ', "") + "\n")
        urls = [kind for kind in kinds if kind.startswith("http")]
        with (
            contextlib.nullcontext(urls[0]) if urls else server(folder / "vllm.log", **rules) as url
        ):
            asyncio.run(live(url, 3))
            for number in range(rounds):
                alone = asyncio.run(live(url, seconds))
                with Batch(folder, url, *option) as batch:
                    beside = asyncio.run(live(url, seconds))
                ratios.append(p95(beside) / p95(alone))
                slow, fast = batch.rates()
                yielding = batch.events[-1]["servers"][0].get("yielding")
                held = "" if yielding is None else f", {yielding['allowed']} in flight beside"
                print(
                    f"round {number + 1}{held}: p95 TTFT {1e3 * p95(alone):.0f} ms without, "
                    f"{1e3 * p95(beside):.0f} ms beside ({ratios[-1]:.2f}); median "
                    f"{1e3 * statistics.median(alone):.0f} and "
                    f"{1e3 * statistics.median(beside):.0f} ms; {len(alone)} and {len(beside)} "
                    f"answers; batch {slow:.1f} rows/s beside, {fast:.1f} alone",
                    flush=True,
                )
    name = f"polite batch: p95 TTFT of live requests over without, median of {rounds}"
    return figures.end([figures.Figure(name, statistics.median(ratios), MOST, less=True)])


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    words = [word for word in sys.argv[1:] if not word.isdecimal()]
    rounds_, seconds_, allowed_ = numbers + [5, 30, 0][len(numbers) :]
    sys.exit(main(rounds_, seconds_, allowed_ or None, *words))
