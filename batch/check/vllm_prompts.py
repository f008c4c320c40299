"""The lengths of prompts by vLLM's renderer, which runs in a process of its own."""

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from ...engine.runtime.diagnosis import last_error
from ...errors import EngineError
from ...i18n import _
from ..background import WorkCounter
from ..engines.vllm_renderer import ENDPOINTS
from ..request import Request, dumps
from .prompts import Length

_MODULE = "qchat.batch.engines.vllm_renderer"
_POLL_SECONDS = 0.2
"""How often a thread that waits for the process looks whether it shall end."""

AT_ONCE = 64
"""Requests that are rendered at once."""


class VllmPrompts:
    """vLLM's renderer for `model`, with vLLM's `options` by their names without dashes in front.

    It starts with the first request, which takes 10 s or more: that many modules does vLLM import.
    `report` is told of the start. Call all methods in one thread: the process ends with the thread
    that started it.
    """

    endpoints = ENDPOINTS

    def __init__(
        self, model: str, options: dict[str, str], log: Path, report: Callable[[str], None]
    ) -> None:
        self.context: int | None = None
        self._job = {"model": model, "options": options}
        self._log = log
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def lengths(
        self, requests: Sequence[tuple[Request, bool]], counter: WorkCounter
    ) -> list[Length | ValueError]:
        """Return the length of each request's prompt, with its text where that is asked for;
        `ValueError` where vLLM would refuse the request.

        Raises `EngineError` where vLLM can't render for this model, and `WorkCancelledError`.
        """
        if self._process is None:
            self._start(counter)
        results: list[Length | ValueError] = []
        for start in range(0, len(requests), AT_ONCE):
            some = requests[start : start + AT_ONCE]
            line = dumps([(row.endpoint, row.body, with_text) for row, with_text in some])
            for value in self._call(line, counter):
                error = value.get("error")
                results.append(Length(**value) if error is None else ValueError(error))
        return results

    def _start(self, counter: WorkCounter) -> None:
        self._report(_("Loading vLLM's renderer, for rows that are more than plain texts ..."))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(os.getpid()), str(self._log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.context = self._call(orjson.dumps(self._job), counter)["context"]

    def _call(self, line: bytes, counter: WorkCounter) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            process.stdin.write(line + b"\n")
            process.stdin.flush()
        while not select.select([process.stdout], [], [], _POLL_SECONDS)[0]:
            counter.check()
        # The process writes a line at once, and nothing before the next request.
        answer = process.stdout.readline()
        value = orjson.loads(answer) if answer else {"failed": None}
        if isinstance(value, dict) and "failed" in value:
            reason = value["failed"] or last_error(self._log, 0) or _("its process has ended")
            text = _("vLLM can't render prompts of {model}: {reason}")
            raise EngineError(text.format(model=self._job["model"], reason=reason.rstrip(".。")))
        return value
