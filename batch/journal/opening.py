"""Open the files of a run: what an earlier one left in them, what others answered, and the sink."""

import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from ...errors import EngineError
from ...i18n import _
from ..background import WorkCounter
from ..inputs.discovery import InputFile
from ..inputs.row_defaults import RowDefaults
from ..inputs.scan import InputScan
from ..quality import INVALID, quality_of_record
from ..request import Request
from .adoption import adopt_answers, check_adoptable, copy_answers
from .counting import earlier_qualities
from .input_names import InputNames
from .journal import Journal, ReadRows
from .manifest import (
    Manifest,
    changed_settings,
    compute_of_all,
    load_manifest,
    recorded_columns,
    recorded_settings,
    refuse_other_columns,
    refuse_other_prefix,
)
from .output_files import OutputFiles, output_mode, own_side_files, refuse_foreign, set_aside
from .reload import ReloadOptions, Repairs, refuse_changes
from .replacements import ReopenedRows, merge_replacements
from .sink import FileSink


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Which answers open rows get without being asked: those of the results file `adopt`, and
    those of equal rows, if there is a function that tells which rows would get the same again."""

    adopt: str | None = None
    is_repeatable: Callable[[Request], bool] | None = None


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
        side_files=(),
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
            renamed = set_aside(files, manifest)
        elif earlier is not None:
            refuse_other_prefix(earlier, defaults.prefix)
            refuse_other_columns(earlier, recorded_columns(defaults))
            own_files = own_side_files(files, earlier)
            named = replace(earlier, inputs=names.recorded, side_files=own_files)

            def prepare(side_files: Sequence[Path]) -> None:
                # Lines may name new inputs before this run has a manifest.
                nonlocal named
                named = named.naming(side_files).save(files.manifest)

            damaged_retries = merge_replacements(files, prepare, counter)
            paths = (files.results, files.errors)
            counter.total_bytes = sum(path.stat().st_size for path in paths if path.exists())
            changes = changed_settings(earlier.settings, new.settings)
            options = replace(reload, prefix=earlier.prefix, new_settings=bool(changes))
            repairs = journal.load(options, read_rows, prepare, counter)
            repairs = replace(repairs, damaged_retries=damaged_retries)
            if not reload.accept_changes:
                refuse_changes(repairs, changes)
            own_files = own_side_files(files, named)
            new = replace(
                new, created=earlier.created, latency=earlier.latency, side_files=own_files
            )
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
