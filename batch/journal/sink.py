"""Write outcomes to files, with resume (`FileSink`); `stdout_sink` has the other sink."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ...json_types import JsonObject
from ..background import WorkCancelledError, WorkCounter
from ..histogram import LogHistogram, histogram_of
from .appender import disk_error
from .journal import Journal
from .manifest import Manifest
from .order import order_results
from .output_files import OutputFiles, own_side_files
from .records import response_of_record
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
        self.damaged_retries = 0
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
        if self._reopened is not None:
            self._manifest = self._manifest.naming([self._files.retry])
        self._save_state("running")
        self._journal.start()

    def close(self, state: str, counter: WorkCounter) -> None:
        """Sync, close, and record the state in the manifest; without a start, write nothing.

        Merge answers that replace earlier ones; `damaged_retries` of them could not be. With
        ``--ordered``, sort the results of a finished run first; `left_unordered` says that
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
        self._save(questions=dict(questions))

    def name_side_files(self, paths: Sequence[Path]) -> None:
        """Have the manifest name files, before they are written. Raises `DiskTroubleError`."""
        self._manifest = self._manifest.naming(paths)
        self._save()

    def _merge(self, counter: WorkCounter) -> None:
        files = self._files
        try:
            self.damaged_retries = merge_replacements(files, self.name_side_files, counter)
        except OSError as error:
            raise disk_error(files.results, error) from None
        own_files = own_side_files(files, self._manifest)  # one of them is gone
        self._manifest = replace(self._manifest, side_files=own_files)

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
        self._save(
            state=state,
            answered=self.answered + len(self._reopened or ()),
            failed=self.failed,
            qualities=dict(self.qualities + self._still_open()),
            latency=self.latency.as_json(),
        )

    def _save(self, **changes: Any) -> None:
        try:
            self._manifest = self._manifest.save(self._files.manifest, **changes)
        except OSError as error:
            raise disk_error(self._files.manifest, error) from None
