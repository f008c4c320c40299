"""vLLM's own words: kept out of the terminal, in a private file, and read when a start fails."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ..i18n import _

_TAIL = 1 << 20  # bytes of log that are searched for a cause


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


@dataclass(frozen=True, slots=True)
class _Sign:
    """What a line of vLLM's log means to a person."""

    pattern: re.Pattern[str]
    sentence: Callable[[re.Match[str]], str]


def _signs() -> tuple[_Sign, ...]:
    def sign(pattern: str, sentence: Callable[[re.Match[str]], str]) -> _Sign:
        return _Sign(re.compile(pattern), sentence)

    return (
        sign(
            r"estimated maximum model length is (\d+)",
            lambda m: _(
                "The model's whole context does not fit into the memory for its KV cache; "
                "{n} tokens do. Set --max-model-len {n} or lower."
            ).format(n=m[1]),
        ),
        sign(
            r"No available memory for the cache blocks",
            lambda _m: _(
                "No memory is left for the KV cache once the model is loaded. Choose a smaller "
                "or quantized model, or lower --max-model-len."
            ),
        ),
        sign(
            r"Free memory on device \S* ?\(([\d.]+)/([\d.]+) GiB\)",
            lambda m: _(
                "Only {free} of {total} GiB of the GPU's memory are free. End what else runs on "
                "it (nvidia-smi lists it), or lower --gpu-memory-utilization."
            ).format(free=m[1], total=m[2]),
        ),
        sign(
            r"Available memory on node \S+ \(([\d.]+)/([\d.]+) GiB\)",
            lambda m: _(
                "Only {free} of {total} GiB of memory are free, too little for the KV cache that "
                "was asked for. Set a smaller one (--kv-cache-memory-bytes), or end what else "
                "uses the memory."
            ).format(free=m[1], total=m[2]),
        ),
        sign(
            r"OutOfMemoryError|CUDA out of memory|HIP out of memory",
            lambda _m: _(
                "The GPU's memory is too small for this model with these options. Lower "
                "--max-model-len or --max-num-seqs, or choose a smaller or quantized model."
            ),
        ),
        sign(
            r"DefaultCPUAllocator: can't allocate memory|std::bad_alloc|MemoryError",
            lambda _m: _("This machine's memory is too small for this model."),
        ),
        sign(
            r"Model architectures \[(.+?)\] are not supported",
            lambda m: _("This vLLM does not know the model's architecture ({name}).").format(
                name=m[1].replace("'", "")
            ),
        ),
        sign(
            r"User-specified max_model_len \((\d+)\) is greater than the derived .*?=(\d+)",
            lambda m: _(
                "The model's context is {most} tokens; --max-model-len {asked} is more than that."
            ).format(most=m[2], asked=m[1]),
        ),
        sign(
            r"(?:SafetensorError|Cannot find any model weights)",
            lambda _m: _(
                "The model's weights (*.safetensors) are missing or damaged. Download it again."
            ),
        ),
    )


def explain(text: str) -> str | None:
    """The cause that is named in vLLM's log or error text, as a sentence; None if none is known.

    The first known cause by its place in the text: what fails later follows from it.
    """
    found = [
        (match.start(), sign.sentence(match))
        for sign in _signs()
        if (match := sign.pattern.search(text))
    ]
    return min(found)[1] if found else None


_RAISED = re.compile(r"^(?:.*\] )?((?:[A-Za-z_][\w.]*)?(?:Error|Exception)): (.+)$", re.MULTILINE)
_EMPTY_WORDS = ("See root cause above", "initialization failed", "See stack trace")


def last_error(path: Path, start: int = 0) -> str | None:
    """The sentence that explains a failed start, from the log in `path`; None if there is none.

    A known cause in plain words, else the last exception that says anything, as vLLM put it.
    `start` is the size in bytes that the log had before.
    """
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(start, log.tell() - _TAIL))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return None
    known = explain(text)
    if known:
        return known
    said = [
        message.strip()
        for _kind, message in _RAISED.findall(text)
        if not any(words in message for words in _EMPTY_WORDS)
    ]
    return said[-1] if said else None
