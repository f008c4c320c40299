"""A server started from the chat: `qchat serve MODEL --detach` as a separate process."""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Final

from ...api.local_servers import QCHAT
from ...errors import EngineError
from ...i18n import _
from ...sanitize import one_line

HOST: Final = "127.0.0.1"
_DEFAULT_PORT: Final = 8000
_PHASE: Final = re.compile(r"\[\s*\d+ s\] (.*)")  # as `qchat serve` writes one into a pipe


def free_port() -> int:
    """vLLM's default port if it is free, else any free port. Raises `EngineError`."""
    for port in (_DEFAULT_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EngineError(_("No port is free on this machine."))


class ServerProcess:
    """A start of a server. The server keeps running when the chat ends.

    `phase` is the command's last progress line, `url` where the server will listen.
    """

    def __init__(self, model: str) -> None:
        """`model` as for `qchat serve`. Raises `EngineError`."""
        self.model = model
        self.phase = ""
        self.stopped = False
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self._started = time.monotonic()
        command = [*QCHAT, "serve", model, "--host", HOST, "--port", str(port), "--detach"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as e:
            text = _("Can't start qchat serve: {why}.")
            raise EngineError(text.format(why=_(e.strerror))) from e

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def wait(self, on_phase: "Callable[[], None]") -> None:
        """Block until the server is ready; `on_phase` is called when `phase` changes.

        Raises `EngineError` with the command's error message where the start fails.
        """
        assert self._process.stderr is not None
        messages: list[str] = []
        with self._process.stderr as lines:
            for raw in lines:
                line = one_line(raw.decode("utf-8", "replace").strip())
                match = _PHASE.fullmatch(line)
                if match is not None:
                    self.phase = match[1]
                    on_phase()
                elif line:
                    messages.append(line)
        if self._process.wait() != 0:
            self._fail(messages)

    def _fail(self, messages: list[str]) -> None:
        if self.stopped:
            raise EngineError(_("The start of {model} was stopped.").format(model=self.model))
        why = (
            messages[-1].removeprefix(_("Error: {message}").format(message="")) if messages else ""
        )
        text = _("{model} did not start: {why}")
        raise EngineError(text.format(model=self.model, why=why or _("no reason was given.")))

    def stop(self) -> None:
        """Interrupt the start, as Ctrl+C would; no process is left."""
        self.stopped = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
