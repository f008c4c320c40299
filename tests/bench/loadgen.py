"""`qchat bench` against vLLM's own `vllm bench serve`: the same prompts, at the same real server.

    python -m tests.bench.loadgen [ROUNDS] [REQUESTS]

The server is the demo model's, started for this. A round is the same requests once by each client,
in turns of who begins; the median of the rounds' ratios counts. All answers are greedy and have
the same length. The processor time is the client's from the first request to the last
answer. vLLM's side is its `main` with three changes: the prompts are those of the file, two marks
take the time, and the process stays for all rounds.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qchat import demo

from . import figures
from .http import server
from .offline import bodies

TOKENS = 64
LOADS = (("completions", 8), ("completions", 32), ("chat", 8))
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
WHOLE = ("qps", "output_tokens_per_second", "latency_ms.mean", "latency_ms.p50")
WITHIN = 3.0  # per cent


def qchat(url: str, rows: Path, endpoint: str, concurrency: int, count: int) -> dict[str, float]:
    """The figures by our names, and `cpu`, seconds."""
    line = [sys.executable, "-m", "qchat", "bench", "--base-url", url, "--model", "demo"]
    line += ["--dataset", str(rows), "--endpoint", endpoint, "--concurrency", str(concurrency)]
    line += ["--requests", str(count), "--warm-up", "0s", "--output-len", str(TOKENS)]
    line += ["--temperature", "0", "--json", "-"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (phase,) = json.loads(done.stdout)["phases"]
    found = {}
    for name in FIGURES:
        key, _dot, stat = name.partition(".")
        found[name] = phase[key][stat] if stat else phase[key]
    return {**found, "cpu": phase["client"]["cpu"] * phase["seconds"]}


def vllm_rounds(url: str, rows: str) -> None:
    """vLLM's client: for each line on stdin (endpoint, concurrency, count) its figures."""
    from vllm.benchmarks import serve
    from vllm.benchmarks.datasets import SampleRequest
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    prompts = [json.loads(line)["prompt"] for line in Path(rows).read_text().splitlines()]
    marks: dict[str, float] = {}
    true_request, true_metrics = serve.get_request, serve.calculate_metrics

    def samples(args: Any, _tokenizer: Any) -> list[Any]:
        return [
            SampleRequest(prompt=prompt, prompt_len=1, expected_output_len=TOKENS)
            for prompt in prompts[: args.num_prompts]
        ]

    async def first(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        marks["begin"] = time.process_time()
        async for one in true_request(*args, **kwargs):
            yield one

    def last(*args: Any, **kwargs: Any) -> Any:
        marks["end"] = time.process_time()
        return true_metrics(*args, **kwargs)

    serve.get_samples, serve.get_request, serve.calculate_metrics = samples, first, last
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    print("ready", flush=True)
    for line in sys.stdin:
        endpoint, concurrency, count = json.loads(line)
        args = parser.parse_args(
            [
                *("--base-url", url, "--model", "demo", "--ignore-eos"),
                *("--tokenizer", str(demo.path())),
                *("--backend", "openai-chat" if endpoint == "chat" else "openai"),
                *("--endpoint", f"/v1/{'chat/' if endpoint == 'chat' else ''}completions"),
                *("--max-concurrency", str(concurrency), "--num-prompts", str(count)),
                *("--temperature", "0", "--disable-tqdm", "--percentile-metrics"),
                *("ttft,tpot,itl,e2el",),
            ]
        )
        result = asyncio.run(serve.main_async(args))
        assert result["completed"] == count, result
        found = {ours: result[theirs] for ours, theirs in FIGURES.items()}
        found["cpu"] = marks["end"] - marks["begin"]
        print("ROUND " + json.dumps(found), flush=True)


@contextmanager
def vllm_side(url: str, rows: Path, log: Path) -> Iterator["subprocess.Popen[str]"]:
    """vLLM's client as a process."""
    line = [sys.executable, "-m", "tests.bench.loadgen", "vllm", url, str(rows)]
    with log.open("w+") as said:
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
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
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("ROUND "):
            found: dict[str, float] = json.loads(line.removeprefix("ROUND "))
            return found
    raise SystemExit("vllm bench serve ended; its words are above")


def main(rounds: int, count: int) -> int:
    """Measure and print."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "in.jsonl"
        texts = [body["messages"][0]["content"] for body in bodies("demo", count, TOKENS, True)]
        rows.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
        with (
            server(Path(name) / "vllm.log") as url,
            vllm_side(url, rows, Path(name) / "bench.log") as process,
        ):
            for endpoint, concurrency in LOADS:
                load = (endpoint, concurrency, count)
                qchat(url, rows, *load)  # a server's first answers are slow
                theirs(process, *load)
                pairs = []
                for number in range(rounds):
                    if number % 2:
                        other, own = theirs(process, *load), qchat(url, rows, *load)
                    else:
                        own, other = qchat(url, rows, *load), theirs(process, *load)
                    pairs.append((own, other))
                found += compare(f"{endpoint}, {concurrency} at a time", pairs)
    return figures.end(found)


def compare(load: str, pairs: list[tuple[dict[str, float], dict[str, float]]]) -> list[Any]:
    """The figures of a load."""
    print(f"{load}: median of {len(pairs)} rounds, qchat over vllm bench serve", flush=True)
    ratio = {
        name: statistics.median(own[name] / other[name] for own, other in pairs)
        for name in pairs[0][0]
    }
    for name, value in ratio.items():
        ours = statistics.median(own[name] for own, _other in pairs)
        print(f"  {name:26} {value:.3f}   ({ours:.2f})", flush=True)
    alike = [name for name in FIGURES if load.startswith("completions") or name in WHOLE]
    most = max(alike, key=lambda name: abs(ratio[name] - 1))
    return [
        figures.Figure(
            f"bench: largest difference to vLLM's, {load} ({most})",
            100 * abs(ratio[most] - 1),
            WITHIN,
            unit="%",
            less=True,
        ),
        figures.Figure(f"bench: client CPU over vLLM's, {load}", ratio["cpu"], 1.0, less=True),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["vllm"]:
        vllm_rounds(*sys.argv[2:])
        sys.exit(0)
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(numbers + [5, 200][len(numbers) :])))
