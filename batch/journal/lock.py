"""One writer at a time: `NAME.lock`."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from ... import locks
from ...errors import UsageError
from ...i18n import _, sentence_gap

_HOLDER_PATIENCE = 0.1  # seconds: a new holder writes its record right after locking


class RunLock:
    """Holds `path` while entered. Raises `UsageError`, naming the holder, when it is held.

    The file is removed at the end. `advisory` is False where the file system has no `flock` and the
    record in the file decides (see `locks`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._record: dict[str, object] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "start": int(time.time()),
        }
        self._lock = locks.FileLock(path, record=self._record, remove=True)

    @property
    def advisory(self) -> bool:
        """Whether the file system has `flock`."""
        return self._lock.supported

    def __enter__(self) -> "RunLock":
        if locks.is_foreign(self._path):
            text = _("{path} is no lock of qchat's; move it away, or give another -o.")
            raise UsageError(text.format(path=self._path))
        try:
            self._lock.acquire()
        except BlockingIOError:
            raise UsageError(self._already_held()) from None
        except OSError as error:
            text = _("{path} can't be used as a lock: {reason}.")
            raise UsageError(text.format(path=self._path, reason=_(error.strerror))) from None
        self.tell({})
        return self

    def tell(self, more: Mapping[str, object]) -> None:
        """Write the holder and `more` into the file, for `holder_of`; an error is ignored."""
        with contextlib.suppress(OSError):
            self._lock.write({**self._record, **more})

    def _already_held(self) -> str:
        holder = holder_of(self._path)
        start = holder.get("start")
        since = time.strftime("%H:%M:%S", time.localtime(start)) if isinstance(start, int) else "?"
        text = _(
            "Another qchat (PID {pid} on {host}, since {since}) writes {name}; "
            "wait for it, stop it, or give another -o."
        )
        if not self._lock.supported:
            text += sentence_gap() + _("If it no longer runs, remove {path}.")
        return text.format(
            pid=holder.get("pid", "?"),
            host=holder.get("host", "?"),
            since=since,
            name=self._path.with_suffix(".jsonl"),
            path=self._path,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


def is_held(path: Path) -> bool:
    """Whether a run holds the lock at `path` now."""
    try:
        return locks.is_locked(path)
    except OSError:
        return False


def holder_of(path: Path) -> dict[str, object]:
    """The last record of the lock's holder (see `RunLock.tell`); empty where there is none."""
    return locks.read_record(path, _HOLDER_PATIENCE)
