"""A connection to a Ray cluster, or a Ray of our own on this machine.

Ray's calls block, and a process that Ray starts ends with the *thread* that started it; so all that
opens and closes the connection runs in one thread that lives as long as the session. Outside the
main thread, `ray.init` also leaves the handler of SIGTERM alone.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ....errors import EngineError, UsageError
from ....i18n import _
from ....installation import find_spec, install_hint
from ....locks import FileLock, is_locked
from ....processes import kill_processes, process_family
from ....settings import private_dir
from .resources import Node

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0
"""Seconds to reach a cluster's address; `ray.init` itself would try for over 40."""

_OBJECT_STORE = 256 << 20  # bytes: rows and answers mostly travel within the calls
_LONGEST_FOLDER = 43  # characters: a socket's path has 107 at most, and Ray's names have 64
_PREFIX = "qchat-ray-"
_SHORT_PLACE = Path("/tmp")  # noqa: S108  the folder in it is private
_NEW = 60.0  # seconds: a folder so young may not be locked yet
_CURRENT_CLUSTER = "ray_current_cluster"  # the file that `ray start` leaves its address in

_OWN_RAY: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's own switch for "this machine alone": every port is bound to 127.0.0.1.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
}


def check_installed() -> None:
    """Raises `UsageError` where Ray is not installed."""
    if find_spec("ray") is None:
        text = _("--engine ray needs Ray; install it: {command}")
        raise UsageError(text.format(command=install_hint("ray")))


class RaySession:
    """Ray in this process. `address` is ``auto`` or ``host:port``; None starts a Ray here, its
    files in a folder of its own below `state`."""

    def __init__(self, address: str | None, state: Path) -> None:
        self._address = address
        self._state = state
        self._thread = ThreadPoolExecutor(1, "qchat-ray")
        self._stack = contextlib.ExitStack()

    async def open(self) -> None:
        """Connect, or start Ray. Raises `EngineError` or `UsageError` with what is wrong."""
        await self.call(self._open)

    async def nodes(self) -> list[Node]:
        """The machines of the cluster that are alive."""
        return await self.call(_nodes)

    async def call(self, function: Callable[[], T]) -> T:
        """Run a blocking call of Ray's in the session's thread."""
        return await asyncio.wrap_future(self._thread.submit(function))

    async def close(self) -> None:
        """Leave the cluster, or end the Ray that was started here."""
        await self.call(self._stack.close)
        self._thread.shutdown(wait=False)

    def _open(self) -> None:
        try:
            if self._address is None:
                self._start_local()
            else:
                self._connect(self._address)
        except BaseException:
            self._stack.close()
            raise

    def _connect(self, given: str) -> None:
        address = cluster_address(given)
        check_reachable(address)
        import ray

        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            text = _("Can't join the Ray cluster at {address}: {why}")
            raise EngineError(text.format(address=address, why=first_line(error))) from error
        self._stack.callback(_shutdown)

    def _start_local(self) -> None:
        folder = self._stack.enter_context(_session_folder(self._state))
        token = folder / "token"
        token.touch(0o600)
        token.write_text(os.urandom(32).hex(), "ascii")
        self._stack.enter_context(_environment({**_OWN_RAY, "RAY_AUTH_TOKEN_PATH": str(token)}))
        # On a busy machine a first start may take longer than the 30 s that Ray gives it.
        try:
            _init_local(folder)
        except Exception:
            _end_local()
            try:
                _init_local(folder)
            except Exception as error:
                _end_local()
                text = _("Ray can't start on this machine: {why}")
                raise EngineError(text.format(why=first_line(error))) from error
        self._stack.callback(_end_local)


def _init_local(folder: Path) -> None:
    """Start a Ray that is closed to other users and to other machines."""
    import ray

    with _own_session():
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=_OBJECT_STORE,
            _node_ip_address="127.0.0.1",
            # Ray opens its folder to everybody, but nobody else comes through the one around it.
            _temp_dir=str(folder / "r"),
        )


def cluster_address(given: str) -> str:
    """The address that ``auto`` stands for, or `given` itself. Raises `UsageError` for one that is
    none, `EngineError` where no Ray runs here."""
    if given.startswith("ray://"):
        text = _(
            "--ray-address {address}: Ray Client (ray://) is not supported; run qchat on a machine "
            "of the cluster, with --ray-address auto."
        )
        raise UsageError(text.format(address=given))
    if given != "auto":
        return _checked(given)
    named = os.environ.get("RAY_ADDRESS")
    if named and named != "auto":
        return _checked(named)
    # As Ray itself looks for it, which would then wait for a cluster that has ended meanwhile.
    temporary = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or _SHORT_PLACE
    with contextlib.suppress(OSError, UnicodeDecodeError):
        address = Path(temporary, "ray", _CURRENT_CLUSTER).read_text("utf-8").strip()
        if address:
            return _checked(address)
    text = _(
        "No Ray cluster runs on this machine (--ray-address auto). Start one with 'ray start "
        "--head', give --ray-address HOST:PORT, or leave --ray-address out."
    )
    raise EngineError(text)


def _checked(address: str) -> str:
    host, _colon, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        text = _("--ray-address {address}: expected auto or HOST:PORT, e.g. 10.0.0.1:6379.")
        raise UsageError(text.format(address=address))
    return address


def check_reachable(address: str) -> None:
    """Raises `EngineError` where nothing listens at `address` (host:port)."""
    host, _colon, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        text = _("No Ray cluster answers at {address} ({why}).")
        why = error.strerror or str(error) or type(error).__name__
        raise EngineError(text.format(address=address, why=why)) from None


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, with what follows where it ends in a colon, or the
    exception's name; ends with a full stop."""
    versions = _VERSIONS.findall(str(error))
    if len(versions) == 2:
        text = _(
            "it runs Ray {theirs} on Python {python}, and here is Ray {ours} on Python "
            "{own_python}; install the same versions on all machines."
        )
        (theirs, python), (ours, own_python) = versions
        return text.format(theirs=theirs, python=python, ours=ours, own_python=own_python)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if text.endswith(":"):
        text = " ".join(lines)[:_LONGEST_REASON]
    return text if text.endswith((".", "!", "?")) else text + "."


_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")
"""The versions of the cluster and of this process, in Ray's message of a mismatch."""
_LONGEST_REASON = 300  # characters


@contextlib.contextmanager
def _session_folder(state: Path) -> Iterator[Path]:
    """A folder that nobody else can enter, removed at the end; those of killed runs are removed."""
    parent = private_dir(state)
    if len(str(parent)) + len(f"/{_PREFIX}12345678/r") > _LONGEST_FOLDER:
        parent = _SHORT_PLACE
    for stale in parent.glob(f"{_PREFIX}*"):
        lock = stale / "lock"
        with contextlib.suppress(OSError):
            seen = lock.stat()
            is_old = time.time() - seen.st_mtime > _NEW
            if is_old and seen.st_uid == os.getuid() and not is_locked(lock):
                shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        with FileLock(folder / "lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_starting = threading.local()


@contextlib.contextmanager
def _own_session() -> Iterator[None]:
    """Give the processes that this thread starts meanwhile a session of their own.

    A signal to our process group (Ctrl-C, `timeout`, a job scheduler) would else end Ray while the
    rows in flight are to be finished. Ray has no option for it, but runs Python in each child
    between fork and exec.
    """
    _starting.is_ray = True
    try:
        yield
    finally:
        _starting.is_ray = False


def _leave_group() -> None:
    if getattr(_starting, "is_ray", False):
        with contextlib.suppress(OSError):
            os.setsid()


os.register_at_fork(after_in_child=_leave_group)  # there is no way to take it back


def _nodes() -> list[Node]:
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    free = _free_resources()
    hosts = [str(node["NodeManagerHostname"]) for node in alive]
    return [
        Node(
            host if hosts.count(host) == 1 else f"{host}/{node['NodeID'][:6]}",
            node["Resources"],
            free.get(node["NodeID"], node["Resources"]),
        )
        for host, node in zip(hosts, alive, strict=True)
    ]


def _free_resources() -> Mapping[str, Mapping[str, float]]:
    """Resources by node that nobody has taken; Ray has no public call for it without dashboard."""
    try:
        from ray._private.state import available_resources_per_node
    except ImportError:
        return {}
    free: Any = available_resources_per_node()
    return free  # type: ignore[no-any-return]


def _shutdown() -> None:
    import ray

    ray.shutdown()


def _end_local() -> None:
    """End a Ray of our own, and kill what is left of the processes below it: vLLM's, mostly."""
    roots = [pid for pid in process_family([os.getpid()])[1:] if _is_of_ray(pid)]
    family = process_family(roots)
    _shutdown()
    kill_processes(family)


def _is_of_ray(pid: int) -> bool:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"/ray/" in command or command.startswith(b"ray::")
    return False
