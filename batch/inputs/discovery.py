"""Which files a run reads: names, globs, standard input; and the first pass over them."""

import glob
import os
import shutil
import stat
import sys
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import click

from ...errors import UsageError
from ...i18n import _
from ..journal.manifest import manifest_of
from .id_table import IdTable
from .lines import open_text
from .rows import InvalidRow, Row, RowDefaults, read_rows

NO_ROW, BAD_ROW = 0, 1
"""Marks in `InputScan.digests` for a blank line and for a line that is no request."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file: `name` as a person wrote it, `path` to read.

    `key` is what results and manifest call it: its path from the output's folder, so that it is
    the same file however and from wherever it was named.
    """

    name: str
    path: Path
    key: str = ""


@dataclass(frozen=True, slots=True)
class InputScan:
    """What the first pass found.

    `digests[file][line - 1]` holds 64 bits of the row's digest, or one of the marks above:
    8 bytes a line, so that ten million rows cost 80 MB whatever stands in them.
    """

    digests: tuple["array[int]", ...]
    rows: int
    bad: int


def with_keys(inputs: Sequence[InputFile], folder: Path) -> list[InputFile]:
    """The inputs with their keys, for an output in `folder`."""
    home = folder.resolve()
    return [
        replace(item, key=item.name)
        if str(item.path).startswith("/dev/fd/")
        else replace(item, key=os.path.relpath(item.path.resolve(), home))
        for item in inputs
    ]


def expand_inputs(names: Sequence[str]) -> list[InputFile]:
    """Resolve file names and globs; ``-`` is standard input, read to a private file at once.

    A glob leaves out what qchat itself wrote.

    Raises `UsageError` for a pattern without a match, a file that can't be read as text, and a
    file named twice.
    """
    found: list[InputFile] = []
    for name in names:
        if name == "-":
            found.append(InputFile("stdin", _spool_stdin()))
        elif Path(name).is_fifo():  # <(a command): can be read once, and a run reads twice
            with Path(name).open("rb") as stream:
                found.append(InputFile(name, _spool(stream)))
        elif Path(name).exists() or not glob.has_magic(name):
            found.append(InputFile(name, Path(name)))
        else:
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (a whole pattern)
            # What runs wrote beside their inputs is no input, so that the same glob resumes.
            inputs = [match for match in matches if manifest_of(Path(match)) is None]
            if not inputs:
                raise UsageError(_("No file matches '{pattern}'.").format(pattern=name))
            found += [InputFile(match, Path(match)) for match in inputs]
    seen: dict[Path, str] = {}
    for item in found:
        open_text(item.path).close()  # all that can be wrong with a file, before anything else
        path = item.path.resolve()
        if path in seen:
            text = _("{name} is named twice (also as {other}).")
            raise UsageError(text.format(name=item.name, other=seen[path]))
        seen[path] = item.name
    return found


def _spool_stdin() -> Path:
    if sys.stdin.isatty():
        click.echo(_("Reading rows from the terminal; end with Ctrl-D."), err=True)
    if stat.S_ISREG(os.fstat(0).st_mode):
        return Path("/dev/fd/0")
    return _spool(sys.stdin.buffer)


def _spool(stream: BinaryIO) -> Path:
    """Copy a stream into an unnamed private file.

    The file lives as long as this process, by its descriptor; nothing is left behind.
    """
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, 1 << 20)
        file.flush()
        return Path(f"/dev/fd/{os.dup(file.fileno())}")


def iter_rows(
    inputs: Sequence[InputFile], defaults: RowDefaults, limit: int | None = None
) -> Iterator[Row]:
    """Yield the rows of all inputs in order, at most `limit`."""
    count = 0
    for index, item in enumerate(inputs):
        if limit is not None and count >= limit:
            return
        for row in read_rows(item.path, index, defaults):
            yield row
            count += 1
            if limit is not None and count >= limit:
                return


def scan_inputs(
    inputs: Sequence[InputFile],
    defaults: RowDefaults,
    *,
    limit: int | None = None,
    allow_duplicates: bool = False,
) -> InputScan:
    """Read everything once: count, check, digest. Nothing has started yet.

    Raises `UsageError` for unreadable files, two rows of one custom_id (both are named), and
    inputs without a single good row.
    """
    digests: tuple[array[int], ...] = tuple(array("Q") for _item in inputs)
    ids = None if allow_duplicates else IdTable()
    count = bad = 0
    first_bad: InvalidRow | None = None
    for row in iter_rows(inputs, defaults, limit):
        marks = digests[row.file]
        marks.extend([NO_ROW] * (row.line - 1 - len(marks)))
        count += 1
        if isinstance(row, InvalidRow):
            marks.append(BAD_ROW)
            bad += 1
            first_bad = first_bad or row
        else:
            marks.append(short_digest(row.digest))
            if ids is not None and row.names_itself and ids.seen(row.custom_id):
                _tell_duplicate(inputs, defaults, limit, row.custom_id)
    if first_bad is not None and bad == count:
        text = _("{file} has no line that is a request. Line {line}: {reason}.")
        raise UsageError(
            text.format(
                file=inputs[first_bad.file].name, line=first_bad.line, reason=first_bad.message
            )
        )
    return InputScan(digests, count, bad)


def short_digest(digest: str) -> int:
    """The first 64 bits of a digest, never one of the marks."""
    return int(digest[:16], 16) | 2


def _tell_duplicate(
    inputs: Sequence[InputFile], defaults: RowDefaults, limit: int | None, custom_id: str
) -> None:
    # The table holds hashes only, so the file is read again: this also rules out a collision.
    first: tuple[str, int] | None = None
    for row in iter_rows(inputs, defaults, limit):
        if isinstance(row, InvalidRow) or row.custom_id != custom_id or not row.names_itself:
            continue
        here = (inputs[row.file].name, row.line)
        if first is not None:
            text = _(
                "The custom_id '{id}' stands twice: {file} line {line} and {file2} line {line2}. "
                "Make them differ, or give --allow-duplicates."
            )
            raise UsageError(
                text.format(
                    id=custom_id, file=first[0], line=first[1], file2=here[0], line2=here[1]
                )
            )
        first = here
