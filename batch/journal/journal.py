"""The output file is the journal: append-only, one writer, consistent after any crash.

A row is done when its whole line is in the file. Each line is written as soon as its row is
answered (`kill -9` loses no finished row) and synced at least every second (a power failure
loses at most that second).
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...errors import EngineError
from ...files import remove_scratch
from ...i18n import _
from ..background import WorkCounter
from ..inputs.rows import Row
from ..inputs.samples import split_key
from ..inputs.scan import InputScan
from ..request import Request
from .appender import Appender, cut_torn_line, disk_error
from .earlier_lines import EarlierLines, Fate
from .input_names import InputNames
from .matching import ANSWERED, FAILED, OPEN, RowMatcher, RowStates, digest_of, mark_of
from .output_files import OutputFiles
from .records import RowLocation, location_of_error, location_of_result
from .reload import ReloadOptions, Repairs
from .rewriting import (
    NewPlace,
    NextLine,
    SourceRows,
    error_of_source,
    result_at_place,
    result_of_source,
    rewrite,
)
from .rows_beyond import RowsBeyond

Prepare = Callable[[Sequence[Path]], None]
"""Has the manifest name side files, before they are written."""

ReadRows = Callable[[NextLine], Iterator[Row]]
"""Reads the rows of the inputs that a function names; see `inputs.scan.iter_open_rows`."""


class Journal:
    """The results and errors files of a run, and which rows are still open."""

    def __init__(self, files: OutputFiles, scan: InputScan, names: InputNames, mode: int) -> None:
        self.answered = 0
        self.failed = 0
        self._files = files
        self._asides = {Fate.REMOVED: files.removed, Fate.DAMAGED: files.damaged}
        self._scan = scan
        self._names = names
        self._states = RowStates(scan)
        self._stale: set[RowLocation] = set()
        self._mode = mode
        self._results: Appender | None = None
        self._errors: Appender | None = None

    def load(
        self,
        options: ReloadOptions,
        read_rows: ReadRows,
        prepare: Prepare = lambda _side_files: None,
        counter: WorkCounter | None = None,
    ) -> Repairs:
        """Read the files of an earlier run, repair what a crash left, follow the edited input.

        A torn last line is cut. Lines that belong to no row are moved to ``NAME.damaged.jsonl``,
        answers whose row is gone to ``NAME.removed.jsonl``. Rows that will be asked again are
        removed from the errors file. `prepare` is called before a file is replaced, with those of
        the two that lines are moved to. Raises `OSError`, `EngineError`, and `WorkCancelledError`
        with each file as it was before or as it is to be.
        """
        counter = counter or WorkCounter()
        repairs = Repairs()
        for path in (self._files.results, self._files.errors):
            remove_scratch(path)
            if path.exists():
                repairs = replace(repairs, torn=repairs.torn + cut_torn_line(path))
        beyond = RowsBeyond(options.read_beyond, counter) if options.limited else None
        results: EarlierLines | None = None
        if self._files.results.exists():
            locate = partial(location_of_result, prefix=options.prefix)
            results = EarlierLines(self._files.results, locate)
            repairs = self._match_results(results, options, beyond, repairs, counter)
            if repairs.blocked:
                return repairs
        errors: EarlierLines | None = None
        if self._files.errors.exists():
            locate = partial(location_of_error, retry_invalid=options.retry_invalid)
            errors = EarlierLines(self._files.errors, locate)
            self._match_errors(errors, options, beyond, counter)
            damaged = repairs.damaged + errors.count(Fate.DAMAGED)
            repairs = replace(repairs, damaged=damaged)
        changed = [lines for lines in (results, errors) if lines is not None and not lines.all_kept]
        if changed:
            asides = {
                fate: path
                for fate, path in self._asides.items()
                if any(lines.count(fate) for lines in changed)
            }
            prepare(tuple(asides.values()))
            self._rewrite(changed, asides, read_rows, options.prefix, counter)
        return repairs

    def _match_results(
        self,
        lines: EarlierLines,
        options: ReloadOptions,
        beyond: RowsBeyond | None,
        repairs: Repairs,
        counter: WorkCounter,
    ) -> Repairs:
        matcher = self.matcher(counter)
        lines.match(matcher, counter, mark=f"{options.prefix}_qchat")
        self.answered = lines.count(Fate.KEEP, Fate.PLACE, Fate.CONTENT)
        edited = left_out = more_samples = 0
        blocked = array("I")
        first: tuple[int, int] | None = None
        for number, location in lines.unmatched(counter):
            key, file = self._names.key_of(location), self._names.file_of(location)
            is_second = matcher.has_second_answer(location)
            if key is None:
                lines.decide(number, Fate.DAMAGED)  # of no row
            elif not is_second and self._is_blocked(matcher, location, options):
                blocked.append(number)
                first = min(first or (file or 0, location.line), (file or 0, location.line))
                lines.decide(number, Fate.REMOVED)
            elif self._stays(matcher, location, beyond):
                is_sample = file is None and self._names.number_here(split_key(key)[0]) is not None
                more_samples += is_sample
                left_out += file is None and not is_sample
                lines.decide(number, Fate.KEEP)
            elif is_second:
                lines.decide(number, Fate.DAMAGED)
            else:
                edited += matcher.row_at(location) == OPEN
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
            more_samples=more_samples,
        )

    def _stays(self, matcher: RowMatcher, location: RowLocation, beyond: RowsBeyond | None) -> bool:
        """Whether a line without a row stays where it is, as its row may be one that this run does
        not look at: another one may stand at its place now."""
        if self._names.file_of(location) is None:
            return True
        if beyond is None or not matcher.is_scanned(location):
            return beyond is not None
        may_be_beyond = beyond.may_have(location)
        if may_be_beyond and not matcher.is_of_row_there(location):
            self._stale.add(location._replace(retryable=False))
        return may_be_beyond

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
        self,
        lines: EarlierLines,
        options: ReloadOptions,
        beyond: RowsBeyond | None,
        counter: WorkCounter,
    ) -> None:
        """Keep one line for each row that failed for good and has not changed."""
        matcher = RowMatcher(self._scan, self._states, self._names, FAILED, counter)

        def decide(location: RowLocation) -> Fate | None:
            if self._names.file_of(location) is None:
                return Fate.DAMAGED if self._names.key_of(location) is None else None
            here = matcher.row_at(location)
            if here == ANSWERED and matcher.digest_at(location) == digest_of(location):
                return Fate.DROPPED  # a crash left it in both files
            again = options.retry_failed and location.digest is not None
            if (location.retryable or again) and not (options.limited and here is None):
                return Fate.DROPPED
            return None

        lines.match(matcher, counter, decide)
        for number, location in lines.unmatched(counter):
            keep = self._stays(matcher, location, beyond)
            lines.decide(number, Fate.KEEP if keep else Fate.DROPPED)
        self.failed = sum(states.count(FAILED) for states in self._states.by_file)

    def _rewrite(
        self,
        files: Sequence[EarlierLines],
        asides: Mapping[Fate, Path],
        read_rows: ReadRows,
        prefix: str,
        counter: WorkCounter,
    ) -> None:
        sources = SourceRows()
        try:
            positions = (
                lines.position(number)
                for lines in files
                for number, fate in enumerate(lines.fates)
                if fate == Fate.CONTENT
            )
            self.read_sources(positions, sources, read_rows, counter)

            def write_result(line: bytes, position: int, fate: Fate) -> bytes:
                place = self.place(position)
                if fate is Fate.CONTENT:
                    return result_of_source(line, sources.at(position), place, prefix)
                file, at = self._states.place(position)
                is_openai = bool(self._scan.digests[file][at] & 1)
                return result_at_place(line, place, prefix, is_openai=is_openai)

            def write_error(line: bytes, position: int, fate: Fate) -> bytes:
                row = sources.at(position) if fate is Fate.CONTENT else None
                return error_of_source(line, row, self.place(position))

            for lines in files:
                of_results = lines.path == self._files.results
                write = write_result if of_results else write_error
                rewrite(lines, write, asides, counter)
        finally:
            sources.close()

    def read_sources(
        self,
        positions: Iterable[int],
        sources: SourceRows,
        read_rows: ReadRows,
        counter: WorkCounter,
        is_needed: Callable[[Request], bool] = lambda _row: True,
    ) -> None:
        """Read the rows at these positions into `sources`, those that are needed."""
        needed = tuple(bytearray(len(states)) for states in self._states.by_file)
        for position in positions:
            file, at = self._states.place(position)
            needed[file][at] = 1
        if not any(map(any, needed)):
            return

        def next_line(file: int, line: int) -> int | None:
            counter.check()
            return needed[file].find(1, line - 1) + 1 or None

        sources.read(
            map(self._checked, read_rows(next_line)),
            lambda file, line: self._states.position(file, line - 1),
            is_needed,
        )

    def _checked(self, row: Row) -> Row:
        """Return a row that is read again. Raises `EngineError` when it has changed meanwhile."""
        if mark_of(row) != self._scan.digests[row.file][row.line - 1]:
            text = _("{file} was changed while it was read (line {line}). Run it again.")
            raise EngineError(text.format(file=self._names.keys[row.file], line=row.line))
        return row

    def place(self, position: int) -> NewPlace:
        """Return where the row at a position stands."""
        file, at = self._states.place(position)
        made_id = None if self._scan.custom_ids[file][at] else self._scan.ids.make(file, at + 1)
        name, _sample = split_key(
            self._names.keys[file]
        )  # the line has its sample's number already
        return NewPlace(name, self._names.number(file), at + 1, made_id)

    def matcher(self, counter: WorkCounter) -> RowMatcher:
        """Return a matcher that gives open rows to the lines of another file."""
        return RowMatcher(self._scan, self._states, self._names, ANSWERED, counter)

    def open_again(self, position: int) -> None:
        """Open a row that got a line, but is to be asked."""
        file, at = self._states.place(position)
        self._states.by_file[file][at] = OPEN

    def append_adopted(self, data: bytes) -> None:
        """Append the line of a row that a matcher of this journal has marked as answered."""
        assert self._results is not None
        self._results.append(data)
        self.answered += 1

    def number(self, file: int) -> int:
        """Return the number of this run's input among those of all runs."""
        return self._names.number(file)

    def file_of(self, location: RowLocation) -> int | None:
        """Return the number of a location's input in this run; None for another one, and for a
        line that has stayed though another row stands at its place."""
        if self._stale and location._replace(retryable=False) in self._stale:
            return None
        return self._names.file_of(location)

    def has(self, location: RowLocation) -> bool:
        """Whether a location's row is in this run."""
        file = self.file_of(location)
        return file is not None and location.line <= len(self._scan.digests[file])

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

    def reopen(self, file: int, line: int) -> bool:
        """Open an answered row again; return whether it was one."""
        states = self._states.by_file[file]
        if line > len(states) or states[line - 1] != ANSWERED:
            return False
        states[line - 1] = OPEN
        self.answered -= 1
        return True

    def close_again(self, file: int, line: int) -> None:
        """Mark a row that was opened again as answered."""
        self._states.by_file[file][line - 1] = ANSWERED
        self.answered += 1

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
