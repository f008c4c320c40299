"""A benchmark from start to end: probe the server, make the prompts, measure each load."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ...api.endpoint import Endpoint
from ...api.models import single_model
from ...errors import Code, Exit
from ...i18n import _, plural, sentence_gap
from ...json_types import JsonObject
from ...processes import raise_file_limit
from ...sampling import Sampling
from ...signals import exit_code, handle_signals, ignore_signals
from .client import BenchClient, BenchRequest, RequestRecord, clock
from .load import LoadSettings, Measurement, measure
from .load_shapes import ClosedLoop, Load, label, shown_name
from .metrics import GoodputLimits, compute_metrics
from .prompt_plans import PreparedPrompts, PromptPlan, prepare_prompts
from .prompts import RequestTemplate
from .search import GoodputSearch, best_phase, search_result, trial_note

T = TypeVar("T")

MIN_SWEEP_GAIN = 1.05
"""A sweep ends when doubling the concurrency multiplies the output tokens by less than this."""

MAX_SWEEP_CONCURRENCY = 1024
"""The highest concurrency of a sweep."""

MAX_ATTEMPTS = 3
"""Attempts for the probe request, where a retry may help."""


@dataclass(frozen=True, slots=True)
class BenchJob:
    """What to measure. Lengths are in tokens. Without `loads` it is a search, or a sweep."""

    endpoint: Endpoint
    model: str | None
    path: str
    loads: tuple[Load, ...]
    load_settings: LoadSettings
    sampling: Sampling
    plan: PromptPlan
    output_len: int | None
    goodput_limits: GoodputLimits | None
    timeout: float
    search: GoodputSearch | None = None


@dataclass(slots=True)
class BenchResult:
    """The `compute_metrics` of each load in `phases`, the exit code, whether the server was lost,
    and the `search_result` of a search."""

    model: str
    notes: list[str]
    phases: list[JsonObject]
    exit_code: Exit = Exit.OK
    server_lost: bool = False
    search: JsonObject | None = None


class StopSignal:
    """Set by the first signal that ends the benchmark; later ones change nothing."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.exit_code = Exit.OK

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the stop signals within the running event loop."""
        loop = asyncio.get_running_loop()
        with handle_signals(lambda signum: loop.call_soon_threadsafe(self._set, signum)):
            yield

    def _set(self, signum: int) -> None:
        self.exit_code = exit_code(signum)
        self.event.set()

    async def cancel_on_signal(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Await `work` and return its result; None if the signal came first and cancelled it."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self.event.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None


class ProgressReporter:
    """Is told of the progress; this one reports nothing."""

    def note(self, text: str) -> None:
        """Report a note for the user."""

    def load_started(self, load: Load, settings: LoadSettings) -> None:
        """A load starts, with its warm-up."""

    def request_finished(self, record: RequestRecord) -> None:
        """A request completed or failed."""

    def load_finished(self, phase: JsonObject) -> None:
        """A load was measured."""


async def run_bench(job: BenchJob, progress: ProgressReporter) -> BenchResult:
    """Run the benchmark. Raises `QchatError` if the server can't be measured at all.

    Once something is measured, signals are ignored, so that it gets written; wrap the call in
    `signals.restored_signals`.
    """
    result = BenchResult("", [], [])
    stop = StopSignal()
    with stop.handled():
        async with BenchClient(job.endpoint, job.timeout) as client:
            prompts = await stop.cancel_on_signal(_prepare(job, client, result, progress.note))
            if prompts is not None:
                gc.collect()
                gc.freeze()  # objects made so far are not scanned during the measurement
                try:
                    await _run_loads(job, client, prompts, result, progress, stop)
                finally:
                    gc.unfreeze()
        if stop.event.is_set():
            result.exit_code = stop.exit_code
    if result.phases:
        ignore_signals()
    return result


async def _prepare(
    job: BenchJob, client: BenchClient, result: BenchResult, note: Callable[[str], None]
) -> PreparedPrompts:
    names = await client.models() if job.model is None else [job.model]
    result.model = single_model(names, job.endpoint.base_url)
    template = RequestTemplate(job.path, result.model, job.sampling, job.output_len)
    template, notes = await probe_parameters(client, template)
    for text in notes:
        note(text)
    prompts = await prepare_prompts(client, template, job.plan, job.load_settings.seed)
    for text in prompts.notes:
        note(text)
    result.notes += [*notes, *prompts.notes]
    return prompts


async def probe_parameters(
    client: BenchClient, template: RequestTemplate
) -> tuple[RequestTemplate, list[str]]:
    """Send probe requests, and drop the optional parameters that the server rejects.

    Returns the template without them and a note for each. Raises `QchatError` if the server fails.
    """
    notes = []
    if template.output_tokens is None:
        template = replace(template, optional_parameters=("stream_options",))
    for attempt in range(MAX_ATTEMPTS * len(template.optional_parameters)):
        probe = replace(template, output_tokens=2).from_text("Hello")
        failure = (await client.send(probe, clock())).failure
        if failure is None:
            break
        rejected = [name for name in template.optional_parameters if name in failure.message]
        if failure.code is Code.INVALID_REQUEST and rejected:
            accepted = tuple(n for n in template.optional_parameters if n not in rejected)
            template = replace(template, optional_parameters=accepted)
            text = _("The server does not support {name}.")
            notes += [text.format(name=name) for name in rejected]
        elif (
            attempt + 1 < MAX_ATTEMPTS
            and failure.retryable
            and failure.code is not Code.UNREACHABLE
        ):
            await asyncio.sleep(0.5)
        else:
            raise client.to_exception(failure)
    return template, notes


async def _run_loads(
    job: BenchJob,
    client: BenchClient,
    prompts: PreparedPrompts,
    result: BenchResult,
    progress: ProgressReporter,
    stop: StopSignal,
) -> None:
    sent = 0

    async def send(request: BenchRequest, scheduled_at: float) -> RequestRecord:
        nonlocal sent
        sent += 1
        record = await client.send(request, scheduled_at)
        prompts.source.finished(request, record)
        progress.request_finished(record)
        return record

    search = job.search
    loads: Iterable[Load] = job.loads or sweep(result.phases)
    if search is not None:
        loads = search.loads(result.phases)
    for load in loads:
        connections = load.concurrency if isinstance(load, ClosedLoop) else 65_000
        settings = replace(job.load_settings, max_in_flight=raise_file_limit(connections))
        progress.load_started(load, settings)
        measurement = await measure(send, prompts.source, load, settings, stop.event)
        phase = compute_metrics(measurement, job.goodput_limits)
        result.phases.append(phase)
        progress.load_finished(phase)
        if search is not None and not measurement.stopped:
            progress.note(trial_note(label(load), search.trial(phase), search.share))
        if search is None or measurement.server_lost:
            result.exit_code = max(result.exit_code, load_exit_code(measurement, phase))
        result.server_lost = measurement.server_lost
        if measurement.server_lost or measurement.stopped:
            break
    if search is not None:
        _conclude_search(search, result, interrupted=measurement.stopped)
    if result.server_lost:
        result.notes.append(
            _server_lost_message(shown_name(result.phases[-1]), len(job.loads), result)
        )
        progress.note(result.notes[-1])
    if prompts.different is not None and sent > prompts.different:
        text = _("Each row was sent {n:.1f} times: later ones hit the server's prefix cache.")
        result.notes.append(text.format(n=sent / prompts.different))
        progress.note(result.notes[-1])


def _conclude_search(search: GoodputSearch, result: BenchResult, *, interrupted: bool) -> None:
    """Requests that fail under too much load are what a search looks for; only those of the load
    that it found are a failure of the server."""
    result.search = search_result(search, result.phases, interrupted=interrupted)
    best = best_phase(result.search, result.phases)
    if best is None or best["failed"]:
        answered = any(phase["answered"] for phase in result.phases)
        result.exit_code = max(result.exit_code, Exit.ROWS_FAILED if answered else Exit.ENGINE)


def _server_lost_message(name: str, loads: int, result: BenchResult) -> str:
    message = _("The server went away ({name}); its log may say why.").format(name=name)
    remaining = loads - len(result.phases)
    if remaining > 0:
        text = plural("{n} load was not measured.", "{n} loads were not measured.", remaining)
        message += sentence_gap() + text.format(n=remaining)
    return message


def sweep(phases: list[JsonObject]) -> Iterator[Load]:
    """Yield concurrencies 1, 2, 4, … until the throughput stops rising.

    `phases` must have the metrics of each load before the next one is asked for.
    """
    concurrency, best = 1, 0.0
    while concurrency <= MAX_SWEEP_CONCURRENCY:
        yield ClosedLoop(concurrency)
        tokens = phases[-1]["output_tokens_per_second"]
        if tokens <= MIN_SWEEP_GAIN * best:  # also where there are none at all
            return
        concurrency, best = 2 * concurrency, tokens


def load_exit_code(measurement: Measurement, phase: JsonObject) -> Exit:
    """The exit code for one load: the server is lost, requests failed or the client was the limit,
    or neither."""
    if measurement.server_lost or (phase["total_requests"] and not phase["answered"]):
        return Exit.ENGINE
    if phase["failed"] or not phase["valid"]:
        return Exit.ROWS_FAILED
    return Exit.OK
