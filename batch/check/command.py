"""`qchat batch --check`: what a run would ask, before a model is loaded or a server is asked."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import click
import orjson

from ...engine.runtime.vllm_model import locate_model
from ...errors import Exit, QchatError
from ...i18n import _
from ...json_types import JsonObject
from ...sanitize import clean
from ...settings import Settings
from ..background import WorkCounter, run_in_thread
from ..engines.model_weights import weights_of
from ..input_files import inputs_of
from ..inputs.discovery import InputFile, total_size
from ..inputs.images import without_image_data
from ..inputs.row_defaults import OwnModel
from ..inputs.row_ids import id_hash
from ..inputs.rows import InvalidRow
from ..inputs.scan import iter_rows, refuse_duplicate_ids, refuse_missing_columns
from ..job import BatchJob
from ..journal.output_files import refuse_own_output
from ..progress import ProgressDisplay
from ..questions.plan import EngineTraits, QuestionPlan
from ..rates import last_rate
from ..request import Request
from ..run_logs import new_log
from ..run_loop import run_in_loop
from .counting import PromptCounter, Result
from .probe import Sample, probe
from .report import SHOWN_REQUESTS, CheckReport, DuplicateFinder, report_lines

CHUNK, CHUNK_CHARACTERS = 512, 4 << 20
"""Rows whose tokens are counted at once; fewer where their messages have large parts, as images."""


def check(job: BatchJob, settings: Settings, probe_rows: int | None = None) -> Exit:
    """Read the inputs, print what a run would ask; exit 1 where a line is no request.

    With `probe_rows`, ask so many of the rows, for the estimate of the time. Raises `UsageError`
    and, with a probe, `EngineError` as the run itself would.
    """
    return run_in_loop(
        job,
        _("Interrupted."),
        lambda display: _check(job, settings, display, probe_rows),
    )


async def _check(
    job: BatchJob, settings: Settings, display: ProgressDisplay, probe_rows: int | None
) -> Exit:
    inputs = inputs_of(job)
    if not job.is_stage:
        refuse_own_output(inputs)
    model = job.engine.model or settings.model
    sample = Sample(probe_rows or 0)
    checker = _Checker(job, settings, inputs, model, sample, display.say)
    counter = WorkCounter(total_bytes=total_size(inputs))
    names = ", ".join(item.name for item in inputs)
    with display.working(_("Reading {names}").format(names=names), counter) as tick:
        report = await run_in_thread(checker.read, counter, tick)
    requests = (report.rows - report.bad) * report.samples
    if probe_rows is not None and requests:
        if job.defaults.questions is not None:
            requests *= job.defaults.questions.requests_per_row
        report.probe = await probe(job, settings, sample.rows, display, checker.own_model)
        rate = report.probe["rows_per_second"]
        report.seconds = requests / rate if rate else None
    else:
        report.rate = last_rate(settings.paths.state, model)
        if report.rate is not None:
            report.seconds = requests / report.rate["rows_per_second"]
    if job.json:
        click.echo(orjson.dumps({"event": "check", **report.as_json()}).decode())
    else:
        notes = () if job.defaults.earlier is None else job.defaults.earlier.notes()
        drops_last = job.defaults.drop_last_assistant
        for line in (*notes, *report_lines(report, model, drops_last=drops_last)):
            click.echo(clean(line))
    return Exit.ROWS_FAILED if report.bad else Exit.OK


class _Checker:
    """Reads the inputs once."""

    def __init__(
        self,
        job: BatchJob,
        settings: Settings,
        inputs: Sequence[InputFile],
        model: str | None,
        sample: Sample,
        say: Callable[[str], None],
    ) -> None:
        self._job = job
        self._settings = settings
        self._inputs = inputs
        self._model = model
        self._sample = sample
        self._say = say
        self._report = CheckReport(samples=job.defaults.samples)
        self._duplicates = DuplicateFinder()
        self._custom_ids = array("Q")  # hashes of those that rows were given
        self._prompts: PromptCounter | None = None
        self._shown: dict[tuple[int, int], dict[str, Any]] = {}
        self.own_model = model or _("(chosen at the start)")

    def read(self, counter: WorkCounter) -> CheckReport:
        """Read all rows. Raises `UsageError`, and `WorkCancelledError`."""
        job, report = self._job, self._report
        prompts = self._prompts = self._load_counter()
        defaults = replace(
            job.defaults,
            model=job.engine.model or OwnModel.PER_ROW,
            fallback_model=self.own_model,
        )
        rows = iter_rows(self._inputs, defaults, job.limit, counter=counter)
        # Tokens are counted beside the reading: the tokenizer needs no lock of Python's.
        with ThreadPoolExecutor(1) as pool:
            try:
                counting: Future[list[Result]] | None = None
                requests: list[Request] = []
                while chunk := _chunk(rows):
                    some = self._requests(chunk)
                    texts = [] if prompts is None else prompts.render(some)
                    self._take(requests, counting)
                    requests, counting = some, None
                    self._show(requests)
                    if prompts is not None:
                        shown = [(row.file, row.line) in self._shown for row in requests]
                        arguments = (requests, texts, shown, counter)
                        counting = pool.submit(partial(prompts.count, *arguments))
                self._take(requests, counting)
            finally:
                if prompts is not None:
                    pool.submit(prompts.close).result()
        refuse_missing_columns(defaults, len(self._duplicates))
        if not job.allow_duplicates:
            given = (self._custom_ids,)
            refuse_duplicate_ids(self._inputs, defaults, job.limit, given, counter)
        self._duplicates.finish(report, self._place)
        shapes = defaults.shapes
        report.assistant_last, report.skipped = shapes.assistant_last, shapes.skipped
        if defaults.earlier is not None:
            report.failed_before = defaults.earlier.failed
        if prompts is not None:
            report.context = self._context()
            report.no_renderer = prompts.no_renderer
        return report

    def _load_counter(self) -> PromptCounter | None:
        if self._model is None:
            self._report.no_tokens = _("give --model for exact token counts")
            return None
        options = {
            name.removeprefix("--").replace("_", "-"): value
            for name, value in self._job.engine.engine_args
        }
        try:
            weights = weights_of(self._model)
            model = str(locate_model(weights.source))
            options = {**weights.options, **options}
            return PromptCounter.load(model, options, new_log(self._settings, "check"), self._say)
        except QchatError as error:
            self._report.no_tokens = str(error)
            return None

    def _requests(self, rows: Sequence[Request | InvalidRow]) -> list[Request]:
        """Take some rows into account; return their requests."""
        requests: list[Request] = []
        for row in rows:
            self._report.rows += 1
            if isinstance(row, InvalidRow):
                self._report.add_problem(self._place(row.file, row.line), row.message)
                continue
            self._duplicates.add(row)
            if row.names_itself:
                self._custom_ids.append(id_hash(row.custom_id))
            self._report.add_row(row)
            if "questions" in row.body:  # the first of its requests, as long as the others
                row = QuestionPlan(row, EngineTraits()).request
            self._sample.add(row)
            requests.append(row)
        return requests

    def _show(self, requests: Sequence[Request]) -> None:
        report = self._report
        for row in requests[: SHOWN_REQUESTS - len(report.requests)]:
            place = self._place(row.file, row.line)
            request = {"place": place, "endpoint": row.endpoint, "body": _shown_body(row.body)}
            report.requests.append(request)
            self._shown[row.file, row.line] = request

    def _take(self, requests: Sequence[Request], counting: "Future[list[Result]] | None") -> None:
        """Take the lengths of some requests' prompts into account."""
        if counting is None:
            return
        report = self._report
        lengths = counting.result()
        context = self._context()
        for row, length in zip(requests, lengths, strict=True):
            if isinstance(length, ValueError):
                text = _("the model's prompt can't be made: {reason}")
                place = self._place(row.file, row.line)
                report.add_problem(place, text.format(reason=length))
            elif length is None:
                report.uncounted += 1
            else:
                report.add_length(row, length, context, self._place)
                if length.text is not None:
                    self._shown[row.file, row.line]["rendered"] = length.text

    def _context(self) -> int | None:
        if self._prompts is None:
            return None
        given: Any = dict(self._job.engine.engine_args)
        value = given.get("max_model_len", given.get("max-model-len", ""))
        return int(value) if value.isdecimal() else self._prompts.context

    def _place(self, file: int, line: int) -> str:
        return _("{file} line {line}").format(file=self._inputs[file].name, line=line)


def _chunk(rows: Iterator[Request | InvalidRow]) -> list[Request | InvalidRow]:
    """Take the next rows; empty at the end."""
    chunk: list[Request | InvalidRow] = []
    size = 0
    for row in islice(rows, CHUNK):
        chunk.append(row)
        if isinstance(row, Request):
            size += sum(map(_characters, row.body.get("messages", ())))
        if size > CHUNK_CHARACTERS:
            break
    return chunk


def _characters(message: JsonObject) -> int:
    """Return the length of a message's images, where it has parts."""
    content = message.get("content")
    if not isinstance(content, list):
        return 0
    images = (part.get("image_url") for part in content if isinstance(part, dict))
    return sum(len(str(image.get("url"))) for image in images if isinstance(image, dict))


def _shown_body(body: JsonObject) -> JsonObject:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return {**body, "messages": [without_image_data(message) for message in messages]}
