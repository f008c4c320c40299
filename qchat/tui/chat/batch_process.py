"""A batch that was started from the chat: `qchat batch FILE` as a separate process."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Final

from ...api.endpoint import Endpoint
from ...api.local_servers import QCHAT
from ...errors import EngineError
from ...i18n import _
from ...json_types import JsonObject
from ...sanitize import one_line

_KEY_VARIABLE: Final = "QCHAT_CHAT_API_KEY"
_KEPT_MESSAGES: Final = 20


def batch_arguments(
    file: str, endpoint: Endpoint, model: str | None, system: str | None, parameters: JsonObject
) -> list[str]:
    """Return the arguments of `qchat` for a file with a conversation's settings.

    The API key is not among them: other users of the machine could read it there.
    """
    arguments = ["batch", file, "--base-url", endpoint.base_url, "--progress", "json"]
    if endpoint.api_key is not None:
        arguments += ["--api-key-env", _KEY_VARIABLE]
    if model:
        arguments += ["--model", model]
    if system:
        arguments += ["--system", system]
    if parameters:
        arguments += ["--extra-body", json.dumps(parameters)]
    return arguments


class BatchProcess:
    """A running batch. It can be resumed: a stop loses nothing.

    `progress` is the last object of its progress, `messages` its last other lines. `outcome` is
    where the results of a finished run are, else the last message: what follows is advice for a
    shell.
    """

    def __init__(self, arguments: list[str], endpoint: Endpoint) -> None:
        """Start it. Raises `EngineError`."""
        self.progress: dict[str, Any] = {}
        self.messages: list[str] = []
        self.outcome = ""
        self._is_settled = False
        environ = dict(os.environ)
        if endpoint.api_key is not None:
            environ[_KEY_VARIABLE] = endpoint.api_key.reveal()
        try:
            self._process = subprocess.Popen(
                [*QCHAT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=environ,
            )
        except OSError as e:
            text = _("Can't start qchat batch: {why}.")
            raise EngineError(text.format(why=e.strerror)) from e

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def wait(self, on_change: Callable[[], None]) -> int:
        """Block until it has ended; `on_change` is called at each line. The exit code."""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for raw in lines:
                self._take(raw.decode("utf-8", "replace").strip())
                on_change()
        return self._process.wait()

    def _take(self, line: str) -> None:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict) and value.get("event") not in ("message", "warning"):
            self.progress = value
            return
        text = one_line(str(value.get("text", "")) if isinstance(value, dict) else line)
        if text:
            self.messages = [*self.messages, text][-_KEPT_MESSAGES:]
            if not self._is_settled:
                self.outcome = text
            self._is_settled = self.progress.get("event") == "summary"

    def stop(self) -> None:
        """Interrupt it, as Ctrl+C would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)


def progress_lines(process: BatchProcess) -> Iterator[str]:
    """Yield what a person wants to know of a batch now."""
    progress = process.progress
    done, total = progress.get("done"), progress.get("total")
    if isinstance(done, int) and isinstance(total, int) and total:
        width = 30
        filled = min(width, round(width * done / total))
        yield "━" * filled + "─" * (width - filled) + f"  {done:,}/{total:,} ({done / total:.0%})"
    labels = {
        "answered": _("{n:,.0f} answered"),
        "failed": _("{n:,.0f} failed"),
        "in_flight": _("{n:,.0f} in flight"),
        "rows_per_second": _("{n:,.1f} rows/s"),
        "eta_seconds": _("{n:,.0f} s left"),
    }
    figures = [(label, progress.get(key)) for key, label in labels.items()]
    texts = [label.format(n=n) for label, n in figures if isinstance(n, int | float) and n]
    if texts:
        yield " · ".join(texts)
    yield from process.messages[-4:]
