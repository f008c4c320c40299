"""One run of `qchat batch`, from names of files to an exit code.

rows -> scheduler -> engine -> journal -> progress; this file only connects them.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import EngineError, Exit, QchatError, UsageError, sentence
from ..i18n import _
from ..running_batches import BatchEntry
from ..settings import Settings
from ..signals import exit_code
from .background import WorkCounter, run_in_thread
from .earlier_run import EarlierRun
from .engines.dedup import DedupEngine, is_repeatable
from .engines.engine_log import redirect_output
from .engines.selection import EngineSelection, select_engine
from .evaluation.stage import Evaluator
from .finishing import Finisher
from .input_files import inputs_of
from .inputs.discovery import InputFile, are_empty, total_size, with_keys
from .inputs.samples import first_samples, with_samples
from .inputs.scan import InputScan, iter_open_rows, iter_rows_beyond, scan_inputs
from .inputs.scan_cache import ScanCache
from .job import BatchJob
from .journal.appender import DiskTroubleError
from .journal.lock import RunLock
from .journal.opening import TakeOver, open_file_sink
from .journal.output_files import OutputFiles, check_folder, name_outputs, refuse_own_output
from .journal.reload import ReloadOptions
from .journal.sink import FileSink, Sink
from .journal.stdout_sink import StalledError, StdoutSink
from .open_rows import open_rows
from .planning import notes, planner
from .progress import ProgressDisplay
from .publishing import publish_run
from .quality import INVALID
from .rates import record_rate
from .recorder import make_recorder
from .run_hooks import RunHooks
from .run_logs import new_log
from .run_loop import run_in_loop
from .run_messages import RunMessages
from .run_report import ReportWriter
from .run_stats import RunStats
from .runner import BatchRunner
from .stored_thoughts import learned_thoughts

T = TypeVar("T")


def run(job: BatchJob, settings: Settings, command: Sequence[str]) -> Exit:
    """Run to the end. `command` is the command line, for the hint how to resume.

    Raises `UsageError` (nothing was started) and `EngineError` (can be resumed).
    """
    if job.ordered and job.output == "-":
        raise UsageError(_("--ordered needs a file: give -o NAME.jsonl."))
    if job.adopt is not None and job.output == "-":
        raise UsageError(_("--adopt needs a file: give -o NAME.jsonl."))
    if job.report is not None and job.output == "-":
        raise UsageError(_("--report needs the results in a file: give -o NAME.jsonl."))
    inputs = inputs_of(job)
    if not job.is_stage:
        refuse_own_output(inputs)
    finished: list[Exit] = []
    hooks = RunHooks(finished=finished.append)
    # While rows are asked, `BatchRunner` handles signals.
    return run_in_loop(
        job,
        _("Interrupted. Run the same command again to resume."),
        lambda display: run_async(job, settings, inputs, display, command, hooks),
        finished,
    )


async def run_async(
    job: BatchJob,
    settings: Settings,
    inputs: Sequence[InputFile],
    display: ProgressDisplay,
    command: Sequence[str],
    hooks: RunHooks,
) -> Exit:
    """Run to the end in the running event loop; see `run`."""
    if job.output == "-":
        with os.fdopen(os.dup(1), "wb", buffering=0) as stdout:
            sink = StdoutSink(stdout.fileno(), display.warn)
            messages = RunMessages(display, None, command)
            inputs = with_samples(inputs, job.defaults.samples)
            with BatchEntry(settings.paths) as entry:
                tell = partial(publish_run, entry, None, command, hooks)
                return await _Run(job, inputs, sink, messages, tell, hooks).run(settings)
    files = name_outputs(inputs, job.output)
    check_folder(files)
    inputs = with_samples(with_keys(inputs, files.results.parent), job.defaults.samples)
    with RunLock(files.lock) as lock, BatchEntry(settings.paths) as entry:
        if not lock.advisory:
            display.warn(
                _("This file system has no locks: never start two runs with the same output here.")
            )

        def publish(stats: RunStats) -> None:
            lock.tell({**about, "progress": stats.as_json()})
            publish_run(entry, files.results, command, hooks, stats)

        messages = RunMessages(display, files, command)
        about = {"takes_signals": hooks.takes_signals, "command": messages.resume_command}
        lock.tell(about)
        return await _Run(job, inputs, files, messages, publish, hooks).run(settings)


class _Run:
    """A run whose output, if it has files, is locked."""

    def __init__(
        self,
        job: BatchJob,
        inputs: Sequence[InputFile],
        output: OutputFiles | StdoutSink,
        messages: RunMessages,
        publish: Callable[[RunStats], None],
        hooks: RunHooks,
    ) -> None:
        self._hooks = hooks
        self._job = job
        self._inputs = inputs
        self._keys = [item.key or item.name for item in inputs]
        self._output = output
        self._display = messages.display
        self._messages = messages
        self._publish = publish
        self._report = ReportWriter(job, output, messages, self._in_thread)
        self._defaults = job.defaults
        self._state = Path()
        self._evaluator: Evaluator | None = None
        self._error: EngineError | None = None  # why rows that are open can't be asked

    async def run(self, settings: Settings) -> Exit:
        """Choose the engine, read the input, ask the open rows."""
        self._state = settings.paths.state
        files = None if isinstance(self._output, StdoutSink) else self._output
        self._evaluator = Evaluator.prepare(self._job, files, self._inputs)
        earlier = EarlierRun.read(self._job, files)
        log = partial(new_log, settings, "batch")
        try:
            if are_empty(self._inputs):
                selection = earlier.without_engine()
            else:
                request = earlier.engine_request
                selection = await select_engine(request, settings, log, self._display)
        except EngineError as error:
            selection = earlier.without_engine(error)
        if self._job.dedup:
            selection = selection.around(DedupEngine)
        async with contextlib.AsyncExitStack() as stack:
            if selection.log is not None:
                stack.enter_context(redirect_output(selection.log))
            stack.push_async_callback(selection.engine.close)
            if not earlier.may_be_all:
                selection.engine.prewarm()
            self._defaults = replace(
                self._defaults,
                model=selection.model,
                fallback_model=selection.fallback_model,
                offered=selection.offered,
            )
            names = ", ".join(item.name for item in first_samples(self._inputs))
            cache = ScanCache(settings.paths.cache / "plans")
            parse_all = selection.fallback_error is not None or self._defaults.samples > 1
            scan = await self._in_thread(
                _("Reading {names}").format(names=names), partial(self._scan, cache, parse_all)
            )
            if scan.rows == 0:
                self._messages.show_no_rows(names, self._defaults.shapes.skipped)
                return Exit.OK
            self._error = selection.error
            if self._error is None and self._defaults.columns.lacks_model:
                self._error = selection.fallback_error
            if self._error is not None and not earlier.may_be_all:
                raise self._error
            try:
                code = await self._ask(scan, selection, stack)
            except EngineError:
                await self._report.write_last_report()
                raise
            if code in (Exit.OK, Exit.ROWS_FAILED):
                await self._report.write_report()
            else:
                self._report.say_how_to_report()
            self._hooks.finished(code)
            return code

    async def _in_thread(self, label: str, function: Callable[[WorkCounter], T]) -> T:
        """Run `function` in a thread; show how far it is when that takes long."""
        counter = WorkCounter()
        with self._display.working(label, counter) as tick:
            return await run_in_thread(function, counter, tick)

    def _scan(self, cache: ScanCache, parse_all: bool, counter: WorkCounter) -> InputScan:
        """Scan the input, or load the scan of an earlier run; of lines that one has parsed it is
        not known whether they name a model."""
        job = self._job
        key = cache.key(self._inputs, self._defaults, job.limit, job.allow_duplicates)
        scan = cache.load(key, self._defaults)
        if scan is None:
            counter.total_bytes = total_size(self._inputs)
            with cache.known_lines(None if parse_all else key, self._defaults) as known:
                scan = scan_inputs(
                    self._inputs,
                    self._defaults,
                    limit=job.limit,
                    allow_duplicates=job.allow_duplicates,
                    may_all_fail=job.rule.rows_fail_alone,
                    counter=counter,
                    known=known,
                )
            if cache.key(self._inputs, self._defaults, job.limit, job.allow_duplicates) == key:
                cache.save(key, scan, self._defaults, input_bytes=counter.bytes)
        return scan

    async def _ask(
        self, scan: InputScan, selection: EngineSelection, stack: contextlib.AsyncExitStack
    ) -> Exit:
        messages = self._messages
        shapes = replace(self._defaults.shapes)  # the asking pass counts again
        sink = await self._open_sink(scan, selection)
        stats = RunStats(
            scan.rows,
            sink.answered,
            sink.failed,
            qualities=sink.qualities,
            latency=sink.latency,
        )
        if self._error is not None and stats.done < stats.total:
            await self._close(sink, "lost")
            raise self._error
        watched = self._hooks.watch(sink, stats)
        if selection.reason:
            self._display.say(selection.reason)
        model = self._defaults.model if isinstance(self._defaults.model, str) else None
        self._say_all([*self._defaults.columns.messages(model), *notes(self._defaults)])
        messages.show_start(scan, stats, shapes, self._defaults.drop_last_assistant)
        make_plan = planner(self._defaults, selection, sink)
        results = None if isinstance(self._output, StdoutSink) else self._output.results
        thoughts = learned_thoughts(results, self._defaults)
        finisher = self._finisher(sink)
        lines: Sequence[str] = ()
        if stats.done == stats.total:
            messages.show_all_done(stats)
            await self._close(sink, "finished")
            count = self._job.evaluation.verify
            if count is not None and sink.answered and selection.needs_start:
                with self._display.phase(selection.start_message or _("Starting vLLM ...")):
                    await selection.engine.start(2 * min(count, sink.answered))
            if finisher is not None:
                await finisher.mend_thoughts(thoughts)
                lines = await finisher.evaluate(scan, stats, selection.engine, make_plan)
                await finisher.write_table()
                if self._job.json:
                    self._display.finish(stats)
                self._say_all(lines)
            messages.show_results(stats)
            return _exit_code(stats)
        state, failed = "interrupted", True
        runner = BatchRunner(
            selection,
            lambda: open_rows(self._inputs, self._keys, self._defaults, scan, watched, stats),
            make_recorder(self._keys, self._defaults, watched, stats, thoughts),
            self._job.rule,
            isinstance(self._defaults.model, str),
            watched,
            stats,
            self._display,
            self._is_stalled,
            self._publish,
            make_plan,
            on_stop=self._hooks.on_stop,
        )
        stack.push_async_callback(runner.close)
        try:
            await runner.run()
            failed = False
            if stats.done == stats.total:
                state = "finished"
        except StalledError:
            failed = False
        except EngineError as error:
            if not isinstance(error, DiskTroubleError):
                state = "lost"
            hint = messages.how_to_resume(stats)
            raise EngineError(f"{sentence(str(error))} {hint}") from error
        finally:
            # The error that is being raised says more than one met while closing.
            with contextlib.suppress(QchatError) if failed else contextlib.nullcontext():
                await self._close(sink, state)
        if runner.signum is not None and state != "finished":
            hint = messages.how_to_resume(stats)
            self._display.warn(_("Stopped. {hint}").format(hint=hint))
            return exit_code(runner.signum)
        if state != "finished":
            text = _("An input was shortened during the run; {n} rows are missing. {hint}")
            n = stats.total - stats.done
            raise EngineError(text.format(n=n, hint=messages.how_to_resume(stats)))
        if finisher is not None:
            await finisher.mend_thoughts(thoughts)
            lines = await finisher.evaluate(scan, stats, runner.engine, make_plan)
        self._display.finish(stats)
        self._say_all(lines)
        if self._hooks.records_rate:
            record_rate(self._state, model or self._defaults.fallback_model, stats)
        if finisher is not None:
            await finisher.write_table()
        if self._job.dedup:
            messages.show_dedup(stats)
        messages.show_results(stats)
        if stats.unordered and not self._job.ordered and not any(map(any, scan.custom_ids)):
            messages.show_order()
        return _exit_code(stats)

    async def _open_sink(self, scan: InputScan, selection: EngineSelection) -> Sink:
        files, job = self._output, self._job
        if isinstance(files, StdoutSink):
            return files
        # A row with images is known only with these, which are too much to read for it.
        has_images = self._defaults.images is not None
        read_beyond = partial(iter_rows_beyond, self._inputs, self._defaults, scan)
        sink, repairs, renamed = await self._in_thread(
            _("Reading {names}").format(names=files.results.name),
            lambda counter: open_file_sink(
                files,
                scan,
                self._inputs,
                self._defaults,
                engine=selection.kind,
                compute=None if selection.compute is None else selection.compute.as_json(),
                reload=ReloadOptions(
                    limited=job.limit is not None,
                    read_beyond=None if has_images else read_beyond,
                    retry_failed=job.retry_failed,
                    retry_invalid=INVALID in job.retry_where,
                    accept_changes=job.accept_changes,
                ),
                read_rows=partial(iter_open_rows, self._inputs, self._defaults, scan),
                restart=job.restart,
                ordered=job.ordered,
                retry_where=job.retry_where,
                take_over=TakeOver(
                    job.adopt, (lambda row: is_repeatable(row.body)) if job.dedup else None
                ),
                counter=counter,
            ),
        )
        self._messages.show_repairs(repairs, renamed)
        return sink

    async def _close(self, sink: Sink, state: str) -> None:
        """Close the sink; its files may be synced and sorted for long."""
        if isinstance(self._output, StdoutSink):
            return
        text = _("Sorting {name}") if self._job.ordered else _("Finishing {name}")
        await self._in_thread(
            text.format(name=self._output.results.name), partial(sink.close, state)
        )
        if isinstance(sink, FileSink):
            self._messages.show_damaged_retries(sink.damaged_retries)
            if sink.left_unordered:
                self._messages.show_left_unordered()

    def _finisher(self, sink: Sink) -> Finisher | None:
        """Return what looks at the results at the end; None where they go to standard output."""
        if isinstance(self._output, StdoutSink) or not isinstance(sink, FileSink):
            return None
        return Finisher(
            self._job,
            self._defaults,
            self._inputs,
            self._output,
            sink,
            self._evaluator,
            self._messages,
            self._in_thread,
        )

    def _say_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._display.say(line)

    def _is_stalled(self) -> bool:
        return isinstance(self._output, StdoutSink) and self._output.writing


def _exit_code(stats: RunStats) -> Exit:
    return Exit.ROWS_FAILED if stats.all_failed else Exit.OK
