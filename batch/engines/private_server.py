"""vLLM's own server as a child of this process, asked through a Unix socket that nobody else sees.

For a vLLM whose parts `vllm_adapter` does not know: it needs no more of it than `qchat serve` does.
Requests, answers and digests are those of the offline engine; only the start is slower.
"""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...api.endpoint import Endpoint
from ...engine.runtime import vllm_startup
from ...engine.runtime.diagnosis import last_error
from ...engine.runtime.vllm_model import locate_model
from ...errors import Code, EngineError, Failure
from ...i18n import _, sentence_gap
from ...processes import kill_processes, process_family, raise_file_limit
from ..request import Outcome, Request
from .concurrency import MAX_LIMIT, AdaptiveConcurrency
from .engine import EngineState
from .http import HttpEngine, ServerUnavailableError
from .offline import OfflineOptions

LAUNCHER = "qchat.serve.launcher"
"""The module that becomes vLLM's server, started by its name: `batch` imports nothing of it."""

_URL = "http://localhost/v1"  # a name for the header `Host`; the connection goes to the socket
_OWN_OPTIONS = ("model", "served-model-name", "host", "port", "uds")
_POLL_INTERVAL = 0.25  # seconds between two looks at a server that is starting
_EXIT_TIMEOUT = 3.0  # seconds to learn that a server which failed has ended
_SHUTDOWN_TIMEOUT = 15.0  # seconds that the server gets to end by itself

_LOST_CODES = frozenset(
    {Code.UNREACHABLE, Code.DISCONNECTED, Code.SERVER_ERROR, Code.OVERLOADED, Code.NO_PROGRESS}
)
_KILLED_ENGINE = re.compile(r"Failed core proc\(s\): \{[^}]*: -9\b")
_DEAD_ENGINE = "engine core exited unexpectedly"
"""What vLLM logs of an engine that ends while it serves, without its exit code."""


class PrivateServerEngine:
    """The `Engine` that runs `model` in a server of its own. See `batch.engines.engine.Engine`.

    The server's folder is readable by this user alone; its socket and its processes end with this
    process, however that ends.
    """

    def __init__(
        self, model: str, served_model_name: str, *, options: OfflineOptions | None = None
    ) -> None:
        self._model = model
        self._name = served_model_name
        self._options = options or OfflineOptions()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._http: HttpEngine | None = None
        self._exit: asyncio.Task[Failure] | None = None
        self._log_start = 0

    @property
    def window(self) -> int:
        """How many requests to keep in flight."""
        return 1 if self._http is None else self._http.window

    @property
    def description(self) -> str:
        """``vLLM 0.34.0 in a private server on this machine (cpu), model demo``."""
        installed = vllm_startup.installed_vllm()
        kind = "cpu" if installed.cpu else "gpu"
        text = _("vLLM {version} in a private server on this machine ({kind}), model {model}")
        return text.format(version=installed.version, kind=kind, model=self._name)

    def states(self) -> tuple[EngineState, ...]:
        """Empty: there is no server that a person would know of."""
        return ()

    def prewarm(self) -> None:
        """Start the server and return at once; call it in a thread that outlives the engine.

        Raises `EngineError` where vLLM is not installed, `UsageError` where the model is not there.
        """
        if self._process is not None:
            return
        model = locate_model(self._model)
        vllm_startup.installed_vllm()
        if self._options.log is not None and self._options.log.exists():
            self._log_start = self._options.log.stat().st_size
        self._folder = vllm_startup.socket_folder()
        # A key and rules of the person's servers are not meant for this one.
        environ = {
            name: value
            for name, value in os.environ.items()
            if name != "VLLM_API_KEY" and not name.startswith("_QCHAT_")
        }
        with self._open_log() as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", LAUNCHER, *self._arguments(model)],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is for qchat, which ends its rows
            )

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[int | None]:
        """The log's descriptor, for the server's output; None where there is no log."""
        if self._options.log is None:
            yield None
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(self._options.log, flags, 0o600)  # it may contain prompts
        try:
            yield log
        finally:
            os.close(log)

    def _arguments(self, model: str) -> list[str]:
        options = self._options.arguments() | {"disable-uvicorn-access-log": ""}
        return [
            *("--model", model, "--served-model-name", self._name),
            *("--uds", str(self._socket), "--parent-pid", str(os.getpid()), "--"),
            *(
                f"--{name}" if value == "" else f"--{name}={value}"
                for name, value in options.items()
                if name not in _OWN_OPTIONS
            ),
        ]

    @property
    def _socket(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, "api.sock")

    async def start(self, rows: int = 0) -> None:
        """Wait until the server is ready. Raises `EngineError`; nothing is left running then."""
        self.prewarm()
        limit = raise_file_limit(MAX_LIMIT)
        endpoint = Endpoint(_URL, origin="default")
        self._http = HttpEngine(
            endpoint, AdaptiveConcurrency(max(1, limit)), socket_path=self._socket
        )
        try:
            await self._http.start()
            await self._wait_until_ready()
        except BaseException:
            await self.close()
            raise

    async def _wait_until_ready(self) -> None:
        assert self._http is not None and self._process is not None
        while self._process.poll() is None:
            with contextlib.suppress(ServerUnavailableError):
                await self._http.models()
                return
            await asyncio.sleep(_POLL_INTERVAL)
        text = _("vLLM can't start {model}: {cause}")
        cause = self._cause() or _("its server ended ({code})").format(
            code=self._process.returncode
        )
        message = text.format(model=self._name, cause=cause)
        if self._options.log is not None:
            message += sentence_gap() + _("Its log: {path}").format(path=self._options.log)
        raise EngineError(message)

    async def answer(self, request: Request) -> Outcome:
        """Send the request once."""
        assert self._http is not None, "start() comes first"
        outcome = await self._http.answer(request)
        if outcome.failure is None or outcome.failure.code not in _LOST_CODES:
            return outcome
        if self._exit is None:
            self._exit = asyncio.create_task(self._explain_exit())
        # A request fails a moment before the process has ended.
        done, _pending = await asyncio.wait({self._exit}, timeout=_EXIT_TIMEOUT)
        return Outcome(failure=self._exit.result()) if done else outcome

    async def alive(self) -> bool:
        """Whether the server is running and answers."""
        running = self._process is not None and self._process.poll() is None
        return running and self._http is not None and await self._http.alive()

    async def close(self) -> None:
        """Stop the server and remove its processes and files."""
        if self._http is not None:
            await self._http.close()
        if self._exit is not None:
            self._exit.cancel()
        if self._process is not None:
            await asyncio.to_thread(_stop, self._process)
        if self._folder is not None:
            self._folder.cleanup()

    async def _explain_exit(self) -> Failure:
        """Wait for the end of the server, and say why it ended."""
        assert self._process is not None
        await asyncio.to_thread(self._process.wait)
        cause = self._cause()
        if self._engine_was_killed(silent=cause is None):
            killed = _("vLLM's engine was killed (out of memory, most of the time).")
            return Failure(Code.ENGINE_KILLED, killed)
        if cause is None:
            return Failure(Code.ENGINE_DEAD, _("vLLM's engine has stopped."))
        return Failure(
            Code.ENGINE_DEAD, _("vLLM's engine has stopped: {cause}").format(cause=cause)
        )

    def _engine_was_killed(self, *, silent: bool) -> bool:
        """`silent` says that the log has no error: an engine that fails by itself logs one."""
        assert self._process is not None
        if self._process.returncode == -9:
            return True
        if self._options.log is None:
            return False
        with contextlib.suppress(OSError), self._options.log.open("rb") as log:
            log.seek(self._log_start)
            text = log.read().decode("utf-8", "replace")
            return bool(_KILLED_ENGINE.search(text)) or (silent and _DEAD_ENGINE in text)
        return False

    def _cause(self) -> str | None:
        log = self._options.log
        return None if log is None else last_error(log, self._log_start)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and all of its processes; one that does not end in time is killed."""
    members = process_family([process.pid])
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_SHUTDOWN_TIMEOUT)
    kill_processes(members)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_EXIT_TIMEOUT)
