"""The output file is the journal: append-only, one writer, consistent after any crash.

A row is done when its whole line is in the file. Each line is written as soon as its row is
answered (`kill -9` loses no finished row) and synced at least every second (a power failure
loses at most that second).
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ...errors import EngineError, UsageError
from ...files import remove_scratch
from ...i18n import _, plural
from ..background import WorkCounter
from ..inputs.rows import Row
from ..inputs.scan import BAD_ROW, InputScan, short_digest
from ..request import Request, RowKind
from .appender import Appender, cut_torn_line, disk_error
from .earlier_lines import EarlierLines, Fate
from .input_names import InputNames
from .matching import ANSWERED, FAILED, OPEN, RowMatcher, RowStates, digest_of
from .output_files import OutputFiles
from .records import RowLocation, location_of_error, location_of_result
from .rewriting import (
    NewPlace,
    NextLine,
    SourceRows,
    error_of_source,
    result_at_place,
    result_of_source,
    rewrite,
)

ReadRows = Callable[[NextLine], Iterator[Row]]
"""Reads the rows of the inputs that a function names; see `inputs.scan.iter_open_rows`."""


@dataclass(frozen=True, slots=True)
class Repairs:
    """What `Journal.load` repaired: torn bytes, damaged lines, and what an edited input changed.

    `moved` answers have a row at another place, `rewritten` ones a row of which what they repeat
    has changed. `removed` ones have no row any more; in the place of `edited` of them stands
    another row. `left_out` ones belong to inputs that are not in this run.
    `blocked` ones have a row that would be asked again, as the command line is another: then
    nothing but torn bytes was repaired.
    """

    torn: int = 0
    damaged: int = 0
    moved: int = 0
    rewritten: int = 0
    removed: int = 0
    edited: int = 0
    left_out: int = 0
    blocked: int = 0
    first_blocked: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ReloadOptions:
    """How to read the files of an earlier run.

    `prefix` is that of its answer columns; `limited` says that there may be rows that were not
    scanned (`--limit`); `retry_failed` also reopens rows that failed for good; `new_settings` says
    that the command line's parameters are others than before; `accept_changes` reopens the rows
    that are therefore other requests.
    """

    prefix: str = ""
    limited: bool = False
    retry_failed: bool = False
    new_settings: bool = False
    accept_changes: bool = False


class Journal:
    """The results and errors files of a run, and which rows are still open."""

    def __init__(self, files: OutputFiles, scan: InputScan, names: InputNames, mode: int) -> None:
        self.answered = 0
        self.failed = 0
        self._files = files
        self._scan = scan
        self._names = names
        self._states = RowStates(scan)
        self._mode = mode
        self._results: Appender | None = None
        self._errors: Appender | None = None

    def load(
        self,
        options: ReloadOptions,
        read_rows: ReadRows,
        prepare: Callable[[], None] = lambda: None,
        counter: WorkCounter | None = None,
    ) -> Repairs:
        """Read the files of an earlier run, repair what a crash left, follow the edited input.

        A torn last line is cut. Lines that belong to no row are moved to ``NAME.damaged.jsonl``,
        answers whose row is gone to ``NAME.removed.jsonl``. Rows that will be asked again are
        removed from the errors file. `prepare` is called before a file is replaced. Raises
        `OSError`, `EngineError`, and `WorkCancelledError` with each file as it was before or as it
        is to be.
        """
        counter = counter or WorkCounter()
        repairs = Repairs()
        for path in (self._files.results, self._files.errors):
            remove_scratch(path)
            if path.exists():
                repairs = replace(repairs, torn=repairs.torn + cut_torn_line(path))
        results: EarlierLines | None = None
        if self._files.results.exists():
            locate = partial(location_of_result, prefix=options.prefix)
            results = EarlierLines(self._files.results, locate)
            repairs = self._match_results(results, options, repairs, counter)
            if repairs.blocked:
                return repairs
        errors: EarlierLines | None = None
        if self._files.errors.exists():
            errors = EarlierLines(self._files.errors, location_of_error)
            self._match_errors(errors, options, counter)
        changed = [lines for lines in (results, errors) if lines is not None and not lines.all_kept]
        if changed:
            prepare()
            self._rewrite(changed, read_rows, options.prefix, counter)
        return repairs

    def _match_results(
        self, lines: EarlierLines, options: ReloadOptions, repairs: Repairs, counter: WorkCounter
    ) -> Repairs:
        matcher = RowMatcher(self._scan, self._states, self._names, ANSWERED, counter)
        lines.match(matcher, counter)
        self.answered = lines.count(Fate.KEEP, Fate.PLACE, Fate.CONTENT)
        edited = left_out = 0
        blocked = array("I")
        first: tuple[int, int] | None = None
        for number, location in lines.unmatched(counter):
            key, file = self._names.key_of(location), self._names.file_of(location)
            here = matcher.row_at(location)
            if key is None or (
                here == ANSWERED and matcher.digest_at(location) == digest_of(location)
            ):
                lines.decide(number, Fate.DAMAGED)  # of no row, or the second answer to one
                continue
            if self._is_blocked(matcher, location, options):
                blocked.append(number)
                first = min(first or (file or 0, location.line), (file or 0, location.line))
                lines.decide(number, Fate.REMOVED)
            elif file is None or options.limited:
                left_out += file is None
                lines.decide(number, Fate.KEEP)
            else:
                edited += here == OPEN
                lines.decide(number, Fate.REMOVED)
        if not options.new_settings and len(blocked) < self.answered:
            for number in blocked:  # other parameters would have changed them all
                lines.decide(number, Fate.DAMAGED)
        elif blocked and not options.accept_changes:
            place = None if first is None else (self._names.keys[first[0]], first[1])
            return replace(repairs, blocked=len(blocked), first_blocked=place)
        else:
            edited += len(blocked)
        return replace(
            repairs,
            damaged=lines.count(Fate.DAMAGED),
            moved=lines.count(Fate.PLACE),
            rewritten=lines.count(Fate.CONTENT),
            removed=lines.count(Fate.REMOVED),
            edited=edited,
            left_out=left_out,
        )

    def _is_blocked(
        self, matcher: RowMatcher, location: RowLocation, options: ReloadOptions
    ) -> bool:
        """Whether the line's row is there as it was, and is another request all the same."""
        if location.fingerprint:
            return matcher.has_same_source(location)
        # Nothing else tells an edited row from one that other parameters have changed.
        return options.new_settings and (
            matcher.row_at(location) == OPEN or matcher.has_same_source(location)
        )

    def _match_errors(
        self, lines: EarlierLines, options: ReloadOptions, counter: WorkCounter
    ) -> None:
        """Keep one line for each row that failed for good and has not changed."""
        matcher = RowMatcher(self._scan, self._states, self._names, FAILED, counter)

        def decide(location: RowLocation) -> Fate | None:
            if self._names.file_of(location) is None:
                return Fate.DROPPED if self._names.key_of(location) is None else None
            here = matcher.row_at(location)
            if here == ANSWERED and matcher.digest_at(location) == digest_of(location):
                return Fate.DROPPED  # a crash left it in both files
            again = options.retry_failed and location.digest is not None
            if (location.retryable or again) and not (options.limited and here is None):
                return Fate.DROPPED
            return None

        lines.match(matcher, counter, decide)
        for number, location in lines.unmatched(counter):
            keep = options.limited or self._names.file_of(location) is None
            lines.decide(number, Fate.KEEP if keep else Fate.DROPPED)
        for number in range(len(lines.fates)):
            if lines.fates[number] == Fate.DAMAGED:
                lines.decide(number, Fate.DROPPED)
        self.failed = sum(states.count(FAILED) for states in self._states.by_file)

    def _rewrite(
        self,
        files: Sequence[EarlierLines],
        read_rows: ReadRows,
        prefix: str,
        counter: WorkCounter,
    ) -> None:
        sources = SourceRows()
        try:
            self._read_sources(files, sources, read_rows, counter)

            def write_result(line: bytes, position: int, fate: Fate) -> bytes:
                place = self._place(position)
                if fate is Fate.CONTENT:
                    return result_of_source(line, sources.at(position), place, prefix)
                file, at = self._states.place(position)
                is_openai = bool(self._scan.digests[file][at] & 1)
                return result_at_place(line, place, prefix, is_openai=is_openai)

            def write_error(line: bytes, position: int, fate: Fate) -> bytes:
                row = sources.at(position) if fate is Fate.CONTENT else None
                return error_of_source(line, row, self._place(position))

            asides = {Fate.REMOVED: self._files.removed, Fate.DAMAGED: self._files.damaged}
            for lines in files:
                of_results = lines.path == self._files.results
                write = write_result if of_results else write_error
                rewrite(lines, write, asides if of_results else {}, counter)
        finally:
            sources.close()

    def _read_sources(
        self,
        files: Sequence[EarlierLines],
        sources: SourceRows,
        read_rows: ReadRows,
        counter: WorkCounter,
    ) -> None:
        """Read the rows whose content their lines get."""
        needed = tuple(bytearray(len(states)) for states in self._states.by_file)
        for lines in files:
            for number, fate in enumerate(lines.fates):
                if fate == Fate.CONTENT:
                    file, at = self._states.place(lines.position(number))
                    needed[file][at] = 1
        if not any(map(any, needed)):
            return

        def next_line(file: int, line: int) -> int | None:
            counter.check()
            return needed[file].find(1, line - 1) + 1 or None

        sources.read(
            map(self._checked, read_rows(next_line)),
            lambda file, line: self._states.position(file, line - 1),
        )

    def _checked(self, row: Row) -> Row:
        """Return a row that is read again. Raises `EngineError` when it has changed meanwhile."""
        if mark_of(row) != self._scan.digests[row.file][row.line - 1]:
            text = _("{file} was changed while it was read (line {line}). Run it again.")
            raise EngineError(text.format(file=self._names.keys[row.file], line=row.line))
        return row

    def _place(self, position: int) -> NewPlace:
        file, at = self._states.place(position)
        made_id = None if self._scan.custom_ids[file][at] else self._scan.ids.make(file, at + 1)
        return NewPlace(self._names.keys[file], self._names.number(file), at + 1, made_id)

    def number(self, file: int) -> int:
        """Return the number of this run's input among those of all runs."""
        return self._names.number(file)

    def file_of(self, location: RowLocation) -> int | None:
        """Return the number of a location's input in this run; None for another one."""
        return self._names.file_of(location)

    @property
    def lengths(self) -> list[int]:
        """Number of scanned lines of each input."""
        return [len(marks) for marks in self._scan.digests]

    def start(self) -> None:
        """Open the files for appending. Raises `DiskTroubleError`."""
        try:
            self._results = Appender(self._files.results, self._mode)
        except OSError as error:
            raise disk_error(self._files.results, error) from None

    def is_open(self, file: int, line: int) -> bool:
        """Whether the row is neither answered nor finally failed."""
        return self._states.by_file[file][line - 1] == OPEN

    def next_open(self, file: int, line: int) -> int | None:
        """Return the first line from `line` on whose row is open; None when there is none."""
        return self._states.by_file[file].find(OPEN, line - 1) + 1 or None

    def add_result(self, file: int, line: int, data: bytes) -> None:
        """Record an answer. Raises `DiskTroubleError`."""
        assert self._results is not None
        assert self.is_open(file, line)
        self._results.append(data)
        self._states.by_file[file][line - 1] = ANSWERED
        self.answered += 1

    def add_error(self, file: int, line: int, data: bytes) -> None:
        """Record a failure. Raises `DiskTroubleError`."""
        assert self.is_open(file, line)
        if self._errors is None:  # created for the first failure
            try:
                self._errors = Appender(self._files.errors, self._mode)
            except OSError as error:
                raise disk_error(self._files.errors, error) from None
        self._errors.append(data)
        self._states.by_file[file][line - 1] = FAILED
        self.failed += 1

    def sync(self) -> None:
        """Make all lines durable; may run in another thread. Raises `DiskTroubleError`."""
        for appender in (self._results, self._errors):
            if appender is not None:
                appender.sync()

    def close(self) -> None:
        """Sync and close. Raises `DiskTroubleError`."""
        for appender in (self._results, self._errors):
            if appender is not None:
                appender.close()


def mark_of(row: Row) -> int:
    """Return what the scan holds of a row: its short digest, or the mark of a bad line."""
    if not isinstance(row, Request):
        return BAD_ROW
    return short_digest(row.digest, openai=row.kind is RowKind.OPENAI)


def refuse_changes(repairs: Repairs, differences: Sequence[str]) -> None:
    """Raise `UsageError` when other parameters would ask done rows again."""
    if not repairs.blocked:
        return
    cause = _(" ({differences})").format(differences="; ".join(differences)) if differences else ""
    name, line = repairs.first_blocked or ("", 0)
    text = plural(
        "With these parameters{cause}, {n} row that is answered already would be asked again: "
        "{file} line {line}. ",
        "With these parameters{cause}, {n} rows that are answered already would be asked again, "
        "the first of them {file} line {line}. ",
        repairs.blocked,
    ) + _(
        "Undo the change, or give --accept-changes to ask them again, or --restart to ask all rows "
        "again (the old answers are kept in either case)."
    )
    raise UsageError(text.format(n=repairs.blocked, cause=cause, file=name, line=line))
