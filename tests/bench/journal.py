"""What a resume costs: reading back the results of a run, and what jsonlines would add.

    python -m tests.bench.journal [ROWS]

Prints rows per second of `Journal.load`, and the time of reading the same file through
`jsonlines.Reader` over that of orjson alone, as the median of five alternating rounds.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jsonlines
import orjson
from qchat.batch.background import WorkCounter
from qchat.batch.journal.appender import parsed_lines
from qchat.batch.journal.input_names import InputNames
from qchat.batch.journal.journal import Journal
from qchat.batch.journal.output_files import OutputFiles
from qchat.batch.journal.records import result_line
from qchat.batch.journal.reload import ReloadOptions
from qchat.batch.request import CHAT, Request, RowKind, digest

from tests.batch.scans import reader_of, scan_of_rows

ROUNDS = 5


def request(line: int) -> Request:
    """A row with a prompt of about 200 characters."""
    source = {"prompt": f"question {line} " + "word " * 40}
    body = {"messages": [{"role": "user", "content": source["prompt"]}], "model": "demo"}
    return Request(0, line, f"in-{line}", RowKind.PROMPT, CHAT, body, source, digest(CHAT, body))


def answer(line: int) -> dict[str, object]:
    """A response body with about 600 characters of text."""
    return {
        "choices": [
            {"message": {"content": f"answer {line} " + "words " * 100}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 50, "completion_tokens": 120, "total_tokens": 170},
        "model": "demo",
    }


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    """Make a results file, read it back in both ways, print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = OutputFiles.named(Path(folder) / "out.jsonl")
        with files.results.open("wb") as file:
            for line in range(1, count + 1):
                row = request(line)
                rows.append(row)
                data = result_line(
                    row, answer(line), name="in.jsonl", number=0, attempts=1, prefix=""
                )
                file.write(data)
        scan = scan_of_rows(rows)

        def through_jsonlines() -> None:
            with files.results.open("rb") as file:
                for _value in jsonlines.Reader(file, loads=orjson.loads):
                    pass

        def alone() -> None:
            for _offset, _value in parsed_lines(files.results, WorkCounter()):
                pass

        def load() -> None:
            journal = Journal(files, scan, InputNames.of(["in.jsonl"]), 0o600)
            journal.load(ReloadOptions(), reader_of([]))
            assert journal.answered == count

        loads, ratios = [], []
        for _round in range(ROUNDS):
            loads.append(timed(load))
            ratios.append(timed(through_jsonlines) / timed(alone))
    size = len(data)
    print(f"resume: {count / statistics.median(loads):,.0f} rows/s (lines of {size} bytes)")
    print(f"reading with jsonlines / with orjson alone: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
