"""All measurements, one after the other: `make bench`, or `python -m tests.bench NAME ...`.

Ends with a table of all figures; it and a plot are written to build/bench/.
"""

import subprocess
import sys
from pathlib import Path

from . import figures

BENCHES = {
    "first_paint": "the first paint of `qchat tui` against a hello-world Textual app",
    "live": "the whole chat in a terminal: CPU and typing while an answer comes, CPU at rest",
    "terminal": "bytes to the terminal while an answer comes, and until a key is seen",
    "transcript": "the chat's transcript against one `Markdown` widget per message",
    "startup": "starting `qchat` against a bare `import click`",
    "journal": "reading results back on resume",
    "resume": "resuming 1M rows, the input as it was, edited and shuffled",
    "report": "the page of a run of 1M rows: seconds, memory and size",
    "check": "`--check` of short rows: rows/s with exact token counts, memory",
    "formats": "reading CSV, Parquet and zst against JSON lines at 1M rows",
    "store": "searching 100,000 messages, opening a conversation of 10,000",
    "memory": "peak memory and resume at 1k, 100k and 1M rows",
    "client": "client CPU per request against a bare aiohttp loop",
    "offline": "offline throughput against one `LLM.chat`, and against vLLM's run-batch",
    "offline --ragged": "the same with answers of very different lengths",
    "offline --model generated --rows 400 --rounds 5": "the same with a model of 60M parameters",
    "ray": "one Ray replica against the offline engine; the driver's CPU with 100 replicas",
    "whole": "whole runs, start included, against `vllm run-batch`",
    "first_hour": "from a clone to answers and to a chat; the base install",
    "loadgen": "`qchat bench` against `vllm bench serve` on the same real server",
    "rivals": "`qchat bench` beside `vllm bench serve` and GuideLLM, one after the other",
    "access": "the access layer of `qchat serve` against the same vLLM without it",
    "serve": "`qchat serve` against vLLM by hand until it is ready; `qchat status` and `stop`",
    "polite": "live requests beside a batch with --low-priority, against without it",
    "limits": "adaptive concurrency against fixed numbers at servers that limit the rate",
    "http": "through a real server: aiohttp, the openai SDK, and how many requests at a time",
}
FOLDER = Path("build/bench")


def main(names: list[str]) -> int:
    """Run those named, or all; 1 where one missed its target or failed."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"There is no bench {unknown[0]!r}; there are {', '.join(BENCHES)}.")
        return 2
    failed = 0
    results: list[figures.Figure] = []
    for name in names or BENCHES:
        print(f"== {name}: {BENCHES[name]}", flush=True)
        bench = subprocess.Popen(
            [sys.executable, "-m", *f"tests.bench.{name}".split()],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert bench.stdout is not None
        for line in bench.stdout:
            figure = figures.read(line)
            if figure is None:
                print(line, end="", flush=True)
            else:
                results.append(figure)
        failed |= bench.wait() != 0
    if results:
        print()
        figures.write(results, FOLDER)
        print(f"(also {FOLDER}/table.md and {FOLDER}/plot.svg)")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
