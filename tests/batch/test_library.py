"""Batches from Python: `run_batch` and `abatch`."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import qchat.batch
from qchat.batch import BatchOptions, Progress, RowResult, abatch, run_batch

from qchat.errors import EngineError, UsageError
from tests import faults
from tests.batch.commands import batch, read, write

pytestmark = pytest.mark.usefixtures("home")

MESSAGES = [{"role": "user", "content": "list"}]


def options(server: faults.Running, **more: object) -> BatchOptions:
    return BatchOptions(base_url=server.base_url, **more)  # type: ignore[arg-type]


def outputs(results: list[RowResult]) -> dict[int, object]:
    return {result.index: result.output for result in results}


def test_what_it_offers() -> None:
    assert qchat.batch.__all__ == [
        "AsyncBatchRun",
        "BatchOptions",
        "BatchRun",
        "BatchSummary",
        "Progress",
        "RowError",
        "RowResult",
        "abatch",
        "run_batch",
    ]
    for name in qchat.batch.__all__:
        assert getattr(qchat.batch, name).__doc__, name


def test_rows_of_every_kind_are_answered(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = iter(["text", {"prompt": "mapping", "label": 7}, MESSAGES])
    results = list(run_batch(rows, options(server)))
    assert outputs(results) == {0: "echo: text", 1: "echo: mapping", 2: "echo: list"}
    labelled = next(result for result in results if result.index == 1)
    assert labelled.record["label"] == 7
    assert labelled.ok and labelled.quality == "ok" and labelled.model == "demo"
    assert labelled.usage.completion_tokens > 0 and labelled.finish_reason == "stop"
    assert capfd.readouterr().out == ""
    assert list(Path().iterdir()) == []  # without an output nothing stays


def test_the_same_call_resumes_and_yields_earlier_results(server: faults.Running) -> None:
    first = options(server, output="out.jsonl")
    assert len(list(run_batch(["a", "b"], first))) == 2
    server.reset_log()
    run = run_batch(["a", "b", "c"], first)
    assert outputs(list(run)) == {0: "echo: a", 1: "echo: b", 2: "echo: c"}
    assert [record.prompt for record in server.log.records] == ["c"]
    assert run.summary is not None and run.summary.complete
    assert (run.summary.total, run.summary.answered) == (3, 3)
    assert {row["output"] for row in read("out.jsonl")} == {"echo: a", "echo: b", "echo: c"}


def test_a_run_left_early_is_resumed_by_the_command(server: faults.Running) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(60)))
    server.set_answers("latency=0.05")
    with run_batch("in.jsonl", options(server, concurrency=2)) as run:
        next(run)
    assert run.summary is not None and not run.summary.complete
    server.set_answers("latency=0")
    assert batch("in.jsonl", "--base-url", server.url) == 0
    assert len(read("in.results.jsonl")) == 60
    assert len(list(run_batch(Path("in.jsonl"), options(server)))) == 60


def test_failed_rows_are_results_with_an_error(server: faults.Running) -> None:
    rows = ["good", "bad [[fault:400]]"]
    results = list(run_batch(rows, options(server, output="out.jsonl")))
    failed = next(result for result in results if not result.ok)
    assert failed.index == 1 and failed.output is None and failed.error is not None
    assert failed.error.code == "invalid_request" and not failed.error.retryable
    again = list(run_batch(rows, options(server, output="out.jsonl")))
    assert sorted((r.index, r.ok) for r in again) == [(0, True), (1, False)]


def test_ordered_results_come_in_the_order_of_the_rows(server: faults.Running) -> None:
    rows = [f"row {n}" for n in range(30)]
    rows[3] += " [[answer:latency=0.3]]"
    rows[7] += " [[fault:400]]"
    run = run_batch(rows, options(server, ordered=True, output="out.jsonl"))
    assert [result.index for result in run] == list(range(30))


def test_rows_asked_again_for_their_quality_come_once(server: faults.Running) -> None:
    server.set_answers("length=50")
    rows = [{"prompt": "a", "max_tokens": 2}, {"prompt": "b"}]
    out = options(server, output="out.jsonl")
    assert {r.quality for r in run_batch(rows, out)} == {"cut", "ok"}
    results = list(run_batch(rows, out, retry_where=["cut"]))
    assert sorted(result.index for result in results) == [0, 1]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables(library: str, server: faults.Running) -> None:
    module = pytest.importorskip(library)
    columns = {"text": ["one", "two"], "n": [1, None]}
    table = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    run = run_batch(table, options(server), template="say {text}")
    results = sorted(run, key=lambda result: result.index)
    assert [result.output for result in results] == ["echo: say one", "echo: say two"]
    assert results[1].record["n"] is None


def test_bytes_of_a_table_are_those_of_its_file(server: faults.Running) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"text": pa.array([b"one", b"\xff"], pa.binary())})
    pq.write_table(table, "in.parquet")
    asked = [
        sorted(str(result.output) for result in run_batch(rows, options(server), template="{text}"))
        for rows in (table, Path("in.parquet"))
    ]
    assert asked[0] == asked[1] == ["echo: /w==", "echo: one"]


class FakeTable:
    """A table by the methods of pandas's, whose library may not be installed."""

    columns = ("text",)

    def __init__(self, rows: list[dict[str, object]]) -> None:
        self._rows = rows
        self.iloc = self

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice) -> "FakeTable":
        return FakeTable(self._rows[part])

    def __iter__(self) -> AsyncIterator[str]:
        raise AssertionError("a table's names of columns are no rows")

    def to_dict(self, form: str) -> list[dict[str, object]]:
        assert form == "records"
        return self._rows


def test_a_table_is_read_by_its_rows(server: faults.Running) -> None:
    table = FakeTable([{"text": f"t{n}"} for n in range(3)])
    results = list(run_batch(table, options(server), template="{text}"))  # type: ignore[arg-type]
    assert outputs(results) == {n: f"echo: t{n}" for n in range(3)}


async def test_within_a_running_loop_both_ways_work(server: faults.Running) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    server.set_answers("latency=0.2")
    results = [result async for result in abatch(["a", "b"], options(server))]
    assert outputs(results) == {0: "echo: a", 1: "echo: b"}
    assert ticks > 5
    ticking.cancel()
    assert len(list(run_batch(["a"], options(server)))) == 1

    async def rows() -> AsyncIterator[str]:
        for n in range(3):
            yield f"r{n}"

    assert len([result async for result in abatch(rows(), options(server))]) == 3


async def test_cancelling_the_iteration_stops_the_run(server: faults.Running) -> None:
    server.set_answers("latency=0.05")
    rows = [f"row {n}" for n in range(200)]
    first = asyncio.Event()

    async def iterate() -> None:
        out = options(server, output="out.jsonl", concurrency=2)
        async for _result in abatch(rows, out):
            first.set()

    task = asyncio.create_task(iterate())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 1 <= len(read("out.jsonl")) < 200
    manifest = json.loads(Path("out.manifest.json").read_text())
    assert manifest["state"] == "interrupted"


def test_no_key_is_advised_for_a_run_that_takes_none(
    server: faults.Running, caplog: pytest.LogCaptureFixture
) -> None:
    server.set_answers("latency=0.05")
    with (
        caplog.at_level("WARNING", "qchat.batch"),
        run_batch([f"row {n}" for n in range(60)], options(server, concurrency=2)) as run,
    ):
        next(run)
    assert "Stopping: " in caplog.text and "Ctrl-C" not in caplog.text


def test_no_signal_is_taken(server: faults.Running) -> None:
    before = {number: signal.getsignal(number) for number in (2, 15, 1)}
    during = [
        {number: signal.getsignal(number) for number in (2, 15, 1)}
        for _result in run_batch(["a", "b"], options(server))
    ]
    assert during == [before, before]


def test_progress_is_told_to_the_caller(server: faults.Running) -> None:
    server.set_answers("latency=0.4")
    told: list[Progress] = []
    threads = set()

    def on_progress(progress: Progress) -> None:
        told.append(progress)
        threads.add(threading.current_thread())

    rows = [f"row {n}" for n in range(8)]
    list(run_batch(rows, options(server, concurrency=1), progress=on_progress))
    assert told and told[-1].total == 8 and 0 < told[-1].done <= 8
    assert threads == {threading.current_thread()}


def test_what_is_wrong_is_said_at_once(server: faults.Running) -> None:
    with pytest.raises(UsageError, match="Did you mean 'max_tokens'"):
        run_batch(["a"], options(server), max_token=3)
    with pytest.raises(UsageError, match="no file nowhere"):
        run_batch("nowhere.jsonl", options(server))
    with pytest.raises(UsageError, match="Row 2 is no request"):
        run_batch(["a", 7], options(server))
    with pytest.raises(UsageError, match="temperature"):
        run_batch(["a"], options(server), temperature=9)
    with pytest.raises(UsageError, match="Give rows as an iterable"):
        run_batch({"prompt": "a"}, options(server))
    with pytest.raises(UsageError, match="none of auto, offline, http"):
        run_batch(["a"], options(server), engine="magic")


def test_a_server_that_is_away_is_an_error_of_the_run() -> None:
    run = run_batch(["a"], base_url="http://127.0.0.1:9/v1", output="out.jsonl")
    with pytest.raises(EngineError):
        next(run)
    with pytest.raises(StopIteration):
        next(run)


@pytest.mark.parametrize("make", [run_batch, abatch])
def test_a_run_that_is_never_iterated_warns(
    server: faults.Running, make: Callable[..., object]
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = make(["a"], options(server))
        del run
    assert [w.category for w in caught] == [ResourceWarning]
    assert caught[0].filename == __file__
    assert server.log.records == []


def test_a_schema_may_be_a_mapping_or_a_class(server: faults.Running) -> None:
    class Form:
        @classmethod
        def model_json_schema(cls) -> dict[str, object]:
            return {"type": "object", "required": ["n"]}

    for schema in ({"type": "object", "required": ["n"]}, Form):
        result = next(run_batch(["a"], options(server), schema=schema))
        assert result.error is not None and result.error.code == "invalid_answer"
        sent = server.log.records[-1].body["response_format"]
        assert sent["json_schema"]["schema"]["required"] == ["n"]


def test_importing_it_imports_nothing_heavy() -> None:
    program = (
        "import sys, qchat, qchat.batch; from qchat.batch import BatchOptions;"
        "print({'openai', 'aiohttp', 'vllm', 'textual', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_the_command_has_all_its_help_after_a_run_from_python() -> None:
    program = """
import sys, warnings
from qchat import cli
from qchat.batch import BatchOptions, run_batch
warnings.simplefilter("ignore")
run_batch(["a"], BatchOptions(base_url="http://127.0.0.1:9"))
sys.exit(cli.run(["batch", "-h"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "-h, --help" in done.stdout
