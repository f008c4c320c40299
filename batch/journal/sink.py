"""Write outcomes to files, with resume (`FileSink`); `stdout_sink` has the other sink."""

import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import orjson

from ...errors import EngineError
from ...i18n import _
from ...json_types import JsonObject
from ..background import WorkCancelledError, WorkCounter
from ..histogram import LogHistogram, histogram_of
from ..inputs.discovery import InputFile
from ..inputs.row_defaults import RowDefaults
from ..inputs.scan import InputScan
from ..quality import INVALID, quality_of_record
from ..request import Request
from .adoption import adopt_answers, check_adoptable, copy_answers
from .appender import disk_error
from .counting import earlier_qualities
from .input_names import InputNames
from .journal import Journal, ReadRows
from .manifest import (
    Manifest,
    compute_of_all,
    differences,
    load_manifest,
    recorded_columns,
    recorded_settings,
    refuse_other_columns,
    refuse_other_prefix,
)
from .order import order_results
from .output_files import OutputFiles, output_mode, refuse_foreign, set_aside
from .records import response_of_record
from .reload import ReloadOptions, Repairs, refuse_changes
from .replacements import ReopenedRows, merge_replacements


class Sink(Protocol):
    """Records the line of each finished row, once."""

    @property
    def answered(self) -> int:
        """Rows answered, in earlier runs too."""

    @property
    def failed(self) -> int:
        """Rows that failed for good, in earlier runs too."""

    @property
    def qualities(self) -> "Counter[str]":
        """Counts of rows by `quality`, in earlier runs too; whoever counts adds to them."""

    @property
    def latency(self) -> LogHistogram:
        """The times to an answer in seconds, in earlier runs too; whoever counts adds to them."""

    def earlier(self, file: int, line: int) -> JsonObject | None:
        """Return the response of an earlier run to a row that is asked again to replace it."""

    def keep_earlier(self, file: int, line: int) -> bool:
        """Let a row that is asked again have its earlier answer; whether it has one."""

    def start(self) -> None:
        """Prepare for the first line; called once. Raises `EngineError`."""

    def number(self, file: int) -> int:
        """Return the number of an input, from 0, by which OpenAI's results name it."""

    def is_open(self, file: int, line: int) -> bool:
        """Whether the row has no line yet."""

    def next_open(self, file: int, line: int) -> int | None:
        """Return the first line from `line` on that may have an open row; None for no more."""

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Record the line of an answer. Raises `EngineError`."""

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Record the line of a failure. Raises `EngineError`."""

    def sync(self) -> None:
        """Make all lines durable; called from another thread. Raises `EngineError`."""

    def close(self, state: str, counter: WorkCounter) -> None:
        """Finish; `state` is ``finished``, ``interrupted`` or ``lost``.

        Called from another thread, with a counter of its progress. Raises `EngineError`.
        """


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Which answers open rows get without being asked: those of the results file `adopt`, and
    those of equal rows, if there is a function that tells which rows would get the same again."""

    adopt: str | None = None
    is_repeatable: Callable[[Request], bool] | None = None


class FileSink:
    """The journal and its manifest."""

    def __init__(
        self,
        files: OutputFiles,
        journal: Journal,
        manifest: Manifest,
        *,
        resumed: bool,
        ordered: bool = False,
        samples: int = 1,
        qualities: "Counter[str] | None" = None,
        reopened: ReopenedRows | None = None,
    ) -> None:
        self._files = files
        self._ordered = ordered
        self.left_unordered = False
        self.samples = samples
        self._has_manifest = resumed
        self._journal = journal
        self._manifest = manifest
        self.qualities = Counter() if qualities is None else qualities
        self.latency = histogram_of(manifest.latency)
        self._reopened = reopened
        self.add_result = self._add_again if reopened else journal.add_result
        self.add_error = journal.add_error
        self.number = journal.number
        self.is_open = journal.is_open
        self.next_open = journal.next_open
        self.file_of = journal.file_of

    @property
    def lengths(self) -> Sequence[int]:
        """Number of lines of each input."""
        return self._journal.lengths

    @property
    def answered(self) -> int:
        """Rows answered, in earlier runs too."""
        return self._journal.answered

    @property
    def failed(self) -> int:
        """Rows that failed for good, in earlier runs too."""
        return self._journal.failed

    def _add_again(self, file: int, line: int, data: bytes) -> None:
        if self._reopened is None or (file, line) not in self._reopened:
            self._journal.add_result(file, line, data)
            return
        try:
            self._reopened.add((file, line), data)
        except OSError as error:
            raise disk_error(self._files.retry, error) from None
        self._journal.close_again(file, line)

    def earlier(self, file: int, line: int) -> JsonObject | None:
        """Return the response of an earlier run to a row that is asked again to replace it."""
        if self._reopened is None or (file, line) not in self._reopened:
            return None
        return response_of_record(self._reopened.record((file, line)), self._manifest.prefix)

    def keep_earlier(self, file: int, line: int) -> bool:
        """Let a row that is asked again have its earlier answer; whether it has one."""
        if self._reopened is None or (file, line) not in self._reopened:
            return False
        self.qualities[self._reopened.keep((file, line))] += 1
        self._journal.close_again(file, line)
        return True

    def sync(self) -> None:
        """Make all lines durable; may run in another thread. Raises `DiskTroubleError`."""
        self._journal.sync()
        if self._reopened is not None:
            self._reopened.sync()

    def start(self) -> None:
        """Save the manifest, then open the files that it names: a crash in between is harmless."""
        self._has_manifest = True
        self._save_state("running")
        self._journal.start()

    def close(self, state: str, counter: WorkCounter) -> None:
        """Sync, close, and record the state in the manifest; without a start, write nothing.

        With ``--ordered``, sort the results of a finished run first; `left_unordered` says that
        they have lines of no row of this run, and were not. The state of a run whose sorting is
        cancelled is ``interrupted``.
        """
        self._journal.close()
        try:
            if self._reopened is not None:
                self._reopened.close()
                self._merge(counter)
            if self._ordered and state == "finished":
                self._order(counter)
        except WorkCancelledError:
            self._save_state("interrupted")
            raise
        self._save_state(state)

    def record_questions(self, questions: Mapping[str, Any]) -> None:
        """Keep in the manifest how good the answers are. Raises `DiskTroubleError`."""
        try:
            self._manifest = self._manifest.save(self._files.manifest, questions=dict(questions))
        except OSError as error:
            raise disk_error(self._files.manifest, error) from None

    def _merge(self, counter: WorkCounter) -> None:
        try:
            merge_replacements(self._files.results, self._files.retry, counter)
        except OSError as error:
            raise disk_error(self._files.results, error) from None

    def _order(self, counter: WorkCounter) -> None:
        path = self._files.results
        if not path.exists():
            return
        counter.total_bytes = 2 * path.stat().st_size  # read once, written once
        journal, prefix = self._journal, self._manifest.prefix
        try:
            self.left_unordered = not order_results(
                path, prefix, journal.file_of, journal.lengths, counter, self.samples
            )
        except OSError as error:
            raise disk_error(path, error) from None

    def _still_open(self) -> "Counter[str]":
        """Counts of the rows that have their earlier answers yet."""
        return Counter() if self._reopened is None else self._reopened.qualities()

    def _save_state(self, state: str) -> None:
        if not self._has_manifest:
            return
        path = self._files.manifest
        try:
            self._manifest = self._manifest.save(
                path,
                state=state,
                answered=self.answered + len(self._reopened or ()),
                failed=self.failed,
                qualities=dict(self.qualities + self._still_open()),
                latency=self.latency.as_json(),
            )
        except OSError as error:
            raise disk_error(path, error) from None


def open_file_sink(
    files: OutputFiles,
    scan: InputScan,
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    *,
    engine: str,
    compute: Mapping[str, Any] | None = None,
    reload: ReloadOptions,
    read_rows: ReadRows,
    restart: bool = False,
    ordered: bool = False,
    retry_where: Iterable[str] = (),
    take_over: TakeOver | None = None,
    counter: WorkCounter | None = None,
) -> tuple[FileSink, Repairs, list[Path]]:
    """Open the files of a run and read what an earlier one left in them.

    Returns the sink, the repairs that were made and the files that `restart` renamed. Answers of
    the qualities `retry_where` are to be replaced. Raises `UsageError` when this run can't continue
    the earlier one, and `EngineError` when its files can't be read.
    """
    manifest = load_manifest(files.manifest)
    refuse_foreign(files, manifest)
    earlier = manifest if not restart else None
    keys = tuple(item.key for item in inputs)
    names = InputNames.of(keys, earlier.inputs if earlier else ())
    new = Manifest(
        names.recorded,
        files.results.name,
        files.errors.name,
        recorded_settings(defaults),
        engine=engine,
        prefix=defaults.prefix,
        rows=scan.rows,
        tables=_tables(files, earlier),
        columns=recorded_columns(defaults),
        compute=compute_of_all(earlier, compute or {}),
    )
    counter = counter or WorkCounter()
    journal = Journal(files, scan, names, output_mode(inputs[0].path))
    repairs = Repairs()
    renamed: list[Path] = []
    qualities: Counter[str] = Counter()
    reopened: ReopenedRows | None = None
    try:
        if manifest is not None and restart:
            renamed = set_aside(files)
        elif earlier is not None:
            refuse_other_prefix(earlier, defaults.prefix)
            refuse_other_columns(earlier, recorded_columns(defaults))
            merge_replacements(files.results, files.retry, counter)
            paths = (files.results, files.errors)
            counter.total_bytes = sum(path.stat().st_size for path in paths if path.exists())
            changes = differences(earlier.settings, new.settings)
            options = replace(reload, prefix=earlier.prefix, new_settings=bool(changes))

            def prepare() -> None:  # lines may name new inputs before this run has a manifest
                replace(earlier, inputs=names.recorded).save(files.manifest)

            repairs = journal.load(options, read_rows, prepare, counter)
            if not reload.accept_changes:
                refuse_changes(repairs, changes)
            new = replace(new, created=earlier.created, latency=earlier.latency)
            rows = journal.answered, journal.failed
            qualities = earlier_qualities(files, earlier, rows, journal.has, counter)
            reopened = _reopen(journal, files, retry_where, earlier.prefix, counter)
            if reopened is not None:
                qualities -= reopened.qualities()
        copied = 0
        if take_over is not None and reopened is None:
            for line in _taken_over(journal, files, new, take_over, read_rows, counter):
                copied += 1
                qualities[quality_of_record(orjson.loads(line), new.prefix).value] += 1
            repairs = replace(repairs, copied=copied)
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise EngineError(text.format(path=files.results, reason=_(error.strerror))) from None
    resumed = (manifest is not None and not restart) or copied > 0
    sink = FileSink(
        files,
        journal,
        new,
        resumed=resumed,
        ordered=ordered,
        samples=defaults.samples,
        qualities=qualities,
        reopened=reopened,
    )
    return sink, repairs, renamed


def _taken_over(
    journal: Journal,
    files: OutputFiles,
    manifest: Manifest,
    take_over: TakeOver,
    read_rows: ReadRows,
    counter: WorkCounter,
) -> Iterator[bytes]:
    """Give open rows the answers of another file and of equal rows; yield the lines written."""

    def prepare() -> None:
        manifest.save(files.manifest, state="interrupted")

    prefix = manifest.prefix
    if take_over.adopt is not None:
        path = check_adoptable(take_over.adopt, files, prefix)
        yield from adopt_answers(journal, path, files.results, prefix, read_rows, counter, prepare)
    if take_over.is_repeatable is not None and files.results.exists():
        is_repeatable = take_over.is_repeatable
        yield from copy_answers(journal, files.results, prefix, read_rows, is_repeatable, counter)


def _reopen(
    journal: Journal,
    files: OutputFiles,
    qualities: Iterable[str],
    prefix: str,
    counter: WorkCounter,
) -> ReopenedRows | None:
    """Open the rows with answers of these qualities again; None where there are none."""
    wanted = frozenset(qualities) - {INVALID}
    if not wanted or not files.results.exists():
        return None
    mode = stat.S_IMODE(files.results.stat().st_mode)
    rows = ReopenedRows(files.results, files.retry, mode)
    for row in rows.find(wanted, prefix, journal.file_of, counter):
        if not journal.reopen(*row):
            rows.keep(row)
    return rows if len(rows) else None


def _tables(files: OutputFiles, earlier: Manifest | None) -> tuple[str, ...]:
    tables = dict.fromkeys(earlier.tables if earlier else ())
    if files.table is not None:
        tables[files.table.name] = None
    return tuple(tables)
