"""Redirect vLLM's output from the terminal to a file that `runtime.diagnosis` reads."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Terminal:
    """This process's original streams, while its descriptors 1 and 2 go to a log."""

    stdout: TextIO
    stderr: TextIO


@contextlib.contextmanager
def redirect_output(path: Path) -> Iterator[Terminal]:
    """Redirect stdout and stderr of this process and its children to the file `path`.

    Descriptors 1 and 2 are replaced, so that the output of C++ code and child processes is
    redirected too; enter this before any of them starts. The file is readable by its owner alone:
    vLLM's log can contain prompts. The streams of the result write to the original destinations;
    on exit the descriptors are restored. Raises OSError where the file can't be created.
    """
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(log, 0o600)
        sys.stdout.flush()
        sys.stderr.flush()
        with (
            _duplicate(1, sys.stdout) as stdout,
            _duplicate(2, sys.stderr) as stderr,
        ):
            os.dup2(log, 1)
            os.dup2(log, 2)
            try:
                yield Terminal(stdout, stderr)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                _flush(stdout)
                _flush(stderr)
                os.dup2(stdout.fileno(), 1)
                os.dup2(stderr.fileno(), 2)
    finally:
        os.close(log)


def _flush(stream: TextIO) -> None:
    # The reader of a pipe may be gone; the next write reports that, the clean-up goes on.
    with contextlib.suppress(BrokenPipeError):
        stream.flush()


@contextlib.contextmanager
def _duplicate(descriptor: int, template: TextIO) -> Iterator[TextIO]:
    """A text stream with the encoding of `template` on a copy of `descriptor`; the copy is not
    inherited by children."""
    stream = open(  # noqa: SIM115, PTH123
        os.dup(descriptor),
        "w",
        encoding=template.encoding,
        errors=template.errors,
        newline="\n",
        buffering=1,
    )
    try:
        yield stream
    finally:
        with contextlib.suppress(BrokenPipeError):
            stream.close()
