"""Find the inputs of a run: names, globs, folders, URLs, pipes, standard input."""

import contextlib
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import click

from ...errors import UsageError
from ...i18n import _
from .formats.compression import ENDINGS
from .formats.dataset_folder import is_dataset_folder, splits_of
from .formats.detection import ending_of
from .formats.opening import Location, check_readable
from .formats.remote import RemoteFile, expand_url, is_url

READ_ENDINGS = frozenset(
    {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".txt", ".parquet", ".arrow", ".feather"}
)
"""Endings of the files that are read when a folder is named."""


ROWS = "rows"
"""The name of the input that a Python program gives as rows."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file: `name` as it stands on the command line, `path` to read.

    `key` is what results and manifest call it: its path from the output's folder, so that it is
    the same file however and from wherever it was named. `sample` is the number of the sample that
    is asked in this pass over it (see `samples`).
    """

    name: str
    path: Location
    key: str = ""
    sample: int = 0

    @property
    def stem(self) -> str:
        """The file's name without its endings, that of a compression included."""
        name = self.path.name
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        return Path(name).stem or self.path.stem


def with_keys(inputs: Sequence[InputFile], folder: Path) -> list[InputFile]:
    """Return the inputs with their keys, for an output in `folder`."""
    home = folder.resolve()
    keyed: list[InputFile] = []
    pipes = 0
    for item in inputs:
        if isinstance(item.path, RemoteFile):
            key = item.name
        elif not str(item.path).startswith("/dev/fd/"):
            key = os.path.relpath(item.path.resolve(), home)
        elif item.name in ("stdin", ROWS):
            key = item.name
        else:  # the number in its name is another one each time
            pipes += 1
            key = "pipe" if pipes == 1 else f"pipe.{pipes}"
        keyed.append(replace(item, key=key))
    return keyed


def expand_inputs(
    names: Sequence[str],
    is_own_output: Callable[[Path], bool] = lambda _path: False,
    encoding: str = "utf-8",
) -> list[InputFile]:
    """Resolve names, globs, folders and URLs; ``-`` is standard input, copied to a private file.

    A glob and a folder leave out the files for which `is_own_output` is true, so that the same
    command resumes. Raises `UsageError` for a pattern without a match, a file that can't be read,
    and a file named twice.
    """
    inputs: list[InputFile] = []
    for name in names:
        if name == "-":
            inputs.append(InputFile("stdin", _spool_stdin()))
        elif is_url(name):
            inputs += [InputFile(str(remote), remote) for remote in expand_url(name)]
        elif Path(name).is_fifo():  # <(a command): can be read once, and a run reads twice
            with Path(name).open("rb") as stream:
                inputs.append(InputFile(name, _spool(stream)))
        elif Path(name).is_dir():
            inputs += _files_in(Path(name), is_own_output)
        elif Path(name).exists() or not glob.has_magic(name):
            inputs.append(InputFile(name, Path(name)))
        else:
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (a whole pattern)
            matches = [match for match in matches if not is_own_output(Path(match))]
            if not matches:
                raise UsageError(_("No file matches '{pattern}'.").format(pattern=name))
            inputs += [InputFile(match, Path(match)) for match in matches]
    names_by_path: dict[object, str] = {}
    for item in inputs:
        check_readable(item.path, encoding)  # before anything else happens
        path = item.path if isinstance(item.path, RemoteFile) else item.path.resolve()
        if path in names_by_path:
            text = _("{name} is named twice (also as {other}).")
            raise UsageError(text.format(name=item.name, other=names_by_path[path]))
        names_by_path[path] = item.name
    return inputs


def _files_in(folder: Path, is_own_output: Callable[[Path], bool]) -> list[InputFile]:
    """Return the inputs below a folder: a dataset, its splits, or the files with rows."""
    if is_dataset_folder(folder):
        return [InputFile(str(folder), folder)]
    if splits := splits_of(folder):
        return [InputFile(str(split), split) for split in splits]
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if ending_of(path.name) in READ_ENDINGS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
        and not path.name.endswith(".manifest.json")
        and not is_own_output(path)
    ]
    if not files:
        text = _(
            "{path} is a folder without a file that has rows (such as .jsonl, .csv, .parquet)."
        )
        raise UsageError(text.format(path=folder))
    return [InputFile(str(path), path) for path in files]


def total_size(inputs: Sequence[InputFile]) -> int:
    """Return the size of all inputs in bytes, 0 where it can't be compared with what is read."""
    size = 0
    for item in inputs:
        if isinstance(item.path, RemoteFile) or item.path.suffix in ENDINGS:
            return 0
        with contextlib.suppress(OSError):
            size += item.path.stat().st_size
    return size


def are_empty(inputs: Sequence[InputFile]) -> bool:
    """Whether all inputs are files without a byte."""
    return all(
        isinstance(item.path, Path) and item.path.is_file() and not item.path.stat().st_size
        for item in inputs
    )


def _spool_stdin() -> Path:
    if sys.stdin.isatty():
        click.echo(_("Reading rows from the terminal; end with Ctrl-D."), err=True)
    if stat.S_ISREG(os.fstat(0).st_mode):
        return Path("/dev/fd/0")
    return _spool(sys.stdin.buffer)


def _spool(stream: BinaryIO) -> Path:
    """Copy a stream to an unnamed private file that exists as long as this process."""
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, 1 << 20)
        file.flush()
        return Path(f"/dev/fd/{os.dup(file.fileno())}")
