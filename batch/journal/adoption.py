"""Answers taken over from elsewhere: `--adopt OLD.jsonl`, and equal rows with `--dedup`."""

import hashlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from ...errors import UsageError
from ...i18n import _
from ..background import WorkCounter
from ..inputs.key_index import KeyIndex
from ..request import Request, dumps
from .appender import parsed_lines
from .earlier_lines import EarlierLines, Fate
from .journal import Journal, ReadRows
from .lock import is_held
from .manifest import load_manifest, manifest_of
from .output_files import OutputFiles, resolve_link
from .records import RowLocation, location_of_result
from .rewriting import SourceRow, SourceRows, result_of_source

_MATCHED = (Fate.KEEP, Fate.PLACE, Fate.CONTENT)


def check_adoptable(name: str, files: OutputFiles, prefix: str) -> Path:
    """Return the path of a results file whose answers can be taken over.

    Raises `UsageError` for one that is not there, is this run's own, is being written, or has
    answer columns of other names.
    """
    path = resolve_link(Path(name))
    if not path.is_file():
        raise UsageError(_("--adopt: there is no file {path}.").format(path=name))
    if files.results.exists() and path.samefile(files.results):
        raise UsageError(_("--adopt: {path} is the output of this run itself.").format(path=name))
    if is_held(OutputFiles.named(path).lock):
        text = _("--adopt: {path} is being written by a run; wait until it has ended.")
        raise UsageError(text.format(path=name))
    manifest = manifest_of(path)
    earlier = None if manifest is None else load_manifest(manifest)
    if earlier is not None and earlier.prefix != prefix:
        text = _("--adopt: {path} was written with --prefix '{old}', not '{new}'.")
        raise UsageError(text.format(path=name, old=earlier.prefix, new=prefix))
    return path


class AnswersInUse:
    """The answers that a run has already: a line that gave one of them, in an earlier start of the
    run, does not give it to another row. 8 bytes an answer, and an index of 12."""

    def __init__(self, results: Path, prefix: str, counter: WorkCounter) -> None:
        self._prefix = prefix
        self._keys = array("Q")
        if results.exists():
            self._keys.extend(
                _answer_key(value, prefix) for _offset, value in parsed_lines(results, counter)
            )
        keys = self._keys
        self._index = KeyIndex(len(keys), keys.__getitem__)
        for position in range(len(keys) - 1, -1, -1):
            self._index.add(position, keys[position])
        self._key = 0

    def locate(self, value: Any) -> RowLocation | None:
        """Return the row of a parsed line, and remember its answer for `decide`."""
        location = location_of_result(value, self._prefix)
        self._key = 0 if location is None or not self._keys else _answer_key(value, self._prefix)
        return location

    def decide(self, _location: RowLocation) -> Fate | None:
        """Return `Fate.DROPPED` for the line located last where its answer is in use."""
        if not self._key or self._index.pop(self._key, lambda _position: True) is None:
            return None
        return Fate.DROPPED


def _answer_key(value: Any, prefix: str) -> int:
    """Return 64 bits that identify request and answer of a parsed line, wherever its row stands."""
    location = location_of_result(value, prefix)
    if location is None:
        return 1
    if location.openai:
        answer = value["response"].get("body")
    else:
        answer = [value.get(prefix + name) for name in _ANSWER]
    data = dumps([location.digest, answer], orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") or 1


_ANSWER = ("output", "reasoning", "finish_reason", "tool_calls", "usage")


def adopt_answers(
    journal: Journal,
    path: Path,
    results: Path,
    prefix: str,
    read_rows: ReadRows,
    counter: WorkCounter,
    prepare: Callable[[], None],
) -> Iterator[bytes]:
    """Give open rows the answers that `path` has to the same requests; yield the lines written.

    k equal rows take k answers, those of this run's `results` included. `prepare` is called before
    the first line is written. Raises `UsageError` for a file none of whose lines has a digest,
    `OSError` and `EngineError`.
    """
    used = AnswersInUse(results, prefix, counter)
    lines = EarlierLines(path, used.locate, all_positions=True)
    matcher = journal.matcher(counter)
    lines.match(matcher, counter, used.decide)
    if lines.count(Fate.DAMAGED) == len(lines.fates):
        text = _(
            "--adopt: {path} has no line with the digest of a request: it is no results file of "
            "qchat's, so nothing tells which rows its answers belong to."
        )
        raise UsageError(text.format(path=path))
    numbers = array("I", (n for n, fate in enumerate(lines.fates) if fate in _MATCHED))
    if numbers:
        sources = SourceRows()
        try:
            positions = map(lines.position, numbers)
            journal.read_sources(positions, sources, read_rows, counter)
            prepare()
            pairs = ((number, lines.position(number)) for number in numbers)
            yield from _write(journal, path, pairs, sources.at, prefix, counter)
        finally:
            sources.close()


def copy_answers(
    journal: Journal,
    results: Path,
    prefix: str,
    read_rows: ReadRows,
    is_repeatable: Callable[[Request], bool],
    counter: WorkCounter,
) -> Iterator[bytes]:
    """Give open rows the answers of equal rows in this run's results, where asking again would
    give the same; yield the lines written. Raises `OSError` and `EngineError`."""
    matcher = journal.matcher(counter)
    numbers, positions = array("Q"), array("Q")
    for number, (_offset, value) in enumerate(parsed_lines(results, counter)):
        location = location_of_result(value, prefix)
        while location is not None and (match := matcher.by_digest(location)) is not None:
            numbers.append(number)
            positions.append(match.position)
    if not numbers:
        return
    sources = SourceRows()
    try:
        journal.read_sources(positions, sources, read_rows, counter, is_repeatable)
        for position in positions:
            if not sources.has(position):
                journal.open_again(position)
        pairs = (
            (number, position)
            for number, position in zip(numbers, positions, strict=True)
            if sources.has(position)
        )
        yield from _write(journal, results, pairs, sources.at, prefix, counter)
    finally:
        sources.close()


def _write(
    journal: Journal,
    path: Path,
    pairs: Iterator[tuple[int, int]],
    source_at: Callable[[int], SourceRow],
    prefix: str,
    counter: WorkCounter,
) -> Iterator[bytes]:
    """Append the lines with these numbers, in order, each for the row at a position."""
    pair = next(pairs, None)
    if pair is None:
        return
    journal.start()
    try:
        size = path.stat().st_size  # the file may be the one that is appended to
        with path.open("rb", buffering=1 << 20) as file:
            for number, line in enumerate(file):
                counter.check()
                while pair is not None and pair[0] == number:
                    position = pair[1]
                    data = result_of_source(
                        line, source_at(position), journal.place(position), prefix
                    )
                    journal.append_adopted(data)
                    yield data
                    pair = next(pairs, None)
                size -= len(line)
                if pair is None or size <= 0:
                    break
    finally:
        journal.close()
