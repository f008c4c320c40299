"""The registry of servers: a JSON file for each in the state folder, and a lock that its
supervisor holds. The lock decides whether a server runs: the kernel releases that of a dead one.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ...errors import EngineError, UsageError
from ...files import replace_file, replacing
from ...i18n import _
from ...locks import process_start
from ...settings import Paths, private_dir
from . import lock

STARTING, READY, STALLED, RESTARTING, STOPPING, IDLE, FAILED = (
    "starting",
    "ready",
    "stalled",
    "restarting",
    "stopping",
    "idle",
    "failed",
)
SERVING = (READY, STALLED)  # the states of a server that accepts requests
_REGISTER_TIMEOUT = 5.0  # seconds to wait while other servers register


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """The record of a server. `supervisor` and `vllm` are process ids, `started` is seconds since
    the epoch, `key` says where its keys are and is never one, `mark` is in the environment of all
    its processes, `temporary` is the folder of its temporary files, and `utc_offset` the seconds
    that the clock of its log is ahead of UTC.

    `vllm_began` tells the process `vllm` from a later one with its id (see `process_start`);
    `starts` counts vLLM's starts, and `start_s` is how many seconds the last one took until it was
    ready. `stalled_since` is seconds since the epoch; a stop may take `drain_s` seconds more than
    usual; `idle_stop` is --idle-stop, in seconds.
    """

    name: str
    model: str
    served_name: str
    url: str
    host: str
    port: int
    key: str
    state: str
    started: float
    supervisor: int
    mark: str
    temporary: str
    log: str
    vllm: int | None = None
    restarts: int = 0
    message: str = ""
    utc_offset: int | None = None
    vllm_began: int = 0
    starts: int = 0
    start_s: float | None = None
    stalled_since: float | None = None
    drain_s: float = 0.0
    idle_stop: float | None = None

    @property
    def vllm_process(self) -> int | None:
        """The id of vLLM's first process, unless another process has it now."""
        if self.vllm is None or self.vllm_began in (0, process_start(self.vllm)):
            return self.vllm
        return None

    @classmethod
    def parse(cls, values: Any) -> "ServerRecord | None":
        """Return the record with these values by name, as JSON has them; None where one is missing.
        Names of another version are left out."""
        if not isinstance(values, dict):
            return None
        names = [field.name for field in fields(cls)]
        try:
            return cls(**{name: values[name] for name in names if name in values})
        except TypeError:
            return None


class ServerRegistry:
    """The records of all servers, in a folder of their own."""

    def __init__(self, paths: Paths) -> None:
        """Creates no folder or file."""
        self._folder = paths.state / "servers"
        self._logs = paths.state / "logs" / "serve"
        self._batches = paths.state / "batch-api"

    def file(self, name: str) -> Path:
        """Return the path of the record of the server `name`, which may not exist."""
        return self._folder / f"{name}.json"

    def log(self, name: str) -> Path:
        """Return the path of the log of the server `name`, which may not exist."""
        return self._logs / f"{name}.log"

    def control(self, name: str) -> Path:
        """Return the path of what other commands ask of the supervisor of the server `name`."""
        return self._folder / f"{name}.control"

    def plan(self, name: str) -> Path:
        """Return the path of the last plan of the server `name`, which may not exist."""
        return self._folder / f"{name}.plan"

    def batches(self, name: str) -> Path:
        """Return the folder of the files and batches of the server `name`, which may not exist."""
        return self._batches / name

    def keep_plan(self, name: str, text: str) -> None:
        """Write the plan of the server `name` for `qchat restart`, as far as possible."""
        with contextlib.suppress(OSError):
            replace_file(self.plan(name), text.encode())

    def new_log(self, name: str) -> Path:
        """Create an empty private log; the last one becomes ``NAME.log.1``. Raises `UsageError`."""
        path = private_dir(self._logs) / f"{name}.log"
        try:
            with contextlib.suppress(FileNotFoundError):
                path.replace(self._logs / f"{name}.log.1")
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            text = _("Can't create the log {file}: {reason}.")
            raise UsageError(text.format(file=path, reason=_(error.strerror))) from error
        return path

    def bound_log(self, name: str, max_bytes: int) -> bool:
        """Where the log exceeds `max_bytes`, copy it to ``NAME.log.1`` and truncate it in place:
        vLLM has it open. Return whether that was done."""
        path, old = self.log(name), self._logs / f"{name}.log.1"
        try:
            if path.stat().st_size <= max_bytes:
                return False
            # On a full disk truncating matters even more.
            with contextlib.suppress(OSError), path.open("rb") as log, replacing(old) as copy:
                shutil.copyfileobj(log, copy, 1 << 20)
            os.truncate(path, 0)
        except OSError:
            return False
        return True

    def register(self, record: ServerRecord) -> None:
        """Write the record of a starting server. Raises `UsageError` where another running server
        has its port: with SO_REUSEPORT each of them would get a part of the requests."""
        starting = self._folder / ".starting.lock"  # no server's name begins with a dot
        try:
            with lock.held(starting, named=False, patience=_REGISTER_TIMEOUT):
                self._refuse_a_shared_port(record)
                self.write(record)
        except BlockingIOError:
            raise EngineError(_("Other servers are being started; try again.")) from None

    def _refuse_a_shared_port(self, record: ServerRecord) -> None:
        for other in self.all():
            if (
                other.name != record.name
                and _share_address(other, record)
                and self.is_locked(other.name)
            ):
                text = _(
                    "Port {port} is used by the server {name} ({state}). Give another --port, or "
                    "stop that one: qchat stop {name}"
                )
                raise UsageError(text.format(port=record.port, name=other.name, state=other.state))

    def write(self, record: ServerRecord) -> None:
        """Replace the record at once: a reader sees the old one or the new one. Raises
        `EngineError` where it can't be written."""
        path = private_dir(self._folder) / f"{record.name}.json"
        try:
            replace_file(path, json.dumps(asdict(record)).encode())
        except OSError as error:
            text = _("Can't write {file}, which says what runs: {why}. Mend that and start again.")
            raise EngineError(text.format(file=path, why=_(error.strerror))) from error

    def read(self, name: str) -> ServerRecord | None:
        """Return the record of the server `name`, where it is lost or damaged from what the running
        supervisor wrote into its lock; None where none is readable."""
        record = self._read_file(name)
        if record is None and self.is_locked(name):
            record = ServerRecord.parse(lock.description(self._lock(name)))
            return record or self._read_file(name)  # it may have been written meanwhile
        return record

    def _read_file(self, name: str) -> ServerRecord | None:
        try:
            return ServerRecord.parse(json.loads(self.file(name).read_text("utf-8")))
        except (OSError, ValueError):
            return None

    def _unknown(self, name: str) -> ServerRecord | None:
        """Return a record of a server of which only the lock is known; None where that is free."""
        holder = lock.holder(self._lock(name)) if self.is_locked(name) else None
        if holder is None:
            return None
        return ServerRecord(
            name=name,
            model="?",
            served_name="?",
            url="?",
            host="?",
            port=0,
            key="?",
            state=STARTING,
            started=time.time(),
            supervisor=holder.pid,
            mark=f"unknown-{name}",  # marks no process
            temporary="",
            log=str(self.log(name)),
        )

    def keep(self, record: ServerRecord) -> None:
        """Write the record of a running server again where its file is lost, damaged or old.
        Raises `EngineError` where it can't be written."""
        if self._read_file(record.name) != record:
            self.write(record)

    def remove(self, name: str) -> None:
        """Remove the record of a server. Raises `EngineError` where it can't be removed."""
        try:
            self.file(name).unlink(missing_ok=True)
        except OSError as error:
            text = _("Can't remove {file}: {why}.")
            raise EngineError(text.format(file=self.file(name), why=_(error.strerror))) from error

    def all(self) -> list[ServerRecord]:
        """Return the records of all servers, sorted by name. The locks decide what runs: a server
        whose record is lost is listed as well."""
        paths = [path for kind in ("json", "lock") for path in self._folder.glob(f"[!.]*.{kind}")]
        names = sorted({path.stem for path in paths})
        records = (self.read(name) or self._unknown(name) for name in names)
        return [record for record in records if record is not None]

    @contextlib.contextmanager
    def acquire(self, name: str) -> Iterator[lock.ServerLock]:
        """Hold the lock of the server `name` as its supervisor. Raises `UsageError` where another
        supervisor holds it, `EngineError` where it can't be written."""
        with contextlib.ExitStack() as stack:
            try:
                server_lock = stack.enter_context(lock.held(self._lock(name), named=True))
            except BlockingIOError:
                raise UsageError(already_runs(name, self.read(name))) from None
            yield server_lock

    def is_locked(self, name: str) -> bool:
        """Return whether the server `name` has a running supervisor."""
        return lock.is_held(self._lock(name))

    def supervisor(self, name: str) -> lock.LockHolder | None:
        """Return the supervisor of the server `name`, or the last one it had."""
        return lock.holder(self._lock(name))

    def forget(self, record: ServerRecord, damaged: bool = False) -> bool:
        """Remove the record and temporary files of a server without a supervisor, unless a newer
        server has its name; with `damaged` where its file has no record at all. Return whether
        nothing of it is left. Raises `EngineError`."""
        try:
            with lock.held(self._lock(record.name), named=False):
                current = self._read_file(record.name) or (record if damaged else None)
                if current is not None and current.mark == record.mark:
                    remove_temporary(record.temporary)
                    self.remove(record.name)
                return True
        except BlockingIOError:
            current = self.read(record.name)
            return current is None or current.mark != record.mark

    def sweep(self) -> None:
        """Remove the records and temporary files of killed supervisors, as far as possible."""
        for path in sorted(self._folder.glob("[!.]*.json")):
            name = path.stem
            record = self._read_file(name)
            if (record is not None and record.state == FAILED) or self.is_locked(name):
                continue
            supervisor = self.supervisor(name)
            if supervisor is not None and not supervisor.is_near:
                continue
            with contextlib.suppress(EngineError):  # such as a read-only file system
                if record is not None:
                    self.forget(record)
                elif (old := ServerRecord.parse(lock.description(self._lock(name)))) is not None:
                    self.forget(old, damaged=True)

    def _lock(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _share_address(record: ServerRecord, other: ServerRecord) -> bool:
    """Return whether two servers would listen on one address; a host name may mean any."""
    if record.port != other.port:
        return False
    try:
        first, second = ip_address(record.host), ip_address(other.host)
    except ValueError:
        return True
    return first == second or first.is_unspecified or second.is_unspecified


def already_runs(name: str, record: ServerRecord | None) -> str:
    """Return the message for a second server of the same name."""
    address = "" if record is None else _(" at {url}").format(url=record.url)
    text = _(
        "A server named {name} is already running{address}. Stop it (qchat stop {name}), or give "
        "this one another --name and --port."
    )
    return text.format(name=name, address=address)


def remove_temporary(folder: str) -> None:
    """Remove a folder that `Supervisor` created, and nothing else."""
    if Path(folder).name.startswith("qchat-serve-"):
        shutil.rmtree(folder, ignore_errors=True)
