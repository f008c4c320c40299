"""What is done with the results of a finished run: evaluated, verified, written as a table."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from ..i18n import _
from .answer_plan import MakePlan
from .background import WorkCounter
from .engines.engine import Engine
from .evaluation.evaluate import RunRows
from .evaluation.stage import Evaluator
from .inputs.discovery import InputFile
from .inputs.formats.opening import has_bom
from .inputs.rows import RowDefaults
from .inputs.scan import InputScan, iter_open_rows
from .job import BatchJob
from .journal.appender import disk_error
from .journal.output_files import OutputFiles
from .journal.sink import FileSink
from .outputs.columns import ALWAYS, ALWAYS_OF_QUESTIONS
from .outputs.export import TableOptions, export_table
from .progress import ProgressDisplay
from .run_messages import RunMessages
from .run_stats import RunStats
from .verification import sample_rows, verify

T = TypeVar("T")


class InThread(Protocol):
    """Runs a function in a thread, and shows a label and how far it is when that takes long."""

    def __call__(self, label: str, function: Callable[[WorkCounter], T]) -> Awaitable[T]: ...


class Finisher:
    """Works on the results file of a run in which every row is done."""

    def __init__(
        self,
        job: BatchJob,
        files: OutputFiles,
        inputs: Sequence[InputFile],
        messages: RunMessages,
        display: ProgressDisplay,
        in_thread: InThread,
    ) -> None:
        self._job = job
        self._files = files
        self._inputs = inputs
        self._messages = messages
        self._display = display
        self._in_thread = in_thread
        self._defaults = job.defaults
        self._evaluator = Evaluator.prepare(job, files.results, inputs)

    def set_defaults(self, defaults: RowDefaults) -> None:
        """Take the defaults of the rows, once the engine and its model are known."""
        self._defaults = defaults

    async def evaluate(
        self, sink: FileSink, scan: InputScan, stats: RunStats, engine: Engine, make_plan: MakePlan
    ) -> Sequence[str]:
        """Evaluate and verify the answers of a finished run; return what to say of them."""
        lines: list[str] = []
        rows, path = RunRows(sink.file_of, sink.lengths, scan.ids), self._files.results
        if self._evaluator is not None:
            report = await self._in_thread(
                _("Evaluating {name}").format(name=path.name),
                partial(self._evaluator.run, path, rows),
            )
            stats.questions = report.result.as_json()
            if stats.questions:
                sink.record_questions(stats.questions)
            lines += report.lines
        count = self._job.evaluation.verify
        if count is not None and sink.answered:
            reader = partial(iter_open_rows, self._inputs, self._defaults, scan)
            sampled = await self._in_thread(
                _("Reading {name}").format(name=path.name),
                lambda counter: sample_rows(path, rows, self._defaults, count, reader, counter),
            )
            with self._display.phase(
                _("Asking {n} rows again ...").format(n=len(sampled.requests))
            ):
                warn = self._display.warn
                result = await verify(engine, sampled, self._job.rule, make_plan, warn)
            stats.verification = result.as_json()
            lines += result.lines()
        return lines

    async def write_table(self, sink: FileSink) -> None:
        """Write the table that the results are wanted as, if any."""
        files = self._files
        if files.table is None:
            return
        options = TableOptions(
            bom=any(has_bom(item.path) for item in self._inputs),
            safe=self._job.csv_safe,
            samples=self._defaults.samples,
            always=ALWAYS if self._defaults.questions is None else ALWAYS_OF_QUESTIONS,
        )
        export = partial(
            export_table, files, self._defaults.prefix, sink.file_of, sink.lengths, options
        )
        try:
            table = await self._in_thread(_("Writing {name}").format(name=files.table.name), export)
        except OSError as error:
            raise disk_error(files.table, error) from None
        self._messages.show_table(replace(table, formulas=0) if self._job.csv_safe else table)
