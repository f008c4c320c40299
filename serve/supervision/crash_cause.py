"""Why a server's process ended: from its last words, its exit code and the kernel's records."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ...engine.runtime import last_words
from ...i18n import _
from ..processes import kernel_oom, process_tree
from ..processes.kernel_oom import MemoryGroup
from .start_failure import exit_reason, read_log

_TAIL = 1 << 20  # bytes at the end of a log in which last words are looked for


@dataclass(frozen=True, slots=True)
class Cause:
    """`message` for a person, and the `words` of the log that it was read from."""

    message: str
    words: str = ""


class CrashWitness:
    """Remembers of a running server what can't be asked any more once it is dead."""

    def __init__(self, log: Path, offset: int, first: int) -> None:
        """The server writes to `log` from byte `offset` on; `first` is its first process."""
        self._log = log
        self._offset = offset
        self._first = first
        self._began = time.monotonic()
        self._pids = {first}
        self._group = MemoryGroup.of(first)
        self._kills = 0 if self._group is None else self._group.kills()

    def look(self, mark: str) -> None:
        """Note the processes that run now."""
        self._pids.update(process_tree.members(self._first, mark))

    def log_was_truncated(self) -> None:
        """Note that the log begins anew."""
        self._offset = 0

    def cause(self, exit_code: int, *, ready: bool) -> Cause:
        """Return why the first process ended with `exit_code`; `ready` where it had served."""
        text = self._text()
        words = self._words(text, exit_code, ready=ready)
        killed = self._kernel_kill(text)
        if killed is not None:
            return Cause(killed, words)
        if words and (message := last_words.cause_of(words)) is not None:
            return Cause(message, words)
        for name, code in last_words.failed_processes(text).items():
            if code < 0 and not ready:
                text = _("{name} was killed by {signal}")
                return Cause(text.format(name=name, signal=signal.Signals(-code).name), words)
        return Cause(exit_reason(exit_code), words)

    def _words(self, text: str, exit_code: int, *, ready: bool) -> str:
        if not ready:  # nobody could ask it anything yet
            return last_words.without_access_lines(text)
        if exit_code < 0:
            return ""
        # vLLM exits with 0 when its engine has died, with another code of its own accord.
        words = last_words.engine_words(text)
        return words or (last_words.api_words(text, time.localtime()) if exit_code > 0 else "")

    def _text(self) -> str:
        """Return the log of this start, at most its beginning and its last part."""
        try:
            size = self._log.stat().st_size
        except OSError:
            return ""
        return read_log(self._log, max(self._offset, size - _TAIL))

    def _kernel_kill(self, text: str) -> str | None:
        """Return what the kernel says of a process of this server that it killed."""
        pids = self._pids | set(last_words.spoke(text))
        kills = kernel_oom.parse_kmsg(kernel_oom.kernel_log(), self._began)
        kill = next((kill for pid, kill in sorted(kills.items()) if pid in pids), None)
        if kill is None and (self._group is None or self._group.kills() <= self._kills):
            return None
        if kill is None or kill.is_group:
            limit = None if self._group is None else self._group.limit_mib()
            whose = _("its control group or container")
            if limit is not None:
                whose = _("its control group or container (limit {n:,} MiB)").format(n=limit)
        else:
            whose = _("this machine")
        what = _("one of its processes")
        if kill is not None:
            what = _("its process {pid} ({name})").format(pid=kill.pid, name=kill.name)
            if kill.mib is not None:
                what = _("its process {pid} ({name}, {n:,} MiB)").format(
                    pid=kill.pid, name=kill.name, n=kill.mib
                )
        text = _(
            "The kernel killed {what}: {whose} ran out of memory. Lower --max-model-len or "
            "--max-num-seqs, choose a smaller model, or give it more memory."
        )
        return text.format(what=what, whose=whose)
