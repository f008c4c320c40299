"""Where outcomes go: files that can be resumed (`FileSink`), or standard output (`StdoutSink`)."""

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
from ..inputs.discovery import InputFile, InputScan
from ..inputs.rows import RowDefaults
from .journal import Journal, Reload, Repairs, disk_error, refuse_changes
from .manifest import (
    Manifest,
    differences,
    load_manifest,
    recorded_settings,
    refuse_other_inputs,
    refuse_other_prefix,
)
from .order import order_results
from .output_files import OutputFiles, refuse_foreign, set_aside


class Sink(Protocol):
    """Takes the line of each row that came to an end, once."""

    @property
    def answered(self) -> int:
        """Rows answered, in earlier runs too."""

    @property
    def failed(self) -> int:
        """Rows finally failed, in earlier runs too."""

    def start(self) -> None:
        """Called once, before the first line. Raises `EngineError`."""

    def is_open(self, file: int, line: int) -> bool:
        """Whether the row has no line yet."""

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Take the line of an answer. Raises `EngineError`."""

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Take the line of a failure. Raises `EngineError`."""

    def sync(self) -> None:
        """Make durable what was taken; called from another thread. Raises `EngineError`."""

    def close(self, state: str) -> None:
        """Finish; `state` is ``finished``, ``interrupted`` or ``lost``. Raises `EngineError`."""


class StalledError(EngineError):
    """A signal came while standard output took nothing more."""


@dataclass(slots=True)
class StdoutSink:
    """Results to a file descriptor, failures to a function; nothing can be resumed.

    `writing` says that a write is going on, which may never end.
    """

    fd: int
    tell: Callable[[str], None]
    answered: int = 0
    failed: int = 0
    writing: bool = False
    stalled: StalledError | None = None
    _written: dict[int, bytearray] = field(default_factory=dict)  # a byte a line, by file

    def start(self) -> None:
        """Nothing to do."""

    def is_open(self, file: int, line: int) -> bool:
        """Whether nothing was said of it; an engine that is replaced reads the rows again."""
        written = self._written.get(file, b"")
        return line >= len(written) or not written[line]

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Write it out. Raises `BrokenPipeError` when nobody reads any more, `StalledError` when
        a signal ended the wait for a reader."""
        if os.isatty(self.fd):  # a model's text must not command the terminal, as JSON neither
            data = f"{json_text(orjson.loads(data))}\n".encode()
        if self.stalled is not None:  # other answers were there already
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
        self._close(file, line)

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Tell it: file, line and what went wrong."""
        row = orjson.loads(data)
        text = _("{file} line {line}: {message}")
        self.tell(text.format(file=row["file"], line=line, message=row["error"]["message"]))
        self.failed += 1
        self._close(file, line)

    def _close(self, file: int, line: int) -> None:
        written = self._written.setdefault(file, bytearray())
        if line >= len(written):
            written.extend(bytes(max(1024, 2 * line) - len(written)))
        written[line] = 1

    def sync(self) -> None:
        """Nothing to do."""

    def close(self, state: str) -> None:
        """Nothing to do."""


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
        self._ours = resumed  # whether the manifest is on disk
        self._journal = journal
        self._manifest = manifest
        self.add_result = journal.add_result
        self.add_error = journal.add_error
        self.is_open = journal.is_open
        self.sync = journal.sync

    @property
    def answered(self) -> int:
        """Rows answered, in earlier runs too."""
        return self._journal.answered

    @property
    def failed(self) -> int:
        """Rows finally failed, in earlier runs too."""
        return self._journal.failed

    def start(self) -> None:
        """Name the files as ours in the manifest, then open them: a crash between is harmless."""
        self._ours = True
        self._save("running")
        self._journal.start()

    def close(self, state: str) -> None:
        """Sync, close, and say in the manifest how it ended; without a start, leave nothing.

        A finished run's results are brought into the order of the input, if that was asked for.
        """
        self._journal.close()
        if self._ordered and state == "finished" and self._files.results.exists():
            path = self._files.results
            try:
                order_results(
                    path, self._manifest.prefix, self._journal.file_of, self._journal.lengths
                )
            except OSError as error:
                raise disk_error(path, error) from None
        if self._ours:
            self._save(state)

    def _save(self, state: str) -> None:
        path = self._files.manifest
        try:
            self._manifest = self._manifest.save(
                path, state=state, answered=self.answered, failed=self.failed
            )
        except OSError as error:
            raise disk_error(path, error) from None


def open_file_sink(
    files: OutputFiles,
    plan: InputScan,
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    *,
    engine: str,
    how: Reload,
    restart: bool = False,
    ordered: bool = False,
) -> tuple[FileSink, Repairs, list[Path]]:
    """The ledger of a run, with what an earlier one left in it.

    Returns it with the repairs that were made and the files that `restart` renamed. Raises
    `UsageError` when the files are not this run's to go on with.
    """
    manifest = load_manifest(files.manifest)
    refuse_foreign(files, manifest)
    keys = tuple(item.key for item in inputs)
    new = Manifest(
        keys,
        files.results.name,
        files.errors.name,
        recorded_settings(defaults),
        engine=engine,
        prefix=defaults.prefix,
        rows=plan.rows,
    )
    journal = Journal(files, plan, keys, _mode(inputs[0].path))
    repairs = Repairs()
    moved: list[Path] = []
    try:
        if manifest is not None and restart:
            moved = set_aside(files)
        elif manifest is not None:
            refuse_other_inputs(manifest, keys)
            refuse_other_prefix(manifest, defaults.prefix)
            repairs = journal.load(replace(how, prefix=manifest.prefix))
            if not how.accept_changes:
                refuse_changes(repairs, differences(manifest.settings, new.settings))
            new = replace(new, created=manifest.created)
    except OSError as error:
        text = _("{path} can't be read back: {reason}.")
        raise EngineError(text.format(path=files.results, reason=error.strerror)) from None
    resumed = manifest is not None and not restart
    return FileSink(files, journal, new, resumed=resumed, ordered=ordered), repairs, moved


def _mode(path: Path) -> int:
    """Answers are as private as their questions: the input's own read and write rights."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return 0o600
    return stat.S_IMODE(mode) & 0o666 if stat.S_ISREG(mode) else 0o600
