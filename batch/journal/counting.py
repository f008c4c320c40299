"""Count the rows of an earlier run by the quality of their answers."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import Code
from ...json_types import JsonObject
from ..background import WorkCounter
from ..quality import INVALID, quality_of_record
from .appender import parsed_lines
from .manifest import Manifest
from .output_files import OutputFiles
from .records import RowLocation, location_of_error, location_of_result


def earlier_qualities(
    files: OutputFiles,
    manifest: Manifest,
    rows: tuple[int, int],
    is_in_run: Callable[[RowLocation], bool],
    counter: WorkCounter,
) -> "Counter[str]":
    """Return the counts of the manifest, or of the files where a crash left the manifest behind.

    `rows` are those answered and failed, as the files have them; lines of rows that are not in this
    run (`is_in_run`) don't count. Raises `OSError`.
    """
    is_whole = manifest.state != "running" and (manifest.answered, manifest.failed) == rows
    if is_whole and (manifest.qualities or not manifest.answered):
        return Counter(manifest.qualities)
    counts: Counter[str] = Counter()
    for record in _records(files.results, counter):
        location = location_of_result(record, manifest.prefix)
        if location is None or not is_in_run(location):
            continue
        counts[quality_of_record(record, manifest.prefix).value] += 1
    for record in _records(files.errors, counter):
        location = location_of_error(record)
        if location is None or not is_in_run(location):
            continue
        error = record.get("error")
        counts[INVALID] += isinstance(error, dict) and error.get("code") == Code.INVALID_ANSWER
    return counts


def _records(path: Path, counter: WorkCounter) -> Iterator[JsonObject]:
    if path.exists():
        for _offset, value in parsed_lines(path, counter):
            if isinstance(value, dict):
                yield value
