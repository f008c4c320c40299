"""Write outcomes: to files, with resume (`FileSink`), or to standard output (`StdoutSink`)."""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import orjson

from ...console import json_text
from ...errors import EngineError
from ...files import write_all
from ...i18n import _
from ...signals import Interrupted
from ..background import WorkCancelledError, WorkCounter
from ..inputs.discovery import InputFile
from ..inputs.formats.opening import Location
from ..inputs.formats.remote import RemoteFile
from ..inputs.rows import RowDefaults
from ..inputs.scan import InputScan
from .appender import disk_error
from .input_names import InputNames
from .journal import Journal, ReadRows, ReloadOptions, Repairs, refuse_changes
from .manifest import (
    Manifest,
    differences,
    load_manifest,
    recorded_settings,
    refuse_other_prefix,
)
from .order import order_results
from .output_files import OutputFiles, refuse_foreign, set_aside


class Sink(Protocol):
    """Records the line of each finished row, once."""

    @property
    def answered(self) -> int:
        """Rows answered, in earlier runs too."""

    @property
    def failed(self) -> int:
        """Rows that failed for good, in earlier runs too."""

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


class StalledError(EngineError):
    """A signal came while a write to standard output was blocked."""


@dataclass(slots=True)
class StdoutSink:
    """Writes results to a file descriptor and failures to a function; no resume.

    `writing` is true during a write, which blocks while nobody reads.
    """

    fd: int
    warn: Callable[[str], None]
    answered: int = 0
    failed: int = 0
    writing: bool = False
    stalled: StalledError | None = None
    _written: dict[int, bytearray] = field(default_factory=dict)  # a byte a line, by file

    def start(self) -> None:
        """Do nothing."""

    def number(self, file: int) -> int:
        """Return the number of an input in this run."""
        return file

    def is_open(self, file: int, line: int) -> bool:
        """Whether the row has no line yet; an engine that is replaced reads the rows again."""
        written = self._written.get(file, b"")
        return line >= len(written) or not written[line]

    def next_open(self, file: int, line: int) -> int | None:
        """Return the first line from `line` on without a written row; it may be blank."""
        written = self._written.get(file, b"")
        at = written.find(0, line)
        return at if at >= 0 else max(line, len(written))

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Write the line. Raises `BrokenPipeError` when the reader is gone, `StalledError` when a
        signal ended the wait for a reader."""
        if os.isatty(self.fd):  # escape sequences in an answer must not reach the terminal
            data = f"{json_text(orjson.loads(data))}\n".encode()
        if self.stalled is not None:  # other answers were complete already
            raise self.stalled
        self.writing = True
        try:
            write_all(self.fd, data)
        except Interrupted:
            self.stalled = StalledError(_("Nobody reads standard output."))
            raise self.stalled from None
        finally:
            self.writing = False
        self.answered += 1
        self._mark(file, line)

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Report file, line and error message."""
        row = orjson.loads(data)
        text = _("{file} line {line}: {message}")
        self.warn(text.format(file=row["file"], line=line, message=row["error"]["message"]))
        self.failed += 1
        self._mark(file, line)

    def _mark(self, file: int, line: int) -> None:
        written = self._written.setdefault(file, bytearray())
        if line >= len(written):
            written.extend(bytes(max(1024, 2 * line) - len(written)))
        written[line] = 1

    def sync(self) -> None:
        """Do nothing."""

    def close(self, state: str, counter: WorkCounter) -> None:
        """Do nothing."""


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
    ) -> None:
        self._files = files
        self._ordered = ordered
        self._has_manifest = resumed
        self._journal = journal
        self._manifest = manifest
        self.add_result = journal.add_result
        self.add_error = journal.add_error
        self.number = journal.number
        self.is_open = journal.is_open
        self.next_open = journal.next_open
        self.sync = journal.sync
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

    def start(self) -> None:
        """Save the manifest, then open the files that it names: a crash in between is harmless."""
        self._has_manifest = True
        self._save_state("running")
        self._journal.start()

    def close(self, state: str, counter: WorkCounter) -> None:
        """Sync, close, and record the state in the manifest; without a start, write nothing.

        With ``--ordered``, sort the results of a finished run first; the state of a run whose
        sorting is cancelled is ``interrupted``.
        """
        self._journal.close()
        try:
            if self._ordered and state == "finished":
                self._order(counter)
        except WorkCancelledError:
            self._save_state("interrupted")
            raise
        self._save_state(state)

    def _order(self, counter: WorkCounter) -> None:
        path = self._files.results
        if not path.exists():
            return
        counter.total_bytes = 2 * path.stat().st_size  # read once, written once
        journal, prefix = self._journal, self._manifest.prefix
        try:
            order_results(path, prefix, journal.file_of, journal.lengths, counter)
        except OSError as error:
            raise disk_error(path, error) from None

    def _save_state(self, state: str) -> None:
        if not self._has_manifest:
            return
        path = self._files.manifest
        try:
            self._manifest = self._manifest.save(
                path, state=state, answered=self.answered, failed=self.failed
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
    reload: ReloadOptions,
    read_rows: ReadRows,
    restart: bool = False,
    ordered: bool = False,
    counter: WorkCounter | None = None,
) -> tuple[FileSink, Repairs, list[Path]]:
    """Open the files of a run and read what an earlier one left in them.

    Returns the sink, the repairs that were made and the files that `restart` renamed. Raises
    `UsageError` when this run can't continue the earlier one, and `EngineError` when its files
    can't be read.
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
    )
    counter = counter or WorkCounter()
    journal = Journal(files, scan, names, _mode(inputs[0].path))
    repairs = Repairs()
    renamed: list[Path] = []
    try:
        if manifest is not None and restart:
            renamed = set_aside(files)
        elif earlier is not None:
            refuse_other_prefix(earlier, defaults.prefix)
            paths = (files.results, files.errors)
            counter.total_bytes = sum(path.stat().st_size for path in paths if path.exists())
            changes = differences(earlier.settings, new.settings)
            options = replace(reload, prefix=earlier.prefix, new_settings=bool(changes))

            def prepare() -> None:  # lines may name new inputs before this run has a manifest
                replace(earlier, inputs=names.recorded).save(files.manifest)

            repairs = journal.load(options, read_rows, prepare, counter)
            if not reload.accept_changes:
                refuse_changes(repairs, changes)
            new = replace(new, created=earlier.created)
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise EngineError(text.format(path=files.results, reason=error.strerror)) from None
    resumed = manifest is not None and not restart
    return FileSink(files, journal, new, resumed=resumed, ordered=ordered), repairs, renamed


def _tables(files: OutputFiles, earlier: Manifest | None) -> tuple[str, ...]:
    tables = dict.fromkeys(earlier.tables if earlier else ())
    if files.table is not None:
        tables[files.table.name] = None
    return tuple(tables)


def _mode(path: Location) -> int:
    """Return the mode of the output files: the input's own, as answers are as private."""
    if isinstance(path, RemoteFile):
        return 0o600
    try:
        mode = path.stat().st_mode
    except OSError:
        return 0o600
    return stat.S_IMODE(mode) & 0o666 if stat.S_ISREG(mode) else 0o600
