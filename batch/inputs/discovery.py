"""Find the input files of a run: names, globs, pipes, standard input."""

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
from .lines import open_text


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file: `name` as it stands on the command line, `path` to read.

    `key` is what results and manifest call it: its path from the output's folder, so that it is
    the same file however and from wherever it was named.
    """

    name: str
    path: Path
    key: str = ""


def with_keys(inputs: Sequence[InputFile], folder: Path) -> list[InputFile]:
    """Return the inputs with their keys, for an output in `folder`."""
    home = folder.resolve()
    keyed: list[InputFile] = []
    pipes = 0
    for item in inputs:
        if not str(item.path).startswith("/dev/fd/"):
            key = os.path.relpath(item.path.resolve(), home)
        elif item.name == "stdin":
            key = item.name
        else:  # the number in its name is another one each time
            pipes += 1
            key = "pipe" if pipes == 1 else f"pipe.{pipes}"
        keyed.append(replace(item, key=key))
    return keyed


def expand_inputs(
    names: Sequence[str], is_own_output: Callable[[Path], bool] = lambda _path: False
) -> list[InputFile]:
    """Resolve file names and globs; ``-`` is standard input, copied to a private file at once.

    A glob leaves out the files for which `is_own_output` is true, so that the same glob resumes.

    Raises `UsageError` for a pattern without a match, a file that can't be read as text, and a
    file named twice.
    """
    inputs: list[InputFile] = []
    for name in names:
        if name == "-":
            inputs.append(InputFile("stdin", _spool_stdin()))
        elif Path(name).is_fifo():  # <(a command): can be read once, and a run reads twice
            with Path(name).open("rb") as stream:
                inputs.append(InputFile(name, _spool(stream)))
        elif Path(name).exists() or not glob.has_magic(name):
            inputs.append(InputFile(name, Path(name)))
        else:
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (a whole pattern)
            matches = [match for match in matches if not is_own_output(Path(match))]
            if not matches:
                raise UsageError(_("No file matches '{pattern}'.").format(pattern=name))
            inputs += [InputFile(match, Path(match)) for match in matches]
    names_by_path: dict[Path, str] = {}
    for item in inputs:
        open_text(item.path).close()  # report unreadable files before anything else happens
        path = item.path.resolve()
        if path in names_by_path:
            text = _("{name} is named twice (also as {other}).")
            raise UsageError(text.format(name=item.name, other=names_by_path[path]))
        names_by_path[path] = item.name
    return inputs


def total_size(inputs: Sequence[InputFile]) -> int:
    """Return the size of all inputs in bytes, as far as it can be found out."""
    size = 0
    for item in inputs:
        with contextlib.suppress(OSError):
            size += item.path.stat().st_size
    return size


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
