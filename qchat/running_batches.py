"""The batches that run on this machine, as others see them: a small file for each in the state
folder, locked as long as its process runs.

The chat and `qchat status` say by it that a batch runs beside, `qchat batch --pause` finds a run by
it, and polite batches know each other's requests by it.
"""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from .i18n import _, comma
from .locks import FileLock, is_locked, process_start, read_record
from .settings import Paths, private_dir

FOLDER_VARIABLE: Final = "_QCHAT_RUNNING_BATCHES"
"""The variable with the folder of the files, for a batch whose state folder is its own."""
ID_VARIABLE: Final = "_QCHAT_BATCH_ID"
"""The variable with the id of a batch that a server runs for a client of its Batch API."""

_FOLDER: Final = "batches"
_PAUSE: Final = ".pause"


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch that runs. `servers` maps their base URLs to the requests in flight there, `claims`
    the same to those that polite batches should take for its own; `results` is its results file,
    "" for standard output. `takes_signals` is False for a batch within another program, which is
    paused by a file. `batch_id` is that of the Batch API, if a server runs it."""

    pid: int
    results: str
    done: int = 0
    total: int = 0
    rows_per_second: float = 0.0
    eta_seconds: float | None = None
    low_priority: int | None = None
    servers: Mapping[str, int] = field(default_factory=dict)
    claims: Mapping[str, int] = field(default_factory=dict)
    is_yielding: bool = False
    takes_signals: bool = True
    command: str = ""
    batch_id: str = ""
    path: Path = Path()

    def summary(self) -> str:
        """One line for a person: how far it is, and how to pause it."""
        text = _("{done:,} of {total:,} rows")
        line = text.format(done=self.done, total=self.total)
        if self.is_yielding:
            line += comma() + _("yielding to live requests")
        if self.batch_id:
            cancel = _("cancel it: qchat batches cancel {id}")
            line += _("; ") + cancel.format(id=self.batch_id)
        elif self.results:
            import shlex

            pause = _("pause it: qchat batch --pause {results}")
            line += _("; ") + pause.format(results=shlex.quote(self.results))
        return line


class BatchEntry:
    """The file of one batch, for as long as it is entered. Troubles with it never end the batch."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock: FileLock | None = None
        self._record: dict[str, object] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "began": process_start(os.getpid()),
            "start": int(time.time()),
            "batch_id": os.environ.get(ID_VARIABLE, ""),
        }

    def __enter__(self) -> "BatchEntry":
        with contextlib.suppress(Exception):  # a read-only state folder
            folder = private_dir(_folder(self._paths.state))
            path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.lock"
            lock = FileLock(path, record=self._record, remove=True)
            lock.acquire()
            self._lock = lock
        return self

    def write(self, values: Mapping[str, object]) -> None:
        """Publish what a `RunningBatch` has, by its names."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.write({**self._record, **values})

    @property
    def pause_requested(self) -> bool:
        """Whether `request_pause` was called for it."""
        return self._lock is not None and self._lock.path.with_suffix(_PAUSE).exists()

    @property
    def path(self) -> Path | None:
        """The file; None where there is none."""
        return None if self._lock is None else self._lock.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.path.with_suffix(_PAUSE).unlink(missing_ok=True)
            self._lock.release()


def running_batches(state: Path) -> Iterator[RunningBatch]:
    """Yield the batches that run on this machine; remove what killed ones have left."""
    for path in sorted(_folder(state).glob("*.lock")):
        try:
            if not is_locked(path):
                path.unlink(missing_ok=True)
                path.with_suffix(_PAUSE).unlink(missing_ok=True)
                continue
        except OSError:
            continue
        batch = _batch_of(read_record(path), path)
        if batch is not None:
            yield batch


def _folder(state: Path) -> Path:
    return Path(os.environ.get(FOLDER_VARIABLE) or state / _FOLDER)


def shared_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the files for whoever has these variables."""
    return Path(environ.get(FOLDER_VARIABLE) or Paths.find(environ).state / _FOLDER)


def batches_at(state: Path, base_url: str) -> list[RunningBatch]:
    """The batches that ask the server at `base_url`."""
    server = _plain(base_url)
    return [one for one in running_batches(state) if server in map(_plain, one.servers)]


def _plain(base_url: str) -> str:
    """An address with one name for this machine."""
    return base_url.replace("://localhost", "://127.0.0.1").removesuffix("/v1")


def request_pause(batch: RunningBatch) -> None:
    """Ask a batch within another program to stop. Raises `OSError`."""
    batch.path.with_suffix(_PAUSE).touch(mode=0o600)


def _batch_of(record: Mapping[str, Any], path: Path) -> RunningBatch | None:
    """The batch by its record; None before it has published anything."""
    names = RunningBatch.__dataclass_fields__.keys() - {"path"}
    values = {name: value for name, value in record.items() if name in names}
    if "results" not in values or not isinstance(values.get("pid"), int):
        return None
    for name in ("servers", "claims"):
        if not isinstance(values.get(name, {}), dict):
            return None
    return RunningBatch(**values, path=path)
