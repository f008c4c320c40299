"""A bench from start to end: try the server, make the prompts, one measurement for each load."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ...api.endpoint import Endpoint
from ...api.models import single_model
from ...errors import Code, Exit
from ...i18n import _, plural
from ...json_types import JsonObject
from ...processes import raise_file_limit
from ...sampling import Sampling
from ...signals import exit_code, handle_signals, ignore_signals
from .client import BenchClient, BenchRequest, RequestRecord, clock
from .figures import Limits, compute_figures
from .load import ClosedLoop, Load, LoadSettings, Measurement, measure
from .prompts import Row, Shape, random_texts, rows_of, texts_of

T = TypeVar("T")

ENOUGH = 1.05
"""A sweep ends where twice the requests at a time give less than this many times the tokens."""

LONGEST_SWEEP = 1024
"""Requests at a time at which a sweep ends anyway."""

TRIES = 3
"""Tries that the first request gets, where another try may help."""


@dataclass(frozen=True, slots=True)
class BenchJob:
    """What the command line asks for. Lengths are in tokens.

    No `loads` is a sweep; no `rows` are random texts of `input_len`.
    """

    endpoint: Endpoint
    model: str | None
    path: str
    loads: tuple[Load, ...]
    terms: LoadSettings
    sampling: Sampling
    rows: Sequence[Row]
    input_len: int
    output_len: int | None
    limits: Limits | None
    timeout: float


@dataclass(slots=True)
class Result:
    """Phases as `bench_figures.of` gives them, and how it ended; `lost`: the server went away."""

    model: str
    notes: list[str]
    phases: list[JsonObject]
    ended: Exit = Exit.OK
    lost: bool = False


class StopSignal:
    """Set by the first signal that ends the bench; later ones change nothing."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.exit = Exit.OK

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the stop signals within the running event loop."""
        loop = asyncio.get_running_loop()
        with handle_signals(lambda signum: loop.call_soon_threadsafe(self._set, signum)):
            yield

    def _set(self, signum: int) -> None:
        self.exit = exit_code(signum)
        self.event.set()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` gives, or None where the signal came first."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self.event.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None


class Watcher:
    """What a person sees while it runs; this one shows nothing."""

    def note(self, text: str) -> None:
        """Something to know."""

    def begin(self, load: Load, terms: LoadSettings) -> None:
        """A measurement begins."""

    def ended(self, record: RequestRecord) -> None:
        """A request has ended."""

    def end(self, phase: JsonObject) -> None:
        """A measurement has ended."""


async def run_bench(job: BenchJob, watcher: Watcher) -> Result:
    """Measure. Raises `QchatError` where the server can't be measured at all.

    When something was measured the signals are ignored from then on, for it to be written; wrap it
    in `signals.restored_signals`.
    """
    result = Result("", [], [])
    stop = StopSignal()
    with stop.handled():
        async with BenchClient(job.endpoint, job.timeout) as client:
            asks = await stop.unless(_prepare(job, client, result, watcher.note))
            if asks is not None:
                gc.collect()
                gc.freeze()  # so the collector need not look at it all while it is timed
                try:
                    await _phases(job, client, asks, result, watcher, stop)
                finally:
                    gc.unfreeze()
        if stop.event.is_set():
            result.ended = stop.exit
    if result.phases:
        ignore_signals()
    return result


async def _prepare(
    job: BenchJob, client: BenchClient, result: Result, note: Callable[[str], None]
) -> Iterator[BenchRequest]:
    names = await client.models() if job.model is None else [job.model]
    result.model = single_model(names, job.endpoint.base_url)
    shape = Shape(job.path, result.model, job.sampling, job.output_len)
    shape, said = await _accepted(client, shape)
    if job.rows:
        asks, about = rows_of(job.rows, shape), _("{n} lines, asked in turn.")
        about = about.format(n=len(job.rows))
    else:
        texts, about = await random_texts(client, shape, job.input_len, job.terms.seed)
        asks = texts_of(texts, shape)
    said.append(about)
    for text in said:
        note(text)
    result.notes += said
    return asks


async def _accepted(client: BenchClient, shape: Shape) -> tuple[Shape, list[str]]:
    """Ask once, and leave out the options that the server refuses; with notes that say so."""
    notes = []
    if shape.output_tokens is None:
        shape = replace(shape, options=("stream_options",))
    for tries in range(TRIES * len(shape.options)):
        record = await client.answer(replace(shape, output_tokens=2).text("Hello"), clock())
        failure = record.failure
        if failure is None:
            break
        refused = [name for name in shape.options if name in failure.message]
        if failure.code is Code.INVALID_REQUEST and refused:
            kept = tuple(name for name in shape.options if name not in refused)
            shape = replace(shape, options=kept)
            text = _("The server does not take {name}.")
            notes += [text.format(name=name) for name in refused]
        elif tries + 1 < TRIES and failure.retryable and failure.code is not Code.UNREACHABLE:
            await asyncio.sleep(0.5)
        else:
            raise client.error(failure)
    return shape, notes


async def _phases(
    job: BenchJob,
    client: BenchClient,
    asks: Iterator[BenchRequest],
    result: Result,
    watcher: Watcher,
    stop: StopSignal,
) -> None:
    asked = 0

    async def answer(ask: BenchRequest, scheduled: float) -> RequestRecord:
        nonlocal asked
        asked += 1
        record = await client.answer(ask, scheduled)
        watcher.ended(record)
        return record

    for load in job.loads or _sweep(result.phases):
        wanted = load.concurrency if isinstance(load, ClosedLoop) else 65_000
        terms = replace(job.terms, places=raise_file_limit(wanted))
        watcher.begin(load, terms)
        measured = await measure(answer, asks, load, terms, stop.event)
        phase = compute_figures(measured, job.limits)
        result.phases.append(phase)
        watcher.end(phase)
        result.ended = max(result.ended, _exit(measured, phase))
        result.lost = measured.lost
        if measured.lost or measured.stopped:
            break
    if result.lost:
        result.notes.append(_went_away(result.phases[-1]["name"], len(job.loads), result))
        watcher.note(result.notes[-1])
    if job.rows and asked > len(job.rows):
        text = _("The lines were asked {n:.1f} times over: a server's prefix cache knew them.")
        result.notes.append(text.format(n=asked / len(job.rows)))
        watcher.note(result.notes[-1])


def _went_away(name: str, loads: int, result: Result) -> str:
    said = _("The server went away ({name}); its log may say why.").format(name=name)
    left = loads - len(result.phases)
    if left > 0:
        text = plural("{n} load was not measured.", "{n} loads were not measured.", left)
        said += " " + text.format(n=left)
    return said


def _sweep(phases: list[JsonObject]) -> Iterator[Load]:
    """1, 2, 4, … at a time, until more of them bring no more tokens."""
    concurrency, best = 1, 0.0
    while concurrency <= LONGEST_SWEEP:
        yield ClosedLoop(concurrency)
        tokens = phases[-1]["output_tokens_per_second"]
        if tokens <= ENOUGH * best:  # so, too, where there are none, or the client is the limit
            return
        concurrency, best = 2 * concurrency, tokens


def _exit(measured: Measurement, phase: JsonObject) -> Exit:
    if measured.lost or (phase["total_requests"] and not phase["answered"]):
        return Exit.ENGINE
    if phase["failed"] or not phase["valid"]:
        return Exit.ROWS_FAILED
    return Exit.OK
