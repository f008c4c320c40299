"""qchat's offline engine against one `LLM.chat` over the whole list, and against vLLM's run-batch
without its start, in alternating rounds.

    python -m tests.bench.offline [--model demo] [--rounds 5] [--rows 4000] [--tokens 32] [--ragged]

Each side has a process of its own with its engine; both live for the whole run, and while one works
the other one sleeps. A round is all rows once on each side, in turns of who begins; what counts is
the median of the rounds' ratios (qchat's rows/s over LLM.chat's), because single figures swing by
a fifth on a small machine. Both get the same bodies and token counts, end-of-sequence ignored.

run-batch's side is `vllm.entrypoints.launchers.run_batch.run_batch` over a file of the same rows,
its engine made once as its `main` makes it; it holds all answers until the end.

qchat's side is what `qchat batch` does in a long run: scheduler, bounded window, result
lines written to a file, and the model compiled, as `LLM.chat` compiles it by default. `LLM.chat`
gets vLLM's defaults, but for the KV cache's size; `--baseline-args` changes that.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import figures
from .model import GENERATED, generate

VOCABULARY = [
    "What",
    "is",
    "the",
    "KV",
    "cache",
    "of",
    "a",
    "model",
    "and",
    "why",
    "does",
    "it",
    "grow",
    "with",
    "every",
    "token",
]


def bodies(model: str, rows: int, tokens: int, ragged: bool) -> list[dict[str, Any]]:
    """Chat requests: the same for both sides. Ragged ones ask for 1/8 to 15/8 of `tokens`."""
    dice = random.Random(7)
    requests = []
    for row in range(rows):
        content = " ".join(dice.choices(VOCABULARY, k=dice.randint(4, 40 if ragged else 8)))
        max_tokens = dice.randint(max(1, tokens // 8), tokens * 15 // 8) if ragged else tokens
        requests.append(
            {
                "model": model,
                "messages": [{"role": "user", "content": f"{row}: {content}"}],
                "max_tokens": max_tokens,
                "temperature": 0.7,
                "seed": None,
                "ignore_eos": True,
            }
        )
    return requests


def serve_rounds(run: Any) -> None:
    """Run a round for each line on stdin and print its figures."""
    print("ready", flush=True)
    for _line in sys.stdin:
        print(json.dumps(run()), flush=True)


def baseline(model: str, rows: list[dict[str, Any]], extra: dict[str, Any]) -> None:
    """`LLM.chat` over the whole list."""
    from vllm import LLM, SamplingParams

    from qchat.engine.runtime.vllm_model import locate_model, options_for

    folder = locate_model(model)
    size = options_for(folder, {}, cpu=True).get("kv-cache-memory-bytes")
    more = {} if size is None else {"kv_cache_memory_bytes": int(size)}
    llm = LLM(model=folder, **{**more, **extra})
    params = [
        SamplingParams(max_tokens=r["max_tokens"], temperature=r["temperature"], ignore_eos=True)
        for r in rows
    ]
    messages = [r["messages"] for r in rows]

    def run() -> dict[str, float]:
        began = time.monotonic()
        answers = llm.chat(messages, params, use_tqdm=False)
        seconds = time.monotonic() - began
        tokens = sum(len(a.outputs[0].token_ids) for a in answers)
        return {"seconds": seconds, "tokens": tokens, "rows": len(answers)}

    run()  # the first round pays for what later ones find ready
    serve_rounds(run)


def run_batch(model: str, rows: list[dict[str, Any]], extra: dict[str, Any]) -> None:
    """vLLM's own batch runner over a file."""
    from vllm.entrypoints.launchers import run_batch as runner
    from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from qchat.engine.runtime.vllm_model import locate_model, options_for

    folder = locate_model(model)
    size = options_for(folder, {}, cpu=True).get("kv-cache-memory-bytes")
    more = {} if size is None else {"kv-cache-memory-bytes": size}

    async def serve(source: Path, target: Path) -> None:
        line = ["-i", str(source), "-o", str(target), "--model", folder]
        line += ["--served-model-name", rows[0]["model"]]
        for name, value in {**more, **extra}.items():
            line += [f"--{name}", str(value)]
        args = runner.make_arg_parser(FlexibleArgumentParser()).parse_args(line)
        async with build_async_engine_client(
            args, usage_context=UsageContext.OPENAI_BATCH_RUNNER
        ) as engine:
            loop = asyncio.get_running_loop()

            async def round_() -> dict[str, float]:
                began = time.monotonic()
                await runner.run_batch(engine, args)
                seconds = time.monotonic() - began
                answers = [json.loads(line) for line in target.read_bytes().splitlines()]
                tokens = sum(a["response"]["body"]["usage"]["completion_tokens"] for a in answers)
                return {"seconds": seconds, "tokens": tokens, "rows": len(answers)}

            await round_()
            print("ready", flush=True)
            while await loop.run_in_executor(None, sys.stdin.readline):
                print(json.dumps(await round_()), flush=True)

    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "in.jsonl"
        with source.open("w") as file:
            for n, row in enumerate(rows):
                line = {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions"}
                file.write(json.dumps({**line, "body": row}) + "\n")
        asyncio.run(serve(source, Path(name) / "out.jsonl"))


def ours(model: str, rows: list[dict[str, Any]], extra: dict[str, str], engine: Any = None) -> None:
    """The engine through its protocol, fed and written out as `qchat batch` does.

    `engine` is another one than the offline engine.
    """
    import uvloop
    from qchat.batch.engines.offline import LONG_RUN, OfflineEngine, OfflineOptions
    from qchat.batch.journal.records import result_line
    from qchat.batch.lookahead import longest_first
    from qchat.batch.request import CHAT, Outcome, Request, RowKind, digest
    from qchat.batch.scheduler import RequestScheduler

    requests = [
        Request(0, n, str(n), RowKind.MESSAGES, CHAT, row, {"messages": row["messages"]}, "")
        for n, row in enumerate(rows, 1)
    ]
    if engine is None:
        engine = OfflineEngine(model, rows[0]["model"], options=OfflineOptions(engine_args=extra))

    async def round_() -> dict[str, float]:
        done: list[int] = []
        with tempfile.TemporaryFile() as results:

            def record(request: Request, outcome: Outcome, attempts: int) -> None:
                assert outcome.body is not None, outcome.failure
                line = result_line(
                    request,
                    outcome.body,
                    name="rows.jsonl",
                    number=0,
                    attempts=attempts,
                    prefix="",
                )
                results.write(line)
                done.append(outcome.usage.completion_tokens)

            began = time.monotonic()
            fresh = (
                Request(r.file, r.line, r.custom_id, r.kind, r.endpoint, r.body, r.source, d)
                for r in requests
                for d in (digest(r.endpoint, r.body),)
            )
            await RequestScheduler(engine, longest_first(fresh), record).run()
            seconds = time.monotonic() - began
        return {"seconds": seconds, "tokens": sum(done), "rows": len(done)}

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(engine.start(LONG_RUN))
        runner.run(round_())
        serve_rounds(lambda: runner.run(round_()))
        runner.run(engine.close())


class Side:
    """One of the two, in its process."""

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, bench: str = "offline"
    ) -> None:
        self.name = name
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"tests.bench.{bench}", "--side", name, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._wait_for("ready")

    def _wait_for(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # vLLM logs to stdout too
            if line.startswith(start):
                return line
        raise SystemExit(f"the side '{self.name}' ended; its log is kept")

    def round(self) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        round_figures: dict[str, float] = json.loads(self._wait_for('{"seconds"'))
        return round_figures

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


OTHERS = {"baseline": "LLM.chat", "run-batch": "run-batch"}


def compare(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run the rounds; 0 if the median ratios reach their targets."""
    against = {"baseline": options.target}
    if options.run_batch_target:
        against["run-batch"] = options.run_batch_target
    names = [*against, "qchat"]
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: Side(name, arguments, Path(folder) / f"{name}.log") for name in names}
        ratios: dict[str, list[float]] = {name: [] for name in against}
        try:
            for number in range(1, options.rounds + 1):
                order = names if number % 2 else names[::-1]
                took = {name: sides[name].round() for name in order}
                assert len({t["tokens"] for t in took.values()}) == 1, took
                speed = {name: t["rows"] / t["seconds"] for name, t in took.items()}
                columns = [f"qchat {speed['qchat']:6.1f} rows/s"]
                for name in against:
                    ratio = speed["qchat"] / speed[name]
                    ratios[name].append(ratio)
                    columns.append(f"{OTHERS[name]} {speed[name]:6.1f} ({ratio:.2f})")
                print(f"round {number}: {', '.join(columns)}", flush=True)
        finally:
            for side in sides.values():
                side.close()
    kind = "ragged" if options.ragged else "equal"
    label = f"{kind} answers, {Path(options.model).name} model"
    print(f"{options.rows} {kind} rows of {options.tokens} tokens, model {options.model}")
    return figures.end(
        [
            figures.Figure(
                f"offline over {OTHERS[name]}, {label}, median of {options.rounds}",
                statistics.median(ratios[name]),
                target,
            )
            for name, target in against.items()
        ]
        + [figures.Figure(f"the same, the least of {options.rounds}", min(ratios["baseline"]), 1.0)]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo", help=f"a folder, or '{GENERATED}'")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--ragged", action="store_true")
    parser.add_argument("--target", type=float, default=1.05, help="over LLM.chat")
    parser.add_argument(
        "--run-batch-target", type=float, default=1.3, help="over run-batch; 0 leaves it out"
    )
    parser.add_argument("--baseline-args", type=json.loads, default={}, help="JSON, for LLM(...)")
    parser.add_argument("--qchat-args", type=json.loads, default={}, help="JSON, engine options")
    parser.add_argument(
        "--side", choices=("baseline", "run-batch", "qchat"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.model == GENERATED:
        options.model = str(generate())
    rows = bodies("bench", options.rows, options.tokens, options.ragged)
    if options.side == "baseline":
        baseline(options.model, rows, options.baseline_args)
    elif options.side == "run-batch":
        run_batch(options.model, rows, options.baseline_args)
    elif options.side == "qchat":
        ours(options.model, rows, options.qchat_args)
    else:
        return compare(options, sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
