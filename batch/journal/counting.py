"""Count the rows of an earlier run by the quality of their answers."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...errors import Code
from ...json_types import JsonObject
from ..background import WorkCounter
from ..quality import INVALID, quality_of_record
from .appender import parsed_lines
from .manifest import Manifest
from .output_files import OutputFiles


def earlier_qualities(
    files: OutputFiles,
    manifest: Manifest,
    rows: tuple[int, int],
    counter: WorkCounter,
) -> "Counter[str]":
    """Return the counts of the manifest, or of the files where a crash left the manifest behind.

    `rows` are those answered and failed, as the files have them. Raises `OSError`.
    """
    is_whole = manifest.state != "running" and (manifest.answered, manifest.failed) == rows
    if is_whole and (manifest.qualities or not manifest.answered):
        return Counter(manifest.qualities)
    counts: Counter[str] = Counter()
    for record in _records(files.results, counter):
        counts[quality_of_record(record, manifest.prefix).value] += 1
    for record in _records(files.errors, counter):
        error = record.get("error")
        counts[INVALID] += isinstance(error, dict) and error.get("code") == Code.INVALID_ANSWER
    return counts


def _records(path: Path, counter: WorkCounter) -> Iterator[JsonObject]:
    if path.exists():
        for _offset, value in parsed_lines(path, counter):
            if isinstance(value, dict):
                yield value
