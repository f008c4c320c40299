"""vLLM's own words: kept out of the terminal, in a file that `qchat.engine.diagnosis` reads."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Terminal:
    """The streams that this process was started with, while its descriptors 1 and 2 go to a log."""

    stdout: TextIO
    stderr: TextIO


@contextlib.contextmanager
def captured(path: Path) -> Iterator[Terminal]:
    """Send what this process and its children write to stdout and stderr to the file `path`.

    Descriptors 1 and 2 are replaced, so that what C++ code and child processes write is caught
    too; enter this before any of them starts. The file is readable by its owner alone: vLLM's
    log can show what people asked. The streams handed out write to where the output went before;
    at the end everything is as it was. Raises OSError where the file can't be made.
    """
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(log, 0o600)
        sys.stdout.flush()
        sys.stderr.flush()
        with (
            _original(1, sys.stdout) as stdout,
            _original(2, sys.stderr) as stderr,
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
    # The reader of a pipe may be gone; whoever writes next is told, the clean-up goes on.
    with contextlib.suppress(BrokenPipeError):
        stream.flush()


@contextlib.contextmanager
def _original(descriptor: int, like: TextIO) -> Iterator[TextIO]:
    """A text stream on a copy of `descriptor`; the copy is not inherited by children."""
    stream = open(  # noqa: SIM115, PTH123
        os.dup(descriptor),
        "w",
        encoding=like.encoding,
        errors=like.errors,
        newline="\n",
        buffering=1,
    )
    try:
        yield stream
    finally:
        with contextlib.suppress(BrokenPipeError):
            stream.close()
