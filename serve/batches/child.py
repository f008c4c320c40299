"""One run of `qchat batch` for a batch, against the server itself, in the name of its owner."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ... import lifeline, locks, running_batches
from ...errors import Exit
from ...settings import private_dir
from .run_files import ERRORS, LOCK, RESULTS

_KEY = "_QCHAT_BATCH_KEY"
_DRAIN = 6.0  # seconds for the rows in flight, after the first signal
_HURRY = 2.0  # seconds after the second one
_LOCK_POLL = 0.2
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")
_MAX_LINE = 1 << 20  # bytes of a line of progress
_PRIVATE = ("QCHAT_", "OPENAI_", "ANTHROPIC_", "VLLM_API", "HF_TOKEN")
_WAIT = "1h"
OPTIONS = (
    *("--engine", "http", "--low-priority", "--rows-fail-alone"),
    *("--progress", "json", "--wait", _WAIT),
)

Counts = Callable[[int, int], None]
"""Is called with the rows that were answered, and that failed, so far."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended: its exit code (negative: the signal that killed it), its last words, and how
    many rows had come to an end when it last said so. `has_recorded`: it has added to its journal,
    be it after that."""

    code: int
    message: str
    done: int
    has_recorded: bool = False

    @property
    def is_killed(self) -> bool:
        """Return whether somebody else ended it: a person, or a system without memory."""
        return self.code == -signal.SIGKILL

    @property
    def is_finished(self) -> bool:
        """Return whether every row has come to an end."""
        return self.code in (Exit.OK, Exit.ROWS_FAILED)


class BatchChild:
    """A run in `folder`, which has its journal: the next one goes on where this one ended."""

    def __init__(self, folder: Path, input_file: Path, base_url: str, key: str) -> None:
        self._folder = folder
        self._input = input_file
        self._base_url = base_url
        self._key = key
        self._process: Process | None = None
        self._stopping = False
        self._done = 0
        self._message = ""

    async def run(self, counts: Counts) -> RunEnd:
        """Run until the end. Raises `OSError` where nothing can be started."""
        private_dir(self._folder)
        await self.wait_until_free()
        if self._stopping:
            return RunEnd(Exit.TERMINATED, "", 0)
        size = self._journal_size()
        self._process = await asyncio.create_subprocess_exec(
            *self.command(),
            env=self._environment(os.environ),
            cwd=self._folder,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            limit=_MAX_LINE,
            start_new_session=True,
            # It ends with this process, however that ends.
            preexec_fn=lifeline.before_exec(signal.SIGTERM),
        )
        assert self._process.stderr is not None
        if self._stopping:
            self._send(signal.SIGTERM)
        try:
            await self._follow(self._process.stderr, counts)
            code = await self._process.wait()
        finally:
            await self.stop()  # where nobody follows it any more
        return RunEnd(code, self._message, self._done, self._journal_size() > size)

    def _journal_size(self) -> int:
        """Return the bytes of answers and failures so far."""
        size = 0
        for name in (RESULTS, ERRORS):
            with contextlib.suppress(OSError):
                size += (self._folder / name).stat().st_size
        return size

    async def wait_until_free(self) -> None:
        """Wait for the end of a run that a killed service has left: it ends soon."""
        while locks.is_locked(self._folder / LOCK):  # noqa: ASYNC110 - another process has it
            await asyncio.sleep(_LOCK_POLL)

    def command(self) -> list[str]:
        """Return the command line, which holds no key."""
        return [
            *(sys.executable, "-m", "qchat", "batch", str(self._input)),
            *("-o", str(self._folder / RESULTS), "--base-url", self._base_url),
            *("--api-key-env", _KEY, *OPTIONS),
        ]

    async def stop(self) -> None:
        """Stop the run: first softly, so that the answers in flight are kept, then at once."""
        self._stopping = True
        for signum, seconds in (
            (signal.SIGTERM, _DRAIN),
            (signal.SIGTERM, _HURRY),
            (signal.SIGKILL, _HURRY),
        ):
            if self._process is None or self._process.returncode is not None:
                return
            self._send(signum)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)

    def _send(self, signum: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signum)

    def _environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return an environment without the settings and keys of whoever runs the server: they
        would change the requests of others, or leave with them."""
        kept = {
            name: value
            for name, value in environ.items()
            if not name.startswith(_PRIVATE) and not name.lower().endswith("_proxy")
        }
        return {
            **kept,
            "QCHAT_HOME": str(self._folder / "home"),
            # So that the chat, `qchat status` and other polite batches see it.
            running_batches.FOLDER_VARIABLE: str(running_batches.shared_folder(environ)),
            running_batches.ID_VARIABLE: self._folder.name,
            _KEY: self._key,
        }

    async def _follow(self, stream: asyncio.StreamReader, counts: Counts) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the limit; the rest of it follows
                continue
            if not line:
                return
            self._read(line, counts)

    def _for_others(self, text: str) -> str:
        """Return an error for the owner of the batch: without the folders of this machine, and
        without what leads to the command that resumes a run."""
        text = text.removeprefix("Error: ").replace(str(self._input), "the input file")
        text = text.replace(f"{self._folder}{os.sep}", "")
        sentences = _SENTENCE_END.split(text)
        return " ".join(one for one in sentences if not one.endswith((":", "：")))

    def _read(self, line: bytes, counts: Counts) -> None:
        event: Any = None
        with contextlib.suppress(ValueError):
            event = orjson.loads(line)
        if not isinstance(event, dict):
            text = line.decode("utf-8", "replace").strip()
            if text:
                # The command that resumes a run, in a line of its own, is of no use to others.
                is_first = text.startswith("Error: ")
                self._message = self._for_others(text) if is_first else self._message
            return
        if event.get("event") in ("progress", "summary"):
            answered, failed = event.get("answered", 0), event.get("failed", 0)
            self._done = answered + failed
            counts(answered, failed)


def remove_run(folder: Path) -> None:
    """Remove the journal of a batch that has ended, as far as possible."""
    shutil.rmtree(folder, ignore_errors=True)
