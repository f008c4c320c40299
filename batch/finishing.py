"""What is made of the results of a finished run: a table, an evaluation, a verification."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..i18n import _, plural
from .answer_plan import MakePlan
from .background import InThread
from .engines.engine import Engine
from .evaluation.evaluate import RunRows
from .evaluation.stage import Evaluator
from .inputs.discovery import InputFile
from .inputs.formats.opening import has_bom
from .inputs.row_defaults import RowDefaults
from .inputs.scan import InputScan, iter_open_rows
from .job import BatchJob
from .journal.appender import disk_error
from .journal.output_files import OutputFiles
from .journal.sink import FileSink
from .outputs.columns import ALWAYS, ALWAYS_OF_QUESTIONS
from .outputs.export import TableOptions, export_table
from .run_messages import RunMessages
from .run_stats import RunStats
from .stored_thoughts import mend_thoughts
from .thoughts import ThoughtForms
from .verification import sample_rows, verify


@dataclass(frozen=True, slots=True)
class Finisher:
    """Makes of the results of a run what its options want; `files` are where they are, `sink` has
    written them and is closed, `defaults` are those with the model."""

    job: BatchJob
    defaults: RowDefaults
    inputs: Sequence[InputFile]
    files: OutputFiles
    sink: FileSink
    evaluator: Evaluator | None
    messages: RunMessages
    in_thread: InThread

    async def mend_thoughts(self, thoughts: ThoughtForms) -> None:
        """Move thoughts that were taken for answers, before the model's first whole one, to where
        they belong. Raises `EngineError`."""
        path = self.files.results
        mend = partial(mend_thoughts, path, thoughts, self.defaults)
        try:
            await self.in_thread(_("Finishing {name}").format(name=path.name), mend)
        except OSError as error:
            raise disk_error(path, error) from None

    async def write_table(self) -> None:
        """Write the table that the results are wanted as, if any. Raises `EngineError`."""
        files, sink = self.files, self.sink
        if files.table is None:
            return
        options = TableOptions(
            bom=any(has_bom(item.path) for item in self.inputs),
            safe=self.job.csv_safe,
            samples=self.defaults.samples,
            always=ALWAYS if self.defaults.questions is None else ALWAYS_OF_QUESTIONS,
        )
        export = partial(
            export_table, files, self.defaults.prefix, sink.file_of, sink.lengths, options
        )
        try:
            table = await self.in_thread(_("Writing {name}").format(name=files.table.name), export)
        except OSError as error:
            raise disk_error(files.table, error) from None
        self.messages.show_table(replace(table, formulas=0) if self.job.csv_safe else table)

    async def evaluate(
        self, scan: InputScan, stats: RunStats, engine: Engine, make_plan: MakePlan
    ) -> Sequence[str]:
        """Evaluate and verify the answers; return what to say of them. Raises `EngineError`."""
        lines: list[str] = []
        path = self.files.results
        rows = RunRows(self.sink.file_of, self.sink.lengths, scan.ids)
        if self.evaluator is not None:
            if side_files := self.evaluator.side_files(path):
                self.sink.name_side_files(side_files)
            report = await self.in_thread(
                _("Evaluating {name}").format(name=path.name),
                partial(self.evaluator.run, path, rows),
            )
            stats.questions, stats.unsure = report.result.as_json(), report.unsure
            if stats.questions:
                self.sink.record_questions(stats.questions)
            lines += report.lines
        count = self.job.evaluation.verify
        if count is not None and self.sink.answered:
            reader = partial(iter_open_rows, self.inputs, self.defaults, scan)
            sampled = await self.in_thread(
                _("Reading {name}").format(name=path.name),
                lambda counter: sample_rows(path, rows, self.defaults, count, reader, counter),
            )
            display = self.messages.display
            n = len(sampled.requests)
            text = plural("Asking {n} row again ...", "Asking {n} rows again ...", n)
            with display.phase(text.format(n=n)):
                result = await verify(engine, sampled, self.job.rule, make_plan, display.warn)
            stats.verification = result.as_json()
            lines += result.lines()
        return lines
