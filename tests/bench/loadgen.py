"""`qchat bench` against vLLM's own `vllm bench serve`: the same prompts, at the same real server.

    python -m tests.bench.loadgen [ROUNDS] [SECONDS]

The server is the demo model's, started for this. Both clients ask it at the same time, each with
so many requests in flight, and both count what they sent within the same window, when the other
had long begun: so both meet the same server. (One after the other, two runs of the same client
were seen to differ by a tenth.) The median of the rounds' ratios counts. Answers are greedy and of
a given length, 8 to 120 tokens. The processor time is the clients' within the window.

TTFT is held against the truth: a layer in the server notes when it has a request and when it gives
the first part of the answer (`tests.bench.first_byte`). What a client says beyond that is its own
lateness, in sending or in reading: a step of vLLM's brings a chunk for every request at once, and a
client reads them one after the other. vLLM's is about twice as late as ours, so where that is a
part of TTFT that counts the two can't agree.

vLLM's side is its `main`, which stays for all rounds; changed are where the prompts come from, that
its tokenizer is loaded once, and that it counts what it sent within the window alone, and sends
nothing after it. The arithmetic is its own.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qchat import demo

from . import figures, first_byte
from .http import server
from .offline import bodies

TOKENS = 64
ROWS = 4000  # more than can be asked in a round
WARM_UP = 5.0
LOADS = (("completions", 8), ("completions", 16), ("chat", 8))
FIGURES = {  # ours: vLLM's
    "qps": "request_throughput",
    "output_tokens_per_second": "output_throughput",
    "ttft_ms.mean": "mean_ttft_ms",
    "ttft_ms.p50": "median_ttft_ms",
    "tpot_ms.mean": "mean_tpot_ms",
    "tpot_ms.p50": "median_tpot_ms",
    "itl_ms.mean": "mean_itl_ms",
    "latency_ms.mean": "mean_e2el_ms",
    "latency_ms.p50": "median_e2el_ms",
}
# In a chat vLLM takes the chunk that names the role for the first token; there what concerns the
# whole answer can be compared.
WHOLE = ("qps", "output_tokens_per_second", "latency_ms.mean")
TTFT = "ttft_ms.mean"
BEYOND = "ttft beyond the server's"
WITHIN = 3.0  # per cent


@contextmanager
def qchat(
    url: str, rows: Path, endpoint: str, concurrency: int, seconds: float
) -> Iterator["subprocess.Popen[str]"]:
    """Our client as a process, from the moment when it begins to warm up."""
    line = [sys.executable, "-m", "qchat", "bench", "--base-url", url, "--model", "demo"]
    line += ["--dataset", str(rows), "--endpoint", endpoint, "--concurrency", str(concurrency)]
    line += ["--warm-up", f"{WARM_UP}s", "--duration", f"{seconds}s", "--json", "-"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "at a time" not in (output := process.stderr.readline()):
            assert output, "qchat bench ended"
        yield process
    finally:
        process.kill()
        process.communicate()


def ours(process: "subprocess.Popen[str]") -> dict[str, float]:
    """The figures by our names, and `cpu`, in cores."""
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    (phase,) = json.loads(out)["phases"]
    results = {}
    for name in FIGURES:
        key, _dot, stat = name.partition(".")
        results[name] = phase[key][stat] if stat else phase[key]
    return {**results, "cpu": phase["client"]["cpu"]}


class Window:
    """What is changed in vLLM's client: it keeps to a window (of `time.perf_counter`)."""

    def __init__(self, serve: Any) -> None:
        self.begin = self.end = self.first = 0.0
        self.marks: list[tuple[float, float]] = []
        self._metrics = serve.calculate_metrics
        self._asks = dict(serve.ASYNC_REQUEST_FUNCS)
        serve.calculate_metrics = self.metrics
        for name in self._asks:
            serve.ASYNC_REQUEST_FUNCS[name] = self.asking(name)

    @property
    def cpu(self) -> float:
        """Cores taken within it."""
        (began, before), (ended, after) = self.marks[0], self.marks[-1]
        return (after - before) / (ended - began)

    def asking(self, name: str) -> Any:
        """A client's function that sends nothing after the window."""
        from vllm.benchmarks.lib.endpoint_request_func import RequestFuncOutput

        async def ask(*args: Any, **kwargs: Any) -> Any:
            now = time.perf_counter()
            self.first = self.first or now
            if self.begin <= now < self.end:
                self.marks.append((now, time.process_time()))
            if now > self.end + 1:
                return RequestFuncOutput()
            return await self._asks[name](*args, **kwargs)

        return ask

    def metrics(self, *, input_requests: Any, outputs: Any, dur_s: float, **more: Any) -> Any:
        """vLLM's own metrics of what was sent within it."""
        inside = [self.begin <= output.start_time < self.end for output in outputs]
        requests = [one for one, keep in zip(input_requests, inside, strict=True) if keep]
        selected_outputs = [one for one, keep in zip(outputs, inside, strict=True) if keep]
        assert self.first < self.begin - 0.5, "it began too late"
        assert all(output.success for output in selected_outputs)
        seconds = self.end - self.begin
        return self._metrics(
            input_requests=requests, outputs=selected_outputs, dur_s=seconds, **more
        )


def vllm_rounds(url: str, rows: str) -> None:
    """vLLM's client: for each line on stdin (endpoint, concurrency, begin, end) its figures."""
    from vllm.benchmarks import serve
    from vllm.benchmarks.datasets import SampleRequest
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    samples = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    window = Window(serve)
    serve.get_samples = lambda *_args: [
        SampleRequest(prompt=row["prompt"], prompt_len=1, expected_output_len=row["max_tokens"])
        for row in samples
    ]
    tokenizer = serve.get_tokenizer(str(demo.path()))
    serve.get_tokenizer = lambda *_args, **_more: tokenizer
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    print("ROUND {}", flush=True)
    for line in sys.stdin:
        endpoint, concurrency, window.begin, window.end = json.loads(line)
        window.first, window.marks = 0.0, []
        path = "/v1/chat/completions" if endpoint == "chat" else "/v1/completions"
        args = parser.parse_args(
            [
                *("--base-url", url, "--endpoint", path, "--model", "demo"),
                *("--backend", "openai-chat" if endpoint == "chat" else "openai"),
                *("--tokenizer", str(demo.path()), "--max-concurrency", str(concurrency)),
                *("--temperature", "0", "--ignore-eos", "--disable-tqdm"),
                *("--dataset-name", "custom", "--dataset-path", rows),
                *("--percentile-metrics", "ttft,tpot,itl,e2el"),
            ]
        )
        result = asyncio.run(serve.main_async(args))
        results = {ours: result[theirs] for ours, theirs in FIGURES.items()}
        print("ROUND " + json.dumps({**results, "cpu": window.cpu}), flush=True)


@contextmanager
def vllm_side(url: str, rows: Path, log: Path) -> Iterator["subprocess.Popen[str]"]:
    """vLLM's client as a process."""
    line = [sys.executable, "-m", "tests.bench.loadgen", "vllm", url, str(rows)]
    with log.open("w") as log_file:
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, text=True
        )
        try:
            yield process
        finally:
            if process.poll() is not None:
                print(log.read_text()[-2000:], file=sys.stderr)
            process.kill()
            process.wait()


def theirs(process: "subprocess.Popen[str]", *what: object) -> dict[str, float]:
    """A round of vLLM's client."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()
    return read_round(process)


def read_round(process: "subprocess.Popen[str]") -> dict[str, float]:
    """What it says next."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ROUND "):
            results: dict[str, float] = json.loads(line.removeprefix("ROUND "))
            return results
    process.wait()
    raise SystemExit("vllm bench serve ended")


def main(rounds: int, seconds: int) -> int:
    """Measure and print."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "in.jsonl"
        with rows.open("w") as file:
            for body in bodies("demo", ROWS, TOKENS, ragged=True):
                row = {"prompt": body["messages"][0]["content"], "max_tokens": body["max_tokens"]}
                file.write(json.dumps({**row, "temperature": 0, "ignore_eos": True}) + "\n")
        noted = Path(name) / "first"
        noting = {first_byte.VARIABLE: str(noted)}
        with (
            server(Path(name) / "vllm.log", "--middleware", first_byte.LAYER, **noting) as url,
            vllm_side(url, rows, Path(name) / "bench.log") as process,
        ):
            read_round(process)  # that it has imported all of vLLM
            for endpoint, concurrency in LOADS:
                pairs = []
                for _round in range(rounds):
                    with qchat(url, rows, endpoint, concurrency, seconds) as own:
                        begin = time.perf_counter() + WARM_UP
                        other = theirs(process, endpoint, concurrency, begin, begin + seconds)
                        pair = (ours(own), other)
                        if endpoint == "completions":  # a chat's first part has no token in it
                            seen = first_byte.seconds(noted, begin, begin + seconds)
                            for side, server_seconds in zip(pair, seen, strict=True):
                                side[BEYOND] = side[TTFT] - 1000 * statistics.fmean(server_seconds)
                        pairs.append(pair)
                results += compare(f"{endpoint}, {concurrency} at a time each", pairs)
    return figures.end(results)


def compare(
    load: str, pairs: list[tuple[dict[str, float], dict[str, float]]]
) -> list[figures.Figure]:
    """The figures of a load."""
    print(f"{load}: median of {len(pairs)} rounds, qchat over vllm bench serve", flush=True)
    ratio = {
        name: statistics.median(own[name] / other[name] for own, other in pairs)
        for name in pairs[0][0]
    }
    for name, value in ratio.items():
        ours = statistics.median(own[name] for own, _other in pairs)
        theirs = statistics.median(other[name] for _own, other in pairs)
        print(f"  {name:26} {value:.3f}   ({ours:.2f} : {theirs:.2f})", flush=True)
    # Medians of a hundred requests swing; they are printed only. TTFT has a figure of its own.
    means = [name for name in FIGURES if not name.endswith("p50") and name != TTFT]
    chat = load.startswith("chat")
    most = max(
        (name for name in means if not chat or name in WHOLE), key=lambda name: abs(ratio[name] - 1)
    )
    results = [
        figures.Figure(
            f"bench: largest difference to vLLM's, {load} ({most})",
            100 * abs(ratio[most] - 1),
            WITHIN,
            unit="%",
            less=True,
        ),
        figures.Figure(f"bench: client CPU over vLLM's, {load}", ratio["cpu"], 1.0, less=True),
    ]
    if BEYOND in ratio:
        text = f"bench: lateness in TTFT over vLLM's, {load}"
        results.append(figures.Figure(text, abs(ratio[BEYOND]), 1.0, less=True))
    return results


if __name__ == "__main__":
    if sys.argv[1:2] == ["vllm"]:
        vllm_rounds(*sys.argv[2:])
        sys.exit(0)
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(numbers + [4, 10][len(numbers) :])))
