"""`run_batch` and `abatch`: a batch as an iterator of results."""

import asyncio
import contextlib
import queue
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import UsageError
from ...i18n import _
from ...settings import load
from ..inputs.discovery import InputFile, expand_inputs
from ..journal.manifest import is_own_output
from ..journal.output_files import OutputFiles, name_outputs, refuse_own_output
from .background_run import BackgroundRun, Ended, Event, Opened
from .journal_reader import JournalLine, JournalReader, Row
from .options import BatchOptions, job_of_options
from .progress_line import progress_line
from .results import BatchSummary, Progress, RowResult, progress_of, summary_of
from .rows import Inputs, close_spool, names_of, spool

OnProgress = Callable[[Progress], None]


def run_batch(
    inputs: Inputs,
    options: BatchOptions | None = None,
    *,
    progress: bool | OnProgress = False,
    **more: Any,
) -> "BatchRun":
    """Answer the rows of `inputs`; iterate over what is returned for their results.

    `inputs` are a file, folder, glob or URL as text or `Path` (or several `Path`s), or rows: an
    iterable of texts, mappings or lists of messages, a table of pandas, polars or pyarrow. A text
    stands for a file, a list of texts for prompts. `more` are fields of `BatchOptions`, and win
    over `options`. `progress` is called about once a second while results are iterated, in the
    iterating thread; True shows a line on stderr, or in the notebook's cell.

    The run is that of `qchat batch`: the same journal, manifest, lock and resume. The same call
    continues a run that was stopped or killed, and yields earlier results first. It takes no
    signals, uses no event loop of the caller's, and writes nothing to stdout; vLLM, where no server
    is asked, runs in processes of its own. It begins with the first iteration (or `wait`). Leave
    the iteration early within ``with run_batch(...) as run``, or call `close`: the run is then
    stopped, to be resumed.

    A row that fails is a result with an `error`. Raises `UsageError` for invalid options and inputs
    at once, and while iterating `UsageError` and `EngineError` as the command does (exit codes 2
    and 3); all that was answered is in the journal then.
    """
    return BatchRun(_Batch(inputs, _options(options, more)), progress)


def abatch(
    inputs: Inputs | AsyncIterable[Any],
    options: BatchOptions | None = None,
    *,
    progress: bool | OnProgress = False,
    **more: Any,
) -> "AsyncBatchRun":
    """`run_batch` for ``async for``; `inputs` may be an async iterable of rows too.

    The running loop goes on while the batch runs in a thread of its own. Cancelling the task that
    iterates stops the run, to be resumed.
    """
    return AsyncBatchRun(inputs, _options(options, more), progress)


def _options(options: BatchOptions | None, more: dict[str, Any]) -> BatchOptions:
    known = {one.name for one in fields(BatchOptions)}
    for name in more:
        if name not in known:
            import difflib

            text = _("There is no option {name!r}.").format(name=name)
            if near := difflib.get_close_matches(name, known, n=1):
                text += " " + _("Did you mean {near!r}?").format(near=near[0])
            raise UsageError(text)
    return replace(options or BatchOptions(), **more)


class _Batch:
    """What both kinds of iteration have in common: inputs, files, the run, and its events."""

    def __init__(self, inputs: Inputs, options: BatchOptions) -> None:
        self._spooled: InputFile | None = None
        self._folder: str | None = None
        self._closed = False
        self.ordered = options.ordered
        self.summary: BatchSummary | None = None
        settings = load()
        job = job_of_options(options, settings)
        try:
            items, files = self._files(inputs, options)
            job = replace(job, output=str(files.table or files.results))
            self._reader = JournalReader(files, [item.name for item in items], options.prefix)
            self.files = files
            self._events: Callable[[Event], None] = lambda _event: None
            self.run = BackgroundRun(
                job,
                settings,
                items,
                self._reader,
                lambda event: self._events(event),
                self._folder,
            )
        except BaseException:
            self._clean_up()
            raise

    def _files(self, inputs: Inputs, options: BatchOptions) -> tuple[list[InputFile], OutputFiles]:
        names = names_of(inputs)
        if names is not None:
            items = expand_inputs(names, is_own_output, options.encoding)
            refuse_own_output(items)
        else:
            assert not isinstance(inputs, str | Path)
            self._spooled = spool(inputs)
            items = [self._spooled]
        output = None if options.output is None else str(options.output)
        if output == "-":
            raise UsageError(_("output is a file's name here; leave it out for a temporary one."))
        if output is None and self._spooled is not None:
            self._folder = tempfile.mkdtemp(prefix="qchat-")
            output = str(Path(self._folder, "rows.jsonl"))
        return items, name_outputs(items, output)

    def start(self, events: Callable[[Event], None]) -> None:
        self._events = events
        self.run.start()

    def results_of(
        self, event: Event, held: "list[tuple[Row, RowResult | JournalLine]]"
    ) -> Iterator[RowResult]:
        """The results that an event brings. With `ordered` all are held until the end."""
        if isinstance(event, Opened):
            for row, result in self._reader.earlier():
                if self.ordered:
                    held.append((row, result))
                else:
                    yield result
        elif isinstance(event, JournalLine):
            if self.ordered:
                held.append((event.row, event))
            else:
                yield self._reader.read(event)
        elif isinstance(event, Ended):
            held.sort(key=lambda one: one[0])
            for _row, one in held:
                yield self._reader.read(one) if isinstance(one, JournalLine) else one

    def close(self) -> None:
        """Stop the run if it is not over, wait for its end, and remove what was temporary."""
        if self._closed:
            return
        self._closed = True
        if self.run.started:
            self.run.stop()
            self.run.join()
        self._summarize()
        self._clean_up()

    def finish(self) -> None:
        """Close a run that has ended."""
        self.run.join()
        self._summarize()
        self._closed = True
        self._clean_up()

    def show_end(self, show: OnProgress) -> None:
        """Show how far a run came that has ended."""
        if self.run.stats is not None:
            show(progress_of(self.run.stats))

    def _summarize(self) -> None:
        if self.run.stats is not None:
            is_kept = self._folder is None
            self.summary = summary_of(
                self.run.stats,
                (self.files.table or self.files.results) if is_kept else None,
                self.files.errors if is_kept and self.files.errors.exists() else None,
            )

    def _clean_up(self) -> None:
        if hasattr(self, "_reader"):
            self._reader.close()
        spooled, self._spooled = self._spooled, None
        if spooled is not None:
            close_spool(spooled)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def warn_unless_started(self) -> None:
        if not self._closed and not self.run.started:
            text = "a batch was never iterated, so nothing was asked; iterate over it, or wait()"
            warnings.warn(text, ResourceWarning, stacklevel=3)


class BatchRun(Iterator[RowResult]):
    """A batch, as an iterator of its results in the order of their coming (see `run_batch`).

    Use it in a ``with`` to have it stopped at the end of the block. `summary` is there once the run
    has ended, `results` is the path of its results file.
    """

    def __init__(self, batch: _Batch, progress: bool | OnProgress) -> None:
        self._batch = batch
        self._progress = progress
        self._iterator: Iterator[RowResult] | None = None

    @property
    def summary(self) -> BatchSummary | None:
        """The counts of the run; None before its end, and where it had no rows."""
        return self._batch.summary

    @property
    def results(self) -> Path:
        """The results file."""
        return self._batch.files.results

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RowResult:
        if self._iterator is None:
            self._iterator = self._iterate()
        return next(self._iterator)

    def _iterate(self) -> Iterator[RowResult]:
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        held: list[tuple[Row, RowResult | JournalLine]] = []
        with progress_line(self._progress) as show:
            try:
                self._batch.start(events.put)
                while True:
                    event = events.get()
                    if isinstance(event, Progress):
                        show(event)
                    yield from self._batch.results_of(event, held)
                    if isinstance(event, Ended):
                        self._batch.finish()
                        self._batch.show_end(show)
                        if event.error is not None:
                            raise event.error
                        return
            finally:
                self._batch.close()

    def wait(self) -> BatchSummary | None:
        """Run to the end without looking at the results; return the summary."""
        for _result in self:
            pass
        return self.summary

    def stop(self) -> None:
        """Stop as the first Ctrl-C does on the command line; may be called from any thread.

        The iteration then ends after the rows in flight, and the same call resumes.
        """
        self._batch.run.stop()

    def close(self) -> None:
        """Stop, and wait for the rows in flight (5 s at most)."""
        if self._iterator is not None:
            self._iterator.close()  # type: ignore[attr-defined]
        self._batch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_batch"):
            self._batch.warn_unless_started()
            if not self._batch.run.started:
                self._batch.close()


class AsyncBatchRun(AsyncIterator[RowResult]):
    """A batch, as an async iterator of its results (see `abatch` and `BatchRun`)."""

    def __init__(
        self,
        inputs: Inputs | AsyncIterable[Any],
        options: BatchOptions,
        progress: bool | OnProgress,
    ) -> None:
        self._inputs = inputs
        self._options = options
        self._progress = progress
        self._batch: _Batch | None = None
        if not isinstance(inputs, AsyncIterable):
            self._batch = _Batch(inputs, options)
        self._iterator: AsyncIterator[RowResult] | None = None

    @property
    def summary(self) -> BatchSummary | None:
        """The counts of the run; None before its end, and where it had no rows."""
        return None if self._batch is None else self._batch.summary

    @property
    def results(self) -> Path | None:
        """The results file; None before an async iterable of rows was read."""
        return None if self._batch is None else self._batch.files.results

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RowResult:
        if self._iterator is None:
            self._iterator = self._iterate()
        return await anext(self._iterator)

    async def _iterate(self) -> AsyncIterator[RowResult]:
        batch = await self._open()
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()
        held: list[tuple[Row, RowResult | JournalLine]] = []

        def deliver(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed
                loop.call_soon_threadsafe(events.put_nowait, event)

        with progress_line(self._progress) as show:
            try:
                batch.start(deliver)
                while True:
                    event = await events.get()
                    if isinstance(event, Progress):
                        show(event)
                    for result in batch.results_of(event, held):
                        yield result
                    if isinstance(event, Ended):
                        batch.finish()
                        batch.show_end(show)
                        if event.error is not None:
                            raise event.error
                        return
            finally:
                batch.run.stop()
                # In a thread, as rows in flight get some seconds; shielded, as the task that
                # iterates may be being cancelled.
                await asyncio.shield(asyncio.to_thread(batch.close))

    async def _open(self) -> _Batch:
        if self._batch is None:
            assert isinstance(self._inputs, AsyncIterable)
            rows: Iterable[Any] = [row async for row in self._inputs]
            self._batch = await asyncio.to_thread(_Batch, rows, self._options)
        return self._batch

    async def wait(self) -> BatchSummary | None:
        """Run to the end without looking at the results; return the summary."""
        async for _result in self:
            pass
        return self.summary

    def stop(self) -> None:
        """Stop as the first Ctrl-C does on the command line; the same call resumes."""
        if self._batch is not None:
            self._batch.run.stop()

    async def aclose(self) -> None:
        """Stop, and wait for the rows in flight (5 s at most)."""
        if self._iterator is not None:
            await self._iterator.aclose()  # type: ignore[attr-defined]
        elif self._batch is not None:
            self._batch.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        batch = getattr(self, "_batch", None)
        if batch is not None:
            batch.warn_unless_started()
            if not batch.run.started:
                batch.close()
