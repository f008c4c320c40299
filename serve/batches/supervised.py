"""The service of the batches, kept running beside the server by the supervisor's process."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..access.delegation import VARIABLE
from ..planning.plan import ServePlan
from .service_settings import ServiceSettings, service_settings

_END = 10.0  # seconds for the rows in flight, and to end
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_STABLE = 30.0  # seconds after which an end counts as the first one


class SupervisedBatches:
    """The process, and what vLLM's process has to know of it; nothing for a plan without it."""

    def __init__(self, plan: ServePlan, folder: Path, log: Path) -> None:
        """Files and batches are in `folder`; its messages go to `log`."""
        self._settings: ServiceSettings | None = None
        if plan.batches is not None:
            self._settings = service_settings(plan, folder)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of vLLM's process, with a secret in it."""
        if self._settings is None:
            return {}
        return {VARIABLE: self._settings.delegation.to_variable()}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keep the service running: a crash of it is followed by another start."""
        if self._settings is None:
            yield
            return
        # One thread starts each process and stays: a process ends with the thread that started it.
        thread = threading.Thread(target=self._keep, args=(self._settings,), name="batches")
        thread.start()
        try:
            yield
        finally:
            self.stop_soon()
            self._end()
            thread.join()

    def _keep(self, settings: ServiceSettings) -> None:
        pause = _FIRST_PAUSE
        while not self._ending.is_set():
            started = time.monotonic()
            with contextlib.suppress(OSError):
                self._start(settings)
                assert self._process is not None
                if self._ending.is_set():
                    self._process.terminate()
                self._process.wait()
            if time.monotonic() - started > _STABLE:
                pause = _FIRST_PAUSE
            self._ending.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _start(self, settings: ServiceSettings) -> None:
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "qchat.serve.batches.service"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor
            )
        self._process = process
        assert process.stdin is not None
        with process.stdin as pipe, contextlib.suppress(BrokenPipeError):
            pipe.write(settings.to_json().encode())

    def stop_soon(self) -> None:
        """Ask the service to end: its runs keep what is answered while the server still runs."""
        self._ending.set()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        deadline = time.monotonic() + _END
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
