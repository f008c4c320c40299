"""Several samples of each row: `--samples N`.

Each sample is a pass over the inputs of its own, so that the journal knows it as it knows any row:
by its input, whose key has the sample's number, its line, and a digest with that number in it. The
first sample is the row itself, as a run without samples asks it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from ...json_types import JsonObject
from .discovery import InputFile

T = TypeVar("T")

_SAMPLE = re.compile(r"#sample=(\d{1,6})$")


def with_samples(inputs: Sequence[InputFile], count: int) -> list[InputFile]:
    """Return the inputs of all samples: all files for the first one, all for the second, ..."""
    if count == 1:
        return list(inputs)
    return [
        replace(item, key=sample_key(item.key or item.name, sample), sample=sample)
        for sample in range(count)
        for item in inputs
    ]


def sample_key(key: str, sample: int) -> str:
    """Return the key of an input for a sample, by its number from 0."""
    return f"{key}#sample={sample}" if sample else key


def split_key(key: str) -> tuple[str, int]:
    """Return the input's own key, and the sample's number."""
    match = _SAMPLE.search(key)
    return (key, 0) if match is None else (key[: match.start()], int(match[1]))


def sample_of(body: JsonObject, digest: str, sample: int) -> tuple[JsonObject, str]:
    """Return request and digest of a later sample of a row: with a seed, it gets another one."""
    if isinstance(body.get("seed"), int):
        body = {**body, "seed": body["seed"] + sample}
    data = f"{digest}#{sample}".encode()
    return body, hashlib.blake2b(data, digest_size=16).hexdigest()


def row_by_row(columns: Sequence[Sequence[T]], samples: int) -> Iterator[T]:
    """Yield the values of all lines, with the samples of a row one after the other.

    ``columns[file][line - 1]``, with the files as `with_samples` has them.
    """
    files = len(columns) // samples
    for file in range(files):
        same = columns[file::files]
        for line in range(max(map(len, same))):
            yield from (column[line] for column in same if line < len(column))


def place_of(file: int, line: int, files: int) -> tuple[int, int, int]:
    """Return what sorts lines row by row: input, line, sample; `files` are the inputs without
    samples."""
    return file % files, line, file // files


def first_samples(inputs: Iterable[InputFile]) -> list[InputFile]:
    """Return the inputs without those of later samples."""
    return [item for item in inputs if not item.sample]
