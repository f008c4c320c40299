"""The custom_ids of rows that have none of their own.

A row without a custom_id gets ``<stem>-<line>``: the file's name without its ending, and the line's
number. The rule keeps these ids apart from each other and from those that rows were given:

- inputs that share a stem use their path from the output's folder instead, without its ending
  (``ga/x-1``, ``gb/x-1``), and the whole path where two are equal without it;
- standard input is ``stdin``, a pipe such as ``<(command)`` is ``pipe``, the next one ``pipe.2``;
- where another row has the id as its own, ``~2`` is appended, or the first number that is free.

So an id depends on nothing but the row's file and line, unless ids clash.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from ..request import own_id
from .discovery import ROWS, InputFile
from .formats.opening import Location
from .formats.remote import RemoteFile, is_url

_PIPE_KEY = re.compile(rf"stdin|{ROWS}|pipe(\.\d+)?")  # see `with_keys`
_INEXACT = 2**53  # from here on a float may stand for several whole numbers


@dataclass(frozen=True, slots=True)
class RowIds:
    """The ids of the rows without one. `clashes` has those that could not be ``<stem>-<line>``."""

    stems: tuple[str, ...]
    clashes: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def make(self, file: int, line: int) -> str:
        """Return the id of the row at this line (from 1) of the `file`-th input (from 0)."""
        clash = self.clashes.get((file, line)) if self.clashes else None
        return made_id(self.stems[file], line) if clash is None else clash

    def avoiding(
        self, unnamed: Iterable[tuple[int, int]], is_given: Callable[[str], bool]
    ) -> "RowIds":
        """Return the ids when some rows have ids of their own, for the rows `unnamed`."""
        clashes: dict[tuple[int, int], str] = {}
        for file, line in unnamed:
            name = first = made_id(self.stems[file], line)
            count = 1
            while is_given(name):
                count += 1
                name = f"{first}~{count}"
            if count > 1:
                clashes[file, line] = name
        return RowIds(self.stems, clashes)


def id_text(value: Any) -> str | None:
    """Return the `custom_id` of a parsed line as text, whole numbers too; None where it has none,
    or one of another type."""
    custom_id = own_id(value)
    if isinstance(custom_id, float) and custom_id.is_integer() and abs(custom_id) < _INEXACT:
        custom_id = int(custom_id)  # pandas makes 1.0 of a 1 in a column with an empty cell
    if isinstance(custom_id, int) and not isinstance(custom_id, bool):
        return str(custom_id)
    return custom_id if isinstance(custom_id, str) else None


def made_id(stem: str, line: int) -> str:
    """Return the id of a row without one, where it does not clash."""
    return f"{stem}-{line}"


def looks_made(custom_id: str) -> bool:
    """Whether an id that a row has may be equal to one that is made for another row."""
    return custom_id[-1:].isdigit() and ("-" in custom_id)


def id_hash(custom_id: str) -> int:
    """64 bits of BLAKE2b over a custom_id, never 0."""
    data = hashlib.blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(data.digest(), "little") or 1


def stems_of(inputs: Sequence[InputFile]) -> tuple[str, ...]:
    """Return a name for each input, no two of them equal."""
    stems = [_stem(item) for item in inputs]
    for longer in (_path_without_ending, _whole_path):
        counts = Counter(stems)
        stems = [
            stem if counts[stem] == 1 or _is_pipe(item) else longer(item)
            for stem, item in zip(stems, inputs, strict=True)
        ]
    used: set[str] = set()
    for at, stem in enumerate(stems):
        name, count = stem, 1
        while name in used:
            count += 1
            name = f"{stem}.{count}"
        used.add(name)
        stems[at] = name
    return tuple(stems)


def stems_of_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return the names of the inputs of another run, by their keys in its manifest."""
    inputs = [InputFile(key, _path_of_key(key), key) for key in keys]
    return dict(zip(keys, stems_of(inputs), strict=True))


def stem_of_key(key: str) -> str:
    """Return a name for an input that is known by its key alone, and not those beside it."""
    path = PurePath(key)
    return str(path).removesuffix(path.suffix)  # a key that is no file's may have no name


def _path_of_key(key: str) -> Location:
    if is_url(key):
        return RemoteFile(key)
    return Path("/dev/fd/0" if _PIPE_KEY.fullmatch(key) else key)


def _is_pipe(item: InputFile) -> bool:
    return str(item.path).startswith("/dev/fd/")


def _stem(item: InputFile) -> str:
    if _is_pipe(item):
        return "stdin" if item.name == "stdin" else "pipe"
    return item.stem


def _path_without_ending(item: InputFile) -> str:
    return stem_of_key(item.key or item.name)


def _whole_path(item: InputFile) -> str:
    return item.key or item.name
