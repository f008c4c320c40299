"""A server started from the chat: `qchat serve MODEL --detach` as a process of its own."""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Final

from ..api.local_servers import QCHAT
from ..errors import EngineError
from ..i18n import _
from ..sanitize import one_line

HOST: Final = "127.0.0.1"
_USUAL_PORT: Final = 8000
_PHASE: Final = re.compile(r"\[\s*\d+ s\] (.*)")  # as `qchat serve` writes one into a pipe


def free_port() -> int:
    """vLLM's usual port if nobody has it, else any that is free."""
    for port in (_USUAL_PORT, 0):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
            return int(tried.getsockname()[1])
    raise EngineError(_("No port is free on this machine."))


class ServerStart:
    """One start. It belongs to nobody but itself: the server lives on when the chat ends.

    `phase` is what the command said last, `url` where the server will be.
    """

    def __init__(self, model: str) -> None:
        """`model` is what `qchat serve` takes. Raises `EngineError`."""
        self.model = model
        self.phase = ""
        self.stopped = False
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self._began = time.monotonic()
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
            raise EngineError(text.format(why=e.strerror)) from e

    @property
    def seconds(self) -> float:
        """Since the start began."""
        return time.monotonic() - self._began

    def wait(self, told: "Callable[[], None]") -> None:
        """Until the server is ready; `told` is called with each phase. For a thread.

        Raises `EngineError` with what the command said where it is not.
        """
        assert self._process.stderr is not None
        said: list[str] = []
        with self._process.stderr as lines:
            for raw in lines:
                line = one_line(raw.decode("utf-8", "replace").strip())
                found = _PHASE.fullmatch(line)
                if found is not None:
                    self.phase = found[1]
                    told()
                elif line:
                    said.append(line)
        if self._process.wait() != 0:
            self._fail(said)

    def _fail(self, said: list[str]) -> None:
        if self.stopped:
            raise EngineError(_("The start of {model} was stopped.").format(model=self.model))
        why = said[-1].removeprefix(_("Error: {message}").format(message="")) if said else ""
        text = _("{model} did not start: {why}")
        raise EngineError(text.format(model=self.model, why=why or _("it did not say why.")))

    def stop(self) -> None:
        """Break it off, as Ctrl+C would; nothing of it is left then."""
        self.stopped = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
