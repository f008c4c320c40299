"""Supervise one server: start it, wait until it is ready, restart it, end all of its processes.

``python -m qchat.serve.supervision.supervisor`` does so in the background, for a plan on its stdin.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ... import signals
from ...engine.diagnosis import last_error
from ...errors import EngineError, Exit, QchatError, UsageError
from ...i18n import _
from ...settings import Paths
from ..access import access_rules
from ..planning.plan import ServePlan
from ..processes import ports, process_tree
from ..registry import records
from ..registry.health import HealthReply, check_health
from ..registry.records import ServerRecord, ServerRegistry
from .phases import LogTail, Phase, StartProgress, Step
from .restart_policy import RestartPolicy
from .start_failure import exit_reason, failure_message, read_log, was_shut_down

STOP_TIMEOUT = 10.0  # seconds that vLLM gets to shut down by itself
POLL_INTERVAL = 0.1  # seconds between reads of the log during a start
HEALTH_INTERVAL = 1.0  # seconds between health checks while the log does not say "ready"
_HEALTH_TIMEOUT = 0.3  # seconds for such a check
LOG_CHECK_INTERVAL = 30.0  # seconds between checks of the log's size
MAX_LOG_BYTES = 64 << 20  # of a log, and of the one before it: a busy server writes that in hours

Report = Callable[[Step], None]


class Supervisor:
    """One server, from its start to its end. An instance runs once."""

    def __init__(
        self,
        plan: ServePlan,
        registry: ServerRegistry,
        report: Report,
        restart_policy: RestartPolicy = RestartPolicy(),  # noqa: B008 - it is frozen
    ) -> None:
        """`report` is called with each step of a start."""
        self._plan = plan
        self._registry = registry
        self._report = report
        self._restart_policy = restart_policy
        self._wake = threading.Event()
        self._signals: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._record: ServerRecord | None = None
        self._was_ready = False
        self._log_offset = 0  # where the output of the present process begins

    def run(self) -> Exit:
        """Serve until a signal. No process is left running in any case.

        Raises `EngineError` where the server can't run, `UsageError` where another server has its
        name or port, or vLLM rejects the options.
        """
        with (
            self._registry.acquire(self._plan.name),
            signals.handle_signals(self._on_signal, signal.SIGCHLD),
        ):
            temporary = tempfile.mkdtemp(prefix="qchat-serve-")
            try:
                return self._run(temporary)
            finally:
                self._end()
                records.remove_temporary(temporary)

    def _run(self, temporary: str) -> Exit:
        log = self._registry.new_log(self._plan.name)
        self._record = self._new_record(temporary, log)
        # Before anything starts, so that what a kill leaves behind is on record.
        self._registry.register(self._record)
        restarts = 0
        while True:
            self._log_offset = log.stat().st_size
            started = self._start(log)
            ready = self._wait_until_ready(log)
            if ready:
                self._save(state=records.READY)
                self._was_ready = True
                self._report(Step(Phase.READY))
                self._wait_for_exit()
            if self._signals:
                return self._stopped()
            exit_code = self._child.wait()
            error = last_error(log, self._log_offset)
            if ready and exit_code == 0 and was_shut_down(log, self._log_offset):
                self._write_log(log, _("vLLM was shut down by another process."))
                return self._stopped()
            self._end()
            uptime = time.monotonic() - started
            restart = self._restart_policy.next_restart(restarts, uptime) if ready else None
            if restart is None:
                raise self._failed(error, exit_code, restarts if ready else 0, log)
            restarts = restart
            self._restart_after(restart, error or exit_reason(exit_code), log)
            if self._signals:
                return self._stopped()

    def _new_record(self, temporary: str, log: Path) -> ServerRecord:
        plan = self._plan
        return ServerRecord(
            name=plan.name,
            model=plan.model,
            served_name=plan.served_name,
            url=plan.url,
            host=plan.host,
            port=plan.port,
            key=plan.key_source,
            state=records.STARTING,
            started=time.time(),
            supervisor=os.getpid(),
            mark=uuid.uuid4().hex,
            temporary=temporary,
            log=str(log),
            utc_offset=_utc_offset(),
        )

    def _restart_after(self, restart: int, reason: str, log: Path) -> None:
        """Announce restart number `restart` and wait for its delay, or for a signal."""
        delay = self._restart_policy.delay(restart)
        text = _("The server exited ({reason}); restart {n} of {max} in {delay:.0f} s.").format(
            reason=reason, n=restart, max=self._restart_policy.max_restarts, delay=delay
        )
        self._write_log(log, text)
        self._save(state=records.RESTARTING, restarts=restart, message=text, vllm=None)
        self._report(Step(Phase.IMPORT, text))
        deadline = time.monotonic() + delay
        while not self._signals and (remaining := deadline - time.monotonic()) > 0:
            self._sleep(remaining)

    def _sleep(self, seconds: float) -> None:
        """Wait for a signal, the end of the child, or `seconds`."""
        self._wake.wait(seconds)
        self._wake.clear()

    # The process.

    def _start(self, log: Path) -> float:
        assert self._record is not None
        environment = {
            **os.environ,
            **dict(self._plan.environment),
            access_rules.VARIABLE: self._plan.rules.to_variable(),
            process_tree.MARK: self._record.mark,
            # One folder for all temporary files, which is removed even after a kill.
            "TMPDIR": self._record.temporary,
        }
        # PyTorch would keep its compiled code in TMPDIR and compile again at each start.
        compiled = Path(tempfile.gettempdir()) / f"torchinductor_{os.getuid()}"
        environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))
        with log.open("ab") as output:
            # From the main thread: the parent-death signal is tied to the thread that starts it.
            self._process = subprocess.Popen(
                self._plan.command(os.getpid()),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is for this process
            )
        self._save(vllm=self._process.pid)
        return time.monotonic()

    @property
    def _child(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def _wait_until_ready(self, log: Path) -> bool:
        tail, progress = LogTail(log, self._log_offset), StartProgress()
        self._report(progress.step)
        next_check = time.monotonic() + HEALTH_INTERVAL
        while not self._signals and self._child.poll() is None:
            if progress.feed(tail.lines()) and progress.step.phase < Phase.READY:
                self._report(progress.step)
            if progress.step.phase is Phase.READY and self._is_healthy():
                return True
            if time.monotonic() >= next_check:  # the log may lack uvicorn's lines
                next_check = time.monotonic() + HEALTH_INTERVAL
                if self._is_healthy(_HEALTH_TIMEOUT) and self._owns_port():
                    return True
            self._sleep(POLL_INTERVAL)
        return False

    def _is_healthy(self, timeout: float = 1.0) -> bool:
        return check_health(self._plan.url, timeout).reply is HealthReply.OK

    def _owns_port(self) -> bool:
        """Return whether the listener on the port is this server, as far as can be determined."""
        assert self._record is not None
        listener = ports.listener(self._plan.port)
        members = process_tree.members(self._child.pid, self._record.mark)
        return listener is None or listener.pid in members

    def _wait_for_exit(self) -> None:
        """Wait for a signal or the end of the child; keep the log bounded meanwhile."""
        while not self._signals and self._child.poll() is None:
            self._sleep(LOG_CHECK_INTERVAL)
            if self._registry.bound_log(self._plan.name, MAX_LOG_BYTES):
                self._log_offset = 0
            if self._record is not None and self._record.utc_offset != _utc_offset():
                self._save(utc_offset=_utc_offset())  # daylight saving time began or ended

    def _end(self) -> None:
        if self._record is not None and self._process is not None:
            # The id of a process that was waited for may have been reused.
            ended = self._process.poll() is not None
            process_tree.stop(
                None if ended else self._process.pid,
                self._record.mark,
                STOP_TIMEOUT,
                lambda: self._child.poll() is not None or len(self._signals) > 1,
            )
            self._process.wait()

    # The record and the log.

    def _save(self, **changes: object) -> None:
        assert self._record is not None
        self._record = replace(self._record, **changes)  # type: ignore[arg-type]
        try:
            self._registry.write(self._record)
        except EngineError:
            if not self._was_ready:  # a running server matters more than its record
                raise

    def _write_log(self, log: Path, text: str) -> None:
        stamp = time.strftime("%m-%d %H:%M:%S")
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(f"(qchat) INFO {stamp} {text}\n")

    def _stopped(self) -> Exit:
        with contextlib.suppress(EngineError):
            self._save(state=records.STOPPING)
        self._end()
        with contextlib.suppress(EngineError):  # a record that stays is swept later
            self._registry.remove(self._plan.name)
        if not self._signals:
            return Exit.OK
        return signals.exit_code(self._signals[0])

    def _failed(
        self, error: str | None, exit_code: int, restarts: int, log: Path
    ) -> UsageError | EngineError:
        log_text = read_log(log, self._log_offset)
        message = failure_message(self._plan, error, exit_code, restarts, log_text)
        with contextlib.suppress(EngineError):  # the cause matters more than the record
            self._save(state=records.FAILED, message=message, vllm=None)
        if exit_code == Exit.USAGE:  # vLLM's own code for invalid options
            return UsageError(message)
        return EngineError(message)

    def _on_signal(self, signum: int) -> None:
        if signum != signal.SIGCHLD:
            self._signals.append(signum)
        self._wake.set()


def _utc_offset() -> int:
    return time.localtime().tm_gmtoff


def main() -> int:
    """Supervise the plan on standard input without a terminal, and return the exit code."""
    try:
        plan = ServePlan.from_json(sys.stdin.read())
        return Supervisor(plan, ServerRegistry(Paths.find()), lambda _step: None).run()
    except QchatError as error:
        with contextlib.suppress(OSError):  # the starter may be gone
            print(error, file=sys.stderr, flush=True)  # noqa: T201
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
