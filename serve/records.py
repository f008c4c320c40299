"""Which servers there are: a small file for each in the state folder, and a lock that its
supervisor holds while it lives. The lock is the truth, so a dead supervisor is known at once.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path

from ..errors import EngineError, UsageError
from ..files import replace_file, replacing
from ..i18n import _
from ..settings import Paths, private_dir
from . import lock

STARTING, READY, RESTARTING, STOPPING, FAILED = (
    "starting",
    "ready",
    "restarting",
    "stopping",
    "failed",
)
_STARTS = 5.0  # seconds to wait for others that start: each takes a moment


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """What is known of a server. `supervisor` and `vllm` are process ids, `started` is seconds
    since 1970, `key` says where its keys are and is never one, `mark` stands in the environment
    of all its processes, `temporary` is the folder of its temporary files, `utc_offset` the seconds
    that the clock of its log is ahead of UTC."""

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


class ServerRegistry:
    """The records in a folder of their own."""

    def __init__(self, paths: Paths) -> None:
        """Nothing is made before it is written."""
        self._folder = paths.state / "servers"
        self._logs = paths.state / "logs" / "serve"

    def file(self, name: str) -> Path:
        """The file for the record of the server `name`, which may not be there."""
        return self._folder / f"{name}.json"

    def log(self, name: str) -> Path:
        """The file for the log of the server `name`, which may not be there."""
        return self._logs / f"{name}.log"

    def new_log(self, name: str) -> Path:
        """An empty private file; the log before is kept as ``NAME.log.1``. Raises `UsageError`."""
        path = private_dir(self._logs) / f"{name}.log"
        try:
            with contextlib.suppress(FileNotFoundError):
                path.replace(self._logs / f"{name}.log.1")
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            text = _("Can't make the log {file}: {why}.")
            raise UsageError(text.format(file=path, why=error.strerror)) from error
        return path

    def bound_log(self, name: str, most: int) -> bool:
        """Where the log has grown beyond `most` bytes, keep it as ``NAME.log.1`` and go on with an
        empty one, in the same file: vLLM has it open. Whether that was done."""
        path, old = self.log(name), self._logs / f"{name}.log.1"
        try:
            if path.stat().st_size <= most:
                return False
            # A full disk needs the room all the more.
            with contextlib.suppress(OSError), path.open("rb") as log, replacing(old) as copy:
                shutil.copyfileobj(log, copy, 1 << 20)
            os.truncate(path, 0)
        except OSError:
            return False
        return True

    def register(self, record: ServerRecord) -> None:
        """Write the record of a server that starts. Raises `UsageError` where another that lives
        has its port: vLLM would share it with that one, and each get a part of the requests."""
        starting = self._folder / ".starting.lock"  # no server's name begins so
        try:
            with lock.held(starting, named=False, patience=_STARTS):
                self._refuse_a_shared_port(record)
                self.write(record)
        except BlockingIOError:
            raise EngineError(_("Other servers are being started; try again.")) from None

    def _refuse_a_shared_port(self, record: ServerRecord) -> None:
        for other in self.all():
            if other.name != record.name and _meet(other, record) and self.is_held(other.name):
                text = _(
                    "Port {port} is that of the server {name} ({state}). Give another --port, or "
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
            raise EngineError(text.format(file=path, why=error.strerror)) from error

    def read(self, name: str) -> ServerRecord | None:
        """The record of the server `name`; None where there is none that can be read."""
        try:
            said = json.loads(self.file(name).read_text("utf-8"))
            return ServerRecord(**said)
        except (OSError, ValueError, TypeError):
            return None

    def remove(self, name: str) -> None:
        """Forget a server. Raises `EngineError` where its record can't be removed."""
        try:
            self.file(name).unlink(missing_ok=True)
        except OSError as error:
            text = _("Can't remove {file}: {why}.")
            raise EngineError(text.format(file=self.file(name), why=error.strerror)) from error

    def all(self) -> list[ServerRecord]:
        """Every server that is known, by name."""
        names = sorted(path.stem for path in self._folder.glob("*.json"))
        return [record for name in names if (record := self.read(name)) is not None]

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Be the supervisor of the server `name`. Raises `UsageError` where there is another,
        `EngineError` where it can't be written who is."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock.held(self._lock(name), named=True))
            except BlockingIOError:
                raise UsageError(already_runs(name, self.read(name))) from None
            yield

    def is_held(self, name: str) -> bool:
        """Whether the supervisor of the server `name` lives."""
        return lock.is_held(self._lock(name))

    def supervisor(self, name: str) -> lock.LockHolder | None:
        """The process that looks after the server `name`, or was the last to."""
        return lock.holder(self._lock(name))

    def forget(self, record: ServerRecord) -> bool:
        """Remove the record and the temporary files of a server without a supervisor, unless
        another of its name has come; whether none is left of it. Raises `EngineError`."""
        try:
            with lock.held(self._lock(record.name), named=False):
                now = self.read(record.name)
                if now is not None and now.mark == record.mark:
                    remove_temporary(record.temporary)
                    self.remove(record.name)
                return True
        except BlockingIOError:
            now = self.read(record.name)
            return now is None or now.mark != record.mark

    def sweep(self) -> None:
        """Remove what supervisors that were killed left: their folders and records, as far as can
        be."""
        for record in self.all():
            if record.state == FAILED or self.is_held(record.name):
                continue
            last = self.supervisor(record.name)
            if last is None or last.is_near:
                with contextlib.suppress(EngineError):  # such as a disk that can only be read
                    self.forget(record)

    def _lock(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _meet(one: ServerRecord, other: ServerRecord) -> bool:
    """Whether two servers would listen in the same place: a name may mean any address."""
    if one.port != other.port:
        return False
    try:
        first, second = ip_address(one.host), ip_address(other.host)
    except ValueError:
        return True
    return first == second or first.is_unspecified or second.is_unspecified


def already_runs(name: str, record: ServerRecord | None) -> str:
    """A sentence for a second server of one name."""
    where = "" if record is None else _(" at {url}").format(url=record.url)
    text = _(
        "A server named {name} runs already{where}. Stop it (qchat stop {name}), or give this one "
        "another --name and --port."
    )
    return text.format(name=name, where=where)


def remove_temporary(folder: str) -> None:
    """Remove a folder that `supervise` made, and nothing else."""
    if Path(folder).name.startswith("qchat-serve-"):
        shutil.rmtree(folder, ignore_errors=True)
