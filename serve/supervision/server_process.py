"""The process that becomes vLLM's API server, with all of its descendants."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ...engine.runtime import compile_caches
from ..access import access_rules, request_gauge
from ..planning.plan import ServePlan
from ..processes import ports, process_tree
from ..registry.records import ServerRecord

_NONE: Mapping[str, str] = MappingProxyType({})


class ServerProcess:
    """One process at a time, started from the plan."""

    def __init__(self, plan: ServePlan, log: Path, variables: Mapping[str, str] = _NONE) -> None:
        """The output goes to `log`; `variables` are for each process."""
        self._plan = plan
        self._variables = variables
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        record: ServerRecord,
        variables: Mapping[str, str] = _NONE,
        descriptors: Sequence[int] = (),
    ) -> int:
        """Start it as the server of `record`, with more environment `variables` and open file
        `descriptors`; return its id. Raises `UsageError` where a compile cache is not private."""
        environment = {
            **os.environ,
            **dict(self._plan.environment),
            access_rules.VARIABLE: self._plan.rules.to_variable(),
            process_tree.MARK: record.mark,
            # One folder for all temporary files, which is removed even after a kill.
            "TMPDIR": record.temporary,
            request_gauge.VARIABLE: record.temporary,
            **self._variables,
            **variables,
        }
        environment |= compile_caches.prepare(environment)
        with contextlib.suppress(OSError):  # a server that is not counted is better than none
            request_gauge.prepare(Path(record.temporary))
        with self._log.open("ab") as output:
            # From the main thread: the parent-death signal is tied to the thread that starts it.
            self._process = subprocess.Popen(
                self._plan.command(os.getpid()),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(descriptors),
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor
            )
        return self._process.pid

    @property
    def pid(self) -> int:
        """The id of the first process, which was started."""
        assert self._process is not None
        return self._process.pid

    def runs(self) -> bool:
        """Return whether the first process runs."""
        return self._process is not None and self._process.poll() is None

    def owns_port(self, mark: str) -> bool:
        """Return whether the listener on the plan's port is one of the processes with `mark`, as
        far as can be determined."""
        members = process_tree.members(self.pid, mark)
        return (listener := ports.listener(self._plan.port)) is None or listener.pid in members

    def wait(self) -> int:
        """Wait for the end of the first process, which was started, and return its exit code."""
        assert self._process is not None
        return self._process.wait()

    def end(self, mark: str, timeout: float, hurry: Callable[[], bool]) -> None:
        """End all processes with `mark`, as `process_tree.stop` does."""
        if self._process is None:
            return
        # The id of a process that was waited for may have been reused.
        first = self._process.pid if self.runs() else None
        process_tree.stop(first, mark, timeout, lambda: not self.runs() or hurry())
        self._process.wait()
