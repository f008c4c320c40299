"""What interrupts a supervisor: signals, requests of other commands, and the end of its child."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ... import signals
from . import server_control
from .server_control import ControlRequest


class Interrupts:
    """The stop signals that have come, and whether another command asks for something."""

    def __init__(self, control: Path) -> None:
        """`control` is the file of requests."""
        self.signals: list[int] = []
        self._control = control
        self._is_asked = False
        self._wake = threading.Event()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals; a request of before is dropped."""
        ControlRequest.take(self._control)
        with signals.handle_signals(self._on_signal, signal.SIGCHLD, server_control.SIGNAL):
            yield

    def _on_signal(self, signum: int) -> None:
        if signum == server_control.SIGNAL:
            self._is_asked = True
        elif signum != signal.SIGCHLD:
            self.signals.append(signum)
        self._wake.set()

    def wake(self) -> None:
        """End the present or next `sleep`; for other threads."""
        self._wake.set()

    def sleep(self, seconds: float) -> None:
        """Wait for a signal, the end of the child, or `seconds`."""
        self._wake.wait(seconds)
        self._wake.clear()

    def request(self) -> ControlRequest | None:
        """Return what another command asks for, once; None for nothing new."""
        if not self._is_asked:
            return None
        self._is_asked = False
        return ControlRequest.take(self._control)
