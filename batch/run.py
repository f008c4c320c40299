"""One run of `qchat batch`, from names of files to an exit code.

rows -> feeder -> engine -> journal -> progress; this file ties them together and decides
nothing that one of them decides.
"""

import asyncio
import contextlib
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import uvloop

from ..errors import Code, EngineError, Exit, Failure, QchatError, UsageError, sentence
from ..i18n import _, plural
from ..settings import Settings, private_dir
from ..signals import Interrupted, exit_code, raise_on_signal, terminate_after
from .detach import detach
from .engines.dedup import DedupEngine
from .engines.engine_log import redirect_output
from .engines.selection import EngineRequest, EngineSelection, select_engine
from .inputs.discovery import (
    InputFile,
    InputScan,
    expand_inputs,
    iter_rows,
    scan_inputs,
    short_digest,
    with_keys,
)
from .inputs.rows import InvalidRow, RowDefaults
from .inputs.scan_cache import ScanCache
from .journal.journal import DiskTroubleError, Reload
from .journal.lock import RunLock
from .journal.output_files import OutputFiles, check_folder, name_outputs, refuse_own_output
from .journal.records import error_line, result_line
from .journal.sink import Sink, StalledError, StdoutSink, open_file_sink
from .progress import JsonProgress, ProgressDisplay
from .request import Outcome, Request
from .run_stats import RunStats
from .runner import BatchRunner
from .scheduler import RecordOutcome, RetryRule

LOGS_KEPT = 20
"""Logs of the engine that are kept."""

WORTH_SAYING = 64 << 20
"""Bytes of input from which on the first pass takes more than a second or so."""

ONCE = ("--restart", "--retry-failed", "--accept-changes")
"""Options that a resume must not repeat."""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What the command line asks for."""

    inputs: tuple[str, ...]
    output: str | None
    defaults: RowDefaults
    wish: EngineRequest
    limit: int | None = None
    restart: bool = False
    retry_failed: bool = False
    accept_changes: bool = False
    ordered: bool = False
    dedup: bool = False
    time_limit: float | None = None
    allow_duplicates: bool = False
    quiet: bool = False
    json: bool = False
    rule: RetryRule = field(default_factory=RetryRule)


def start_detached(job: BatchJob, settings: Settings, words: Sequence[str]) -> Exit:
    """Start ``qchat WORDS``, which asks for `job`, in the background. Raises `UsageError`."""
    streams = [name for name in job.inputs if name == "-" or Path(name).is_fifo()]
    if job.output == "-" or streams:
        raise UsageError(
            _("--detach needs files: it can neither read standard input nor write -o -.")
        )
    files = name_outputs(expand_inputs(job.inputs), job.output)
    return detach(words, files.lock, files.results, _new_log(settings, "detached"))


def run(job: BatchJob, settings: Settings, command: Sequence[str]) -> Exit:
    """Run to the end. `command` is what was typed, for the hint how to resume.

    Raises `UsageError` (nothing was started) and `EngineError` (can be resumed).
    """
    if job.ordered and job.output == "-":
        raise UsageError(_("--ordered needs a file: give -o NAME.jsonl."))
    inputs = expand_inputs(job.inputs)
    refuse_own_output(inputs)
    with raise_on_signal(), terminate_after(job.time_limit):
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_run(job, settings, inputs, command))
        except Interrupted as stop:  # not while rows are asked: see `_Run._feed`
            click.echo(_("Interrupted. The same command goes on."), err=True)
            return stop.exit_code


async def _run(
    job: BatchJob, settings: Settings, inputs: Sequence[InputFile], command: Sequence[str]
) -> Exit:
    # Copies of stdout and stderr: while vLLM runs in this process, descriptors 1 and 2 go to
    # a log file (see engine_log.redirect_output).
    with (
        os.fdopen(os.dup(1), "wb", buffering=0) as stdout,
        os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace") as stderr,
    ):
        screen = JsonProgress(stderr) if job.json else ProgressDisplay(stderr, quiet=job.quiet)
        if job.output == "-":
            sink = StdoutSink(stdout.fileno(), screen.warn)
            return await _Run(job, inputs, sink, screen, command, _tell_nobody).run(settings)
        files = name_outputs(inputs, job.output)
        check_folder(files)
        inputs = with_keys(inputs, files.results.parent)
        with RunLock(files.lock) as lock:
            if not lock.advisory:
                text = _("This file system has no locks: never run two of these at once here.")
                screen.warn(text)

            def tell(tally: RunStats) -> None:
                lock.tell({"progress": tally.as_json()})

            return await _Run(job, inputs, files, screen, command, tell).run(settings)


def _tell_nobody(_tally: RunStats) -> None:
    pass


class _Run:
    """A run whose output, if it has files, is locked."""

    def __init__(
        self,
        job: BatchJob,
        inputs: Sequence[InputFile],
        output: OutputFiles | StdoutSink,
        screen: ProgressDisplay,
        command: Sequence[str],
        tell: Callable[[RunStats], None],
    ) -> None:
        self._job = job
        self._inputs = inputs
        self._keys = [item.key or item.name for item in inputs]
        self._output = output
        self._screen = screen
        self._command = command
        self._tell = tell
        self._defaults = job.defaults

    async def run(self, settings: Settings) -> Exit:
        """Choose the engine, read the input, ask what is open."""
        chosen = await select_engine(
            self._job.wish, settings, lambda: _new_log(settings, "batch"), self._screen
        )
        if self._job.dedup:
            chosen = chosen.around(DedupEngine)
        async with contextlib.AsyncExitStack() as stack:
            if chosen.log is not None:
                stack.enter_context(redirect_output(chosen.log))
            stack.push_async_callback(chosen.engine.close)
            chosen.engine.prewarm()
            self._defaults = replace(
                self._defaults,
                model=chosen.model,
                fallback_model=chosen.fallback_model,
                offered=chosen.offered,
            )
            names = ", ".join(item.name for item in self._inputs)
            plan = self._plan(ScanCache(settings.paths.cache / "plans"), names)
            if plan.rows == 0:
                self._screen.warn(_("{files}: no rows, nothing to do.").format(files=names))
                return Exit.OK
            return await self._go_on(plan, chosen, stack)

    def _plan(self, plans: ScanCache, names: str) -> InputScan:
        """What the first pass over the input found, now or when it was read before."""
        duplicates = self._job.allow_duplicates
        key = plans.key(self._inputs, self._defaults, self._job.limit, duplicates)
        plan = plans.load(key)
        if plan is None:
            with self._reading(names):
                plan = scan_inputs(
                    self._inputs,
                    self._defaults,
                    limit=self._job.limit,
                    allow_duplicates=duplicates,
                )
            if plans.key(self._inputs, self._defaults, self._job.limit, duplicates) == key:
                plans.save(key, plan)
        return plan

    def _reading(self, names: str) -> AbstractContextManager[None]:
        """Say that the input is read, where that takes a person's time."""
        if sum(item.path.stat().st_size for item in self._inputs) < WORTH_SAYING:
            return contextlib.nullcontext()
        return self._screen.phase(_("Reading {names} ...").format(names=names))

    async def _go_on(
        self, plan: InputScan, chosen: EngineSelection, stack: contextlib.AsyncExitStack
    ) -> Exit:
        sink = self._sink(plan, chosen)
        tally = RunStats(plan.rows, sink.answered, sink.failed)
        self._screen.say(chosen.reason)
        self._say_start(plan, tally)
        if tally.done == tally.total:
            text = _("All {n} rows are done already{failed}.")
            self._screen.say(text.format(n=tally.total, failed=_failed(tally)))
            self._say_results(tally)
            sink.close("finished")
            return _code(tally)
        state, failed = "interrupted", True
        asking = BatchRunner(
            chosen,
            lambda: self._open_rows(plan, sink, tally),
            self._recorder(sink, tally),
            self._job.rule,
            isinstance(self._defaults.model, str),
            sink,
            tally,
            self._screen,
            self._stalled,
            self._tell,
        )
        stack.push_async_callback(asking.close)
        try:
            await asking.run()
            failed = False
            if tally.done == tally.total:
                state = "finished"
        except StalledError:
            failed = False
        except EngineError as error:
            if not isinstance(error, DiskTroubleError):
                state = "lost"
            raise EngineError(f"{sentence(str(error))} {self._where(tally)}") from error
        finally:
            # An error on its way out tells more than one met while closing.
            with contextlib.suppress(QchatError) if failed else contextlib.nullcontext():
                sink.close(state)
        if asking.signum is not None and state != "finished":
            self._screen.warn(_("Stopped. {where}").format(where=self._where(tally)))
            return exit_code(asking.signum)
        if state != "finished":
            text = _("An input became shorter while it was read; {n} rows were not found. {where}")
            n = tally.total - tally.done
            raise EngineError(text.format(n=n, where=self._where(tally)))
        self._screen.finish(tally)
        if self._job.dedup and not tally.copied:
            text = _(
                "--dedup: of the rows asked now, no two that are greedy (temperature 0) or have a "
                "seed were equal."
            )
            self._screen.say(text)
        self._say_results(tally)
        return _code(tally)

    def _sink(self, plan: InputScan, chosen: EngineSelection) -> Sink:
        screen, files = self._screen, self._output
        if isinstance(files, StdoutSink):
            return files
        ledger, repairs, moved = open_file_sink(
            files,
            plan,
            self._inputs,
            self._defaults,
            engine=chosen.kind,
            how=Reload(
                limited=self._job.limit is not None,
                retry_failed=self._job.retry_failed,
                accept_changes=self._job.accept_changes,
            ),
            restart=self._job.restart,
            ordered=self._job.ordered,
        )
        if moved:
            names = ", ".join(path.name for path in moved)
            screen.say(_("The earlier run is kept as {names}.").format(names=names))
        if repairs.torn:
            screen.say(_("Cut an unfinished last line that a crash left; its row is asked again."))
        if repairs.damaged:
            text = plural(
                "{n} damaged line of the results is set aside in {path}; its row is asked again.",
                "{n} damaged lines of the results are set aside in {path}; their rows are asked "
                "again.",
                repairs.damaged,
            )
            screen.warn(text.format(n=repairs.damaged, path=files.damaged))
        if repairs.changed:
            text = plural(
                "{n} row has changed and is asked again; its old answer is kept in {path}.",
                "{n} rows have changed and are asked again; the old answers are kept in {path}.",
                repairs.changed,
            )
            screen.say(text.format(n=repairs.changed, path=files.changed))
        return ledger

    def _recorder(self, sink: Sink, tally: RunStats) -> RecordOutcome:
        keys, prefix = self._keys, self._defaults.prefix

        def record(request: Request, outcome: Outcome, attempts: int) -> None:
            name = keys[request.file]
            if outcome.body is not None:
                line = result_line(
                    request, outcome.body, name=name, attempts=attempts, prefix=prefix
                )
                sink.add_result(request.file, request.line, line)
            else:
                assert outcome.failure is not None
                line = error_line(request, outcome.failure, name=name, attempts=attempts)
                sink.add_error(request.file, request.line, line)
            tally.add(outcome)

        return record

    def _stalled(self) -> bool:
        return isinstance(self._output, StdoutSink) and self._output.writing

    def _say_start(self, plan: InputScan, tally: RunStats) -> None:
        if plan.bad:
            text = plural(
                "{n} line is no request; the errors file says why.",
                "{n} lines are no requests; the errors file says why.",
                plan.bad,
            )
            self._screen.warn(text.format(n=plan.bad))
        if 0 < tally.done < tally.total:
            text = _("{done} of {total} rows are done already; going on with the rest.")
            self._screen.say(text.format(done=tally.done, total=tally.total))

    def _say_results(self, tally: RunStats) -> None:
        if isinstance(self._output, StdoutSink):
            return
        self._screen.say(_("Results: {path}").format(path=self._output.results))
        if tally.all_failed:
            text = plural(
                "Errors:  {path} ({n} row; --retry-failed asks it again)",
                "Errors:  {path} ({n} rows; --retry-failed asks them again)",
                tally.all_failed,
            )
            self._screen.warn(text.format(path=self._output.errors, n=tally.all_failed))

    def _where(self, tally: RunStats) -> str:
        if isinstance(self._output, StdoutSink):
            text = _("{done} of {total} rows are done{failed}.")
            return text.format(done=tally.done, total=tally.total, failed=_failed(tally))
        # The very command to type; what was to be done once is no reason to do so again.
        command = shlex.join(word for word in self._command if word not in ONCE)
        text = _("{done} of {total} rows are done and kept{failed}; to go on:\n  {command}")
        return text.format(
            done=tally.done, total=tally.total, failed=_failed(tally), command=command
        )

    def _open_rows(self, plan: InputScan, sink: Sink, tally: RunStats) -> Iterator[Request]:
        """The rows still to ask; bad ones are recorded on the way."""
        for row in iter_rows(self._inputs, self._defaults, self._job.limit):
            marks = plan.digests[row.file]
            if row.line > len(marks):
                continue  # appended to the input since: rows of the next run
            if not sink.is_open(row.file, row.line):
                continue
            if isinstance(row, InvalidRow):
                failure = Failure(Code.INVALID_LINE, row.message)
                line = error_line(row, failure, name=self._keys[row.file], attempts=0)
                sink.add_error(row.file, row.line, line)
                tally.add(Outcome(failure=failure))
                continue
            if marks[row.line - 1] != short_digest(row.digest):
                text = _("{file} was changed while it was read (line {line}).")
                raise EngineError(text.format(file=self._inputs[row.file].name, line=row.line))
            yield row


def _new_log(settings: Settings, kind: str) -> Path:
    """A file for the words of vLLM (``batch``) or of a ``detached`` run; the last ones are kept."""
    folder = private_dir(settings.paths.state / "logs")
    old = sorted(folder.glob(f"{kind}-*.log"))
    for path in old[: -(LOGS_KEPT - 1)]:
        path.unlink(missing_ok=True)
    return folder / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"


def _code(tally: RunStats) -> Exit:
    return Exit.ROWS_FAILED if tally.all_failed else Exit.OK


def _failed(tally: RunStats) -> str:
    return _(" ({n} of them failed)").format(n=tally.all_failed) if tally.all_failed else ""
