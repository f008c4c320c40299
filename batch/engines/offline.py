"""The offline engine: vLLM in this process, through its own OpenAI serving classes.

So templates, tools, reasoning, structured outputs and parameters are vLLM's, and a row gets the
body that vLLM's server would send. `qchat.engine.runtime.vllm_startup` says how the processes are
arranged.
"""

import asyncio
import gc
import logging
import multiprocessing
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from ...engine.runtime import vllm_startup
from ...engine.runtime.diagnosis import explain_log, last_error
from ...engine.runtime.vllm_model import check_hub, explain_hub_error, locate_model, options_for
from ...errors import Code, EngineError, Failure, QchatError
from ...i18n import _, sentence_gap
from ...json_types import JsonObject
from ...processes import kill_processes, process_family
from ..request import Outcome, Request, usage_of
from ..response import judge
from . import vllm_adapter as adapter
from .engine import EngineState

T = TypeVar("T")

LONG_RUN = 20_000
"""Rows from which on the model is compiled on the CPU: 10 s of start-up (40 s the first time) for
5 to 10% more rows/s."""

# 255: the fork server was killed too, so that no process was left to report the exit code.
_KILLED_CODES = frozenset({-signal.SIGKILL, 255})
_COMMAND = "qchat batch FILE --model"  # in messages, before the model
_EXIT_TIMEOUT = 2.0  # seconds to learn how an engine that is lost has ended
_SHUTDOWN_TIMEOUT = 10.0  # seconds that vLLM gets to end by itself

_log = logging.getLogger("vllm.qchat")  # below vLLM's own, so that its handler writes it


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """How to run the model; None leaves the choice to vLLM (on the CPU, to `OfflineEngine`).

    `max_model_len` tokens of context; `memory_fraction` of the GPU's memory (on the CPU, of the
    machine's) for weights and KV cache together; `kv_cache_bytes` for the KV cache alone;
    `compile` the model with torch.compile: more tokens/s for a slower start (see `LONG_RUN`);
    `engine_args` any other option of vLLM's server by name, without the dashes
    (``{"quantization": "fp8", "enable-prefix-caching": ""}``; "" for an option without a value).
    `log` is the file that this process's vLLM writes to (see `engine_log.redirect_output`); the
    error of a failed start is read from it.
    """

    max_model_len: int | None = None
    memory_fraction: float | None = None
    kv_cache_bytes: int | None = None
    tensor_parallel_size: int | None = None
    compile: bool | None = None
    engine_args: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None

    def arguments(self) -> dict[str, str]:
        """The options of vLLM's server: name without dashes → value, "" for none."""
        named = {
            "max-model-len": self.max_model_len,
            "gpu-memory-utilization": self.memory_fraction,
            "kv-cache-memory-bytes": self.kv_cache_bytes,
            "tensor-parallel-size": self.tensor_parallel_size,
        }
        options = {name: str(value) for name, value in named.items() if value is not None}
        if self.compile is False:
            options["enforce-eager"] = ""
        for name, value in self.engine_args.items():
            options[name.removeprefix("--").replace("_", "-")] = value
        return options


class OfflineEngine:
    """The `Engine` that runs `model` (a folder, an id on the model hub, or ``demo``) here.

    `served_model_name` is what requests call it and what their answers say. On the CPU the model
    is compiled for long runs only, unless `OfflineOptions.compile` says otherwise.
    """

    def __init__(
        self, model: str, served_model_name: str, *, options: OfflineOptions | None = None
    ) -> None:
        self._model = model
        self._name = served_model_name
        self._options = options or OfflineOptions()
        self._thread = _CallThread("qchat-engine")
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._imports: Future[None] | None = None
        self._installed: vllm_startup.InstalledVllm | None = None
        self._one_process = False
        self._engine: Any = None
        self._config: Any = None
        self._arguments: Any = None
        self._handlers: Mapping[str, adapter.Handler] = {}
        self._processes: list[BaseProcess] = []
        self._death: asyncio.Task[Failure] | None = None
        self._log_start = 0
        self._closed = False

    @property
    def window(self) -> int:
        """Twice the engine's batch size, so that a next row is always there."""
        if self._config is None:
            return 512
        sequences: int = self._config.scheduler_config.max_num_seqs
        ranks: int = self._config.parallel_config.data_parallel_size
        return max(2 * sequences * ranks, 512)

    @property
    def description(self) -> str:
        """``vLLM 0.32.0 on this machine (cpu), model demo``."""
        installed = self._installed or vllm_startup.installed_vllm()
        kind = "cpu" if installed.cpu else "gpu"
        text = _("vLLM {version} on this machine ({kind}), model {model}")
        return text.format(version=installed.version, kind=kind, model=self._name)

    def states(self) -> tuple[EngineState, ...]:
        """Empty: there is no server."""
        return ()

    def prewarm(self) -> None:
        """Start importing vLLM and return at once. `start` calls it if nobody else did.

        Call it after `engine_log.redirect_output`, so that the children's output goes there too.
        Raises `EngineError` where vLLM is not installed, `UsageError` where the model is not there.
        """
        if self._imports is not None:
            return
        locate_model(self._model)
        self._installed = vllm_startup.installed_vllm()
        if self._options.log is not None and self._options.log.exists():
            self._log_start = self._options.log.stat().st_size
        self._one_process = vllm_startup.one_process(self._installed, self._options.arguments())
        # vLLM's sockets; a folder of ours is removed with what is in it when the engine ends.
        self._folder = vllm_startup.socket_folder()
        vllm_startup.set_environment(Path(self._folder.name))
        self._imports = self._thread.call(self._import)

    async def start(self, rows: int = 0) -> None:
        """Load the model, for about so many `rows`.

        Raises `EngineError`, or `UsageError` for an option; nothing is left running then.
        """
        self.prewarm()
        assert self._imports is not None
        try:
            await asyncio.wrap_future(self._imports)
            await asyncio.wrap_future(self._thread.call(lambda: self._build(rows)))
            self._handlers = await adapter.create_handlers(self._engine, self._arguments)
        except QchatError:
            await self.close()
            raise
        except Exception as error:
            await self.close()
            raise EngineError(self._explain(error)) from error
        except BaseException:
            await self.close()
            raise

    async def answer(self, request: Request) -> Outcome:
        """Send the request once; a failure of any kind is an `Outcome` too."""
        started = time.monotonic()
        result = await self._answer(request)
        seconds = time.monotonic() - started
        if isinstance(result, Failure):
            return Outcome(failure=result, seconds=seconds)
        return Outcome(body=result, usage=usage_of(result), seconds=seconds)

    async def _answer(self, request: Request) -> JsonObject | Failure:
        handler = self._handlers.get(request.endpoint)
        if handler is None:
            if not self._handlers:
                return Failure(Code.ENGINE_DEAD, _("The engine is not running."))
            text = _("The model {model} does not answer at {endpoint}.")
            message = text.format(model=self._name, endpoint=request.endpoint)
            return Failure(Code.UNSUPPORTED, message)
        try:
            result = await handler(request.body)
            if isinstance(result, Failure):
                return result
            return judge(result, request.endpoint) or result
        except Exception as error:
            if adapter.is_dead(self._engine):
                if self._death is None:  # once: a process can be waited for only once
                    self._death = asyncio.create_task(asyncio.to_thread(self._explain_death))
                return await asyncio.shield(self._death)
            return adapter.failure_of(error)

    async def alive(self) -> bool:
        """Whether the engine process is running and healthy."""
        return self._engine is not None and not adapter.is_dead(self._engine)

    async def close(self) -> None:
        """Stop vLLM and remove its processes and files; a process that does not end is killed."""
        if self._closed:
            return
        self._closed = True
        self._handlers = {}
        engine, self._engine = self._engine, None
        running = process_family(_engine_processes())
        if engine is not None:
            shutdown = self._thread.call(lambda: engine.shutdown(timeout=_SHUTDOWN_TIMEOUT / 2))
            try:
                await asyncio.wait_for(asyncio.wrap_future(shutdown), _SHUTDOWN_TIMEOUT)
            except TimeoutError:
                pass
            except Exception:  # vLLM's: a process of its own may be gone when it looks at it
                _log.warning("vLLM's own end failed; what is left of it is killed", exc_info=True)
        await asyncio.to_thread(kill_processes, running)
        vllm_startup.stop_fork_server()
        self._thread.stop()
        gc.unfreeze()
        if self._folder is not None:
            vllm_startup.forget_environment(Path(self._folder.name))
            self._folder.cleanup()

    # In the engine's own thread: the loop stays free for signals and the screen. The thread lives
    # as long as the engine, as the kernel ties child processes to the thread that started them.

    def _import(self) -> None:
        if self._one_process:
            vllm_startup.start_fork_server()
        vllm_startup.import_front_end()

    def _build(self, rows: int) -> None:
        assert self._installed is not None
        options = self._options.arguments()
        model = locate_model(self._model)
        check_hub(model, _COMMAND)
        options |= options_for(model, options, cpu=self._installed.cpu, throughput=True)
        options |= {"model": model, "served-model-name": self._name, "disable-log-stats": ""}
        decided = self._options.compile is not None or "compilation-config" in options
        if self._installed.cpu and not decided and rows < LONG_RUN:
            options.setdefault("enforce-eager", "")
        if self._one_process:
            options["distributed-executor-backend"] = "uni"
        self._arguments = adapter.parse_options(options)
        self._config = adapter.engine_config(self._arguments)
        if self._closed:
            raise EngineError(_("Stopped before the engine was ready."))
        self._engine = adapter.start_engine(self._config, forked=self._one_process)
        self._processes = _engines()

    # Messages for a person.

    def _explain(self, error: Exception) -> str:
        text = _full_message(error)
        cause = explain_log(text) or explain_hub_error(self._model, text, command=_COMMAND)
        if cause is None and self._options.log is not None:
            cause = last_error(self._options.log, self._log_start)
        cause = cause or text.strip().splitlines()[0]
        message = _("vLLM can't start {model}: {cause}").format(model=self._name, cause=cause)
        if self._options.log is not None:
            message += sentence_gap() + _("Its log: {path}").format(path=self._options.log)
        return message

    def _explain_death(self) -> Failure:
        """Why the engine process has ended; waits for its exit code."""
        text = _("vLLM's engine has stopped.")
        try:
            for process in self._processes:
                process.join(_EXIT_TIMEOUT)
            if any(process.exitcode in _KILLED_CODES for process in self._processes):
                killed = _("vLLM's engine was killed (out of memory, most of the time).")
                return Failure(Code.ENGINE_KILLED, killed)
            if self._options.log is not None:
                cause = last_error(self._options.log, self._log_start)
                if cause is not None:
                    text = _("vLLM's engine has stopped: {cause}").format(cause=cause)
        except Exception:  # every row in flight waits for this: none may be left without an answer
            _log.exception("The cause of the engine's end can't be determined")
        return Failure(Code.ENGINE_DEAD, text)


def _full_message(error: BaseException) -> str:
    """The messages of an exception and of those that led to it, a line each."""
    messages: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        messages.append(str(cause) or type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return "\n".join(messages)


def _engines() -> list[BaseProcess]:
    """The engines that this process started."""
    return [
        process
        for process in multiprocessing.active_children()
        if process.name.startswith(("EngineCore", "DPCoordinator"))
    ]


def _engine_processes() -> list[int]:
    """Process ids of the engines, the fork server included."""
    engines = [process.pid for process in _engines() if process.pid is not None]
    server = vllm_startup.fork_server_pid()
    return engines if server is None else [*engines, server]


class _CallThread:
    """A daemon thread that runs calls in order."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = False

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` after all earlier calls."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        self._calls.put(run)
        return future

    def stop(self) -> None:
        """End the thread after all earlier calls."""
        self._calls.put(None)

    def _run(self) -> None:
        while (run := self._calls.get()) is not None:
            run()
