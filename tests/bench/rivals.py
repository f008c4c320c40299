"""`qchat bench` beside `vllm bench serve` and GuideLLM, each as it is, at an equal load.

    QCHAT_TEST_CLIENTS=DIR python -m tests.bench.rivals [ROUNDS] [REQUESTS] [LOAD ...]

The server is the demo model's, started for this. All ask for completions: random prompts of 64
tokens and answers of 32, so many requests, in a closed loop or at a constant rate. They run one
after the other, in turn another one first, and the median of the rounds' ratios counts. Two runs of
the same client differ, and on a busy machine by more than the target, so `qchat bench` runs twice
in a round: its ratio to itself says what the other ratios are worth. Unlike `tests.bench.loadgen`,
nothing of the others is changed. GuideLLM stands in the environment that QCHAT_TEST_CLIENTS names
(`requirements/clients.txt`); without it, it is left out.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qchat import demo

from . import figures
from .http import server

INPUT, OUTPUT = 64, 32
LOADS = ("4 at a time", "2 a second")
WITHIN = 3.0  # per cent
NAMES = ("qps", "tokens/s", "ttft", "tpot", "latency")  # means; times in milliseconds
COMPARED = ("qps", "tokens/s", "latency")

Figures = dict[str, float]


def run(line: list[str], folder: Path) -> None:
    """Run a client, quietly."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "QCHAT_HOME": str(folder)}
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, env=environ)
    if done.returncode not in ((0, 1) if "qchat" in line else (0,)):  # 1: the client was late
        raise SystemExit(f"{line[:4]} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")


def qchat(url: str, load: str, requests: int, folder: Path) -> Figures:
    """Our figures."""
    number, _space, kind = load.partition(" ")
    options = ["--rate", number, "--burstiness", "inf"]
    if kind == "at a time":
        options = ["--concurrency", number]
    line = [sys.executable, "-m", "qchat", "bench", "--base-url", url, "--endpoint", "completions"]
    line += ["--input-len", str(INPUT), "--output-len", str(OUTPUT), "--temperature", "0"]
    line += ["--requests", str(requests), "--warm-up", "0", "--json", str(folder / "a.json")]
    run([*line, *options], folder)
    (phase,) = json.loads((folder / "a.json").read_text())["phases"]
    assert phase["answered"] == requests, phase["errors"]
    times = (phase[f"{name}_ms"]["mean"] for name in ("ttft", "tpot", "latency"))
    values = (phase["qps"], phase["output_tokens_per_second"], *times)
    return dict(zip(NAMES, values, strict=True))


def vllm_client() -> None:
    """Runs `vllm bench serve` for each line on stdin, a list of its arguments; it is imported once.

    Its entry point proper needs the metadata of a package `vllm`, which a build of one's own lacks.
    """
    from vllm.benchmarks import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    print("READY", flush=True)
    for line in sys.stdin:
        asyncio.run(serve.main_async(parser.parse_args(json.loads(line))))
        print("READY", flush=True)


class Vllm:
    """`vllm bench serve`, as a process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._wait()

    def _wait(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "READY\n":
                return
        raise SystemExit("vllm bench serve ended")

    def __call__(self, url: str, load: str, requests: int, folder: Path) -> Figures:
        """Its figures."""
        number, _space, kind = load.partition(" ")
        line = ["--request-rate", number, "--burstiness", "inf"]
        if kind == "at a time":
            line = ["--max-concurrency", number]
        line += ["--base-url", url, "--dataset-name", "random", "--disable-tqdm", "--save-result"]
        line += ["--model", "demo", "--tokenizer", str(demo.path()), "--ignore-eos"]
        line += ["--random-input-len", str(INPUT), "--random-output-len", str(OUTPUT)]
        line += ["--num-prompts", str(requests), "--temperature", "0"]
        line += ["--percentile-metrics", "ttft,tpot,itl,e2el"]
        line += ["--result-dir", str(folder), "--result-filename", "v.json"]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        self._wait()
        result: dict[str, Any] = json.loads((folder / "v.json").read_text())
        assert result["completed"] == requests
        names = ("request_throughput", "output_throughput", "mean_ttft_ms", "mean_tpot_ms")
        values = (result[name] for name in (*names, "mean_e2el_ms"))
        return dict(zip(NAMES, values, strict=True))


@contextmanager
def vllm_process(log: Path) -> Iterator[Vllm]:
    """Start it, and end it."""
    line = [sys.executable, "-m", "tests.bench.rivals", "vllm"]
    with (
        log.open("w") as log_file,
        subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, text=True
        ) as process,
    ):
        try:
            yield Vllm(process)
        finally:
            if process.poll() is not None:
                print(log.read_text()[-2000:], file=sys.stderr)
            process.kill()


def guidellm(python: Path, url: str, load: str, requests: int, folder: Path) -> Figures:
    """Those of GuideLLM."""
    number, _space, kind = load.partition(" ")
    profile = f"kind=constant,rate={number}"
    if kind == "at a time":
        profile = f"kind=concurrent,streams={number}"
    data = f"kind=synthetic_text,prompt_tokens={INPUT},output_tokens={OUTPUT}"
    backend = f"kind=openai_http,target={url},model=demo,request_format=/v1/completions"
    file = folder / "g.json"
    line = [str(python.with_name("guidellm")), "run", "--disable-console", "--profile", profile]
    line += ["--backend", backend, "--data", data, "--output", f"kind=json,path={file}"]
    line += ["--tokenizer", f"kind=hf_auto,model={demo.path()}"]
    run([*line, "--constraint", f"kind=max_requests,count={requests}"], folder)
    (one,) = json.loads(file.read_text())["benchmarks"]
    metrics = one["metrics"]
    totals = metrics["request_totals"]  # it may leave out one at the edge of its window
    assert requests - 2 <= totals["successful"] and not totals["errored"], totals

    def mean(name: str) -> float:
        return float(metrics[name]["successful"]["mean"])

    # Its inter-token latency is the mean of a request, the others' time per output token.
    values = (mean("requests_per_second"), mean("output_tokens_per_second"))
    times = (mean("time_to_first_token_ms"), mean("inter_token_latency_ms"))
    return dict(zip(NAMES, (*values, *times, 1000 * mean("request_latency")), strict=True))


def main(rounds: int, requests: int, loads: tuple[str, ...]) -> int:
    """Measure and print."""
    clients: dict[str, Callable[[str, str, int, Path], Figures]] = {"qchat": qchat}
    folder = os.environ.get("QCHAT_TEST_CLIENTS")
    if folder and (python := Path(folder) / "bin/python").with_name("guidellm").exists():
        clients["guidellm"] = lambda *args: guidellm(python, *args)
    else:
        print("QCHAT_TEST_CLIENTS names no environment with guidellm: it is left out", flush=True)
    results = list[figures.Figure]()
    with (
        tempfile.TemporaryDirectory() as name,
        server(Path(name) / "vllm.log") as url,
        vllm_process(Path(name) / "bench.log") as vllm,
    ):
        clients |= {"vllm": vllm, "qchat again": qchat}
        for load in loads:
            clients["qchat"](url, load, max(requests // 4, 4), Path(name))  # warms the server
            taken: dict[str, list[Figures]] = {who: [] for who in clients}
            for number in range(rounds):
                order = list(clients)
                turn = number % len(order)
                for who in order[turn:] + order[:turn]:
                    taken[who].append(clients[who](url, load, requests, Path(name)))
                    values = ", ".join(f"{k} {v:.4g}" for k, v in taken[who][-1].items())
                    print(f"  {load}, round {number + 1}, {who:12} {values}", flush=True)
            results += compare(load, taken)
    return figures.end(results)


def compare(load: str, taken: dict[str, list[Figures]]) -> list[figures.Figure]:
    """The median ratios of a load, ours over the others'."""
    results = []
    for who in list(taken)[1:]:
        ratio = {
            name: statistics.median(
                a[name] / b[name] for a, b in zip(taken["qchat"], taken[who], strict=True)
            )
            for name in NAMES
        }
        text = ", ".join(f"{name} {value:.3f}" for name, value in ratio.items())
        print(f"{load}: qchat over {who}, median of {len(taken[who])}: {text}", flush=True)
        most = max(COMPARED, key=lambda name: abs(ratio[name] - 1))
        difference = 100 * abs(ratio[most] - 1)
        text = f"bench: difference to {who}, {load} ({most})"
        results.append(figures.Figure(text, difference, WITHIN, unit="%", less=True))
    return results


if __name__ == "__main__":
    if sys.argv[1:2] == ["vllm"]:
        vllm_client()
        sys.exit(0)
    numbers = [int(word) for word in sys.argv[1:3]]
    rounds, requests = numbers + [5, 150][len(numbers) :]
    sys.exit(main(rounds, requests, tuple(sys.argv[3:]) or LOADS))
