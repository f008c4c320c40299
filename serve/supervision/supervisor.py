"""Supervise one server: start it, wait until it is ready, restart it, end all of its processes.

``python -m qchat.serve.supervision.supervisor`` does so in the background, for a plan on its stdin.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ... import signals
from ...errors import EngineError, Exit, QchatError, UsageError
from ...i18n import _
from ...locks import process_start
from ...settings import Paths
from ..batches.supervised import SupervisedBatches
from ..planning.plan import ServePlan
from ..registry import records
from ..registry.health import HealthReply, check_health
from ..registry.lock import ServerLock
from ..registry.records import ServerRegistry
from . import server_control
from .crash_cause import Cause, CrashWitness
from .draining import Drain
from .ending import Ending
from .engine_door import EngineDoor
from .interrupts import Interrupts
from .phases import LogTail, Phase, StartProgress, Step
from .progress_watch import WATCH_INTERVAL, ServingWatch, StartingWatch
from .record_keeper import RecordKeeper, first_record
from .restart_policy import RestartPolicy
from .running_requests import RunningRequests
from .server_process import ServerProcess
from .stall_detector import StallLimits, Verdict
from .start_failure import failure_message, was_shut_down

STOP_TIMEOUT = 10.0  # seconds that vLLM gets to shut down by itself
POLL_INTERVAL = 0.1  # seconds between reads of the log during a start
HEALTH_INTERVAL = 1.0  # seconds between health checks while the log does not say "ready"
_HEALTH_TIMEOUT = 0.3  # seconds for such a check
_TAKE_BACK_TIMEOUT = 2.0  # seconds for vLLM to stop listening
_WAKE_PAUSE = 30.0  # seconds without another try after a start on request that failed
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
        self._interrupts = Interrupts(registry.control(plan.name))
        self._keeper: RecordKeeper | None = None
        self._log = registry.log(plan.name)
        self._batches = SupervisedBatches(plan, registry.batches(plan.name), self._log)
        self._process = ServerProcess(plan, self._log, self._batches.variables)
        self._log_offset = 0  # where the output of the present process begins
        self._stall = ""  # what stands still
        self._watch: ServingWatch | None = None  # of a server that is, or was, ready
        self._door: EngineDoor | None = None  # with --idle-stop

    def run(self) -> Exit:
        """Serve until a signal. No process is left running in any case.

        Raises `EngineError` where the server can't run, `UsageError` where another server has its
        name or port, or vLLM rejects the options.
        """
        with self._registry.acquire(self._plan.name) as lock, self._interrupts.handled():
            self._registry.new_log(self._plan.name)
            temporary = tempfile.mkdtemp(prefix="qchat-serve-")
            try:
                with self._batches.running():
                    return self._run(temporary, lock)
            finally:
                self._end()
                if self._door is not None:
                    self._door.close()
                records.remove_temporary(temporary)

    def _run(self, temporary: str, lock: ServerLock) -> Exit:
        self._registry.keep_plan(self._plan.name, self._plan.to_json())
        record = first_record(self._plan, temporary, self._log)
        if self._plan.idle_stop is not None:
            wake, variables = self._interrupts.wake, self._batches.variables
            self._door = EngineDoor(self._plan, wake, variables, Path(temporary))
            self._door.attend(is_healthy=False)
        # Before anything starts, so that what a kill leaves behind is on record.
        self._keeper = RecordKeeper(self._registry, lock, record)
        restarts, is_wake = 0, False
        while True:
            started = self._start()
            witness = CrashWitness(self._log, self._log_offset, self._process.pid)
            ending = self._wait_until_ready(witness)
            ready = ending is None
            if ending is None:
                self._became_ready(started)
                ending = self._wait_for_end(witness)
            cause, exit_code = Cause(""), 0
            if ending in (Ending.EXITED, Ending.STALLED):
                cause, exit_code = self._end_of_failed(ending, witness, ready=ready)
                by_another = ready and exit_code == 0 and ending is Ending.EXITED
                if by_another and was_shut_down(self._log, self._log_offset):
                    self._write_log(_("vLLM was shut down by another process."))
                    return self._stopped()
                if is_wake and not ready and self._door is not None:
                    self._door.refuse(_WAKE_PAUSE)
                    ending = Ending.IDLE
            if ending is Ending.IDLE:
                ending = self._sleep_until_request(cause.message)
            if ending in (Ending.SIGNALLED, Ending.DRAINED):
                return self._stopped()
            is_wake = ending is Ending.WOKEN
            if ending in (Ending.WOKEN, Ending.RESTART):
                self._end()
                drain = self._plan.shutdown_timeout  # the command's limit was for that time only
                self._save(state=records.STARTING, vllm=None, message="", drain_s=drain)
                continue
            uptime = time.monotonic() - started
            restart = self._restart_policy.next_restart(restarts, uptime) if ready else None
            if restart is None:
                raise self._failed(cause, exit_code, restarts if ready else 0)
            restarts = restart
            if self._restart_after(restart, cause.message):
                return self._stopped()

    def _end_of_failed(
        self, ending: Ending, witness: CrashWitness, *, ready: bool
    ) -> tuple[Cause, int]:
        """End what is left of a server that has exited or is stuck; return why, and its exit
        code."""
        if self._door is not None:
            self._door.attend(is_healthy=False)
        if ending is Ending.STALLED:
            self._end(timeout=0.0)  # who is stopped takes no other signal than SIGKILL
            return Cause(self._stall), 0
        exit_code = self._process.wait()
        cause = witness.cause(exit_code, ready=ready)
        self._end()
        return cause, exit_code

    def _sleep_until_request(self, error: str) -> Ending:
        """End vLLM and wait for a request that needs it; `error` is why its last start failed."""
        assert self._door is not None
        self._end()
        self._door.attend(is_healthy=not error)
        text = _("vLLM sleeps; a request starts it, which takes about {n:.0f} s.")
        text = text.format(n=self._record_keeper.record.start_s or 0.0)
        if error:
            text = _("vLLM could not be started ({error}); the next request tries it again.")
            text = text.format(error=error.rstrip("."))
        self._write_log(text)
        self._save(state=records.IDLE, vllm=None, message=text, stalled_since=None)
        while not self._door.waiting():
            if (ending := self._interruption()) is not None:
                return ending
            self._record_keeper.keep()
            self._interrupts.sleep(WATCH_INTERVAL)
        return Ending.WOKEN

    def _became_ready(self, started: float) -> None:
        self._save(state=records.READY, start_s=round(time.monotonic() - started, 1))
        self._record_keeper.tolerates_errors = True
        if self._door is not None:
            self._door.hand_over()
        self._report(Step(Phase.READY))

    def _restart_after(self, restart: int, reason: str) -> bool:
        """Announce restart number `restart` and wait for its delay. Return whether the server is to
        be stopped instead."""
        delay = self._restart_policy.delay(restart)
        text = self._restart_policy.announcement(restart, reason)
        self._write_log(text)
        self._save(
            state=records.RESTARTING, restarts=restart, message=text, vllm=None, stalled_since=None
        )
        self._report(Step(Phase.IMPORT, text))
        deadline = time.monotonic() + delay
        while not self._interrupts.signals and (remaining := deadline - time.monotonic()) > 0:
            self._interrupts.sleep(min(remaining, WATCH_INTERVAL))
            self._record_keeper.keep()
            if (request := self._interrupts.request()) is not None:
                return request.action == server_control.DRAIN_STOP
        return bool(self._interrupts.signals)

    # The process.

    def _start(self) -> float:
        self._log_offset = self._log.stat().st_size
        self._watch = None
        record = self._record_keeper.record
        if self._door is None:
            pid = self._process.start(record)
        else:
            pid = self._process.start(record, *self._door.prepare())
            self._door.started()
        self._save(vllm=pid, vllm_began=process_start(pid), starts=record.starts + 1)
        return time.monotonic()

    @property
    def _record_keeper(self) -> RecordKeeper:
        assert self._keeper is not None
        return self._keeper

    @property
    def _requests(self) -> RunningRequests:
        return RunningRequests(self._temporary, self._process.runs)

    @property
    def _temporary(self) -> Path:
        return Path(self._record_keeper.record.temporary)

    def _wait_until_ready(self, witness: CrashWitness) -> Ending | None:
        """Wait for the end of the start; None where the server is ready."""
        tail, progress = LogTail(self._log, self._log_offset), StartProgress()
        mark, first = self._record_keeper.record.mark, self._process.pid
        limits = StallLimits.of_start(self._plan.stall_timeout)
        watch = StartingWatch(self._log, self._plan.model, first, mark, limits)
        self._report(progress.step)
        next_check = time.monotonic() + HEALTH_INTERVAL
        while self._process.runs():
            if (ending := self._interruption()) is not None:
                return ending
            if progress.feed(tail.lines()) and progress.step.phase < Phase.READY:
                self._report(progress.step)
            if progress.step.phase is Phase.READY and self._is_healthy():
                return None
            if time.monotonic() >= next_check:  # the log may lack uvicorn's lines
                next_check = time.monotonic() + HEALTH_INTERVAL
                witness.look(mark)
                owns_port = self._door is not None or self._process.owns_port(mark)
                if self._is_healthy(_HEALTH_TIMEOUT) and owns_port:
                    return None
            verdict = watch.check()
            if verdict is not None and self._judge(verdict, watch, records.STARTING):
                return Ending.STALLED
            self._interrupts.sleep(POLL_INTERVAL)
        return Ending.SIGNALLED if self._interrupts.signals else Ending.EXITED

    def _is_healthy(self, timeout: float = 1.0) -> bool:
        if self._door is not None:  # the doorkeeper answers at the address meanwhile
            return self._door.is_served()
        return check_health(self._plan.url, timeout).reply is HealthReply.OK

    def _wait_for_end(self, witness: CrashWitness) -> Ending:
        """Wait for the end of a ready server; see that it gets on, and bound its log meanwhile."""
        mark = self._record_keeper.record.mark
        limits = StallLimits.of(self._plan.stall_timeout)
        self._watch = watch = ServingWatch(self._temporary, self._process.pid, mark, limits)
        next_log_check = 0.0
        ready_at = time.monotonic()
        while self._process.runs():
            if (ending := self._interruption()) is not None:
                return ending
            if time.monotonic() >= next_log_check:
                next_log_check = time.monotonic() + LOG_CHECK_INTERVAL
                witness.look(mark)
                if self._registry.bound_log(self._plan.name, MAX_LOG_BYTES):
                    self._log_offset = 0
                    witness.log_was_truncated()
            self._record_keeper.keep()
            if self._judge(watch.check(), watch, records.READY):
                return Ending.STALLED
            if self._is_idle(ready_at):
                return Ending.IDLE
            self._interrupts.sleep(min(LOG_CHECK_INTERVAL, WATCH_INTERVAL))
        return Ending.SIGNALLED if self._interrupts.signals else Ending.EXITED

    def _is_idle(self, ready_at: float) -> bool:
        """Return whether no request has come for as long as --idle-stop says. Then the doorkeeper
        holds the next ones, and vLLM has none; where one has come just then, vLLM goes on."""
        if self._door is None or self._plan.idle_stop is None:
            return False
        if self._requests.idle_seconds(ready_at) < self._plan.idle_stop:
            return False
        self._door.take_back(_TAKE_BACK_TIMEOUT)
        # A connection that vLLM has accepted just before may bring a request yet.
        self._interrupts.sleep(POLL_INTERVAL)
        if self._requests.count() or self._door.waiting():
            self._door.go_on()
            return False
        self._requests.refuse_new()
        return True

    def _judge(self, verdict: Verdict, watch: ServingWatch | StartingWatch, state: str) -> bool:
        """Announce a stall, or its end, with `state` for one that gets on. Return whether it is
        time to restart."""
        was_stalled = self._record_keeper.record.state == records.STALLED
        if verdict is Verdict.FINE:
            if was_stalled:
                self._write_log(_("The server gets on again."))
                self._save(state=state, message="", stalled_since=None)
            return False
        if not was_stalled:
            text = _("The server is stuck: {what}.").format(what=watch.description())
            self._write_log(text)
            self._save(state=records.STALLED, message=text, stalled_since=time.time() - watch.quiet)
        self._stall = watch.description()
        return verdict is Verdict.EXPIRED

    # What signals and other commands ask for.

    def _interruption(self) -> Ending | None:
        """Return what a signal or a command asks for, after the requests have ended where it
        says so."""
        if self._interrupts.signals:
            return Ending.SIGNALLED
        request = self._interrupts.request()
        if request is None:
            return None
        is_stop = request.action == server_control.DRAIN_STOP
        state = records.STOPPING if is_stop else records.RESTARTING
        self._drain(request.drain, state)
        if self._interrupts.signals:
            return Ending.SIGNALLED
        return Ending.DRAINED if is_stop else Ending.RESTART

    def _drain(self, limit: float, state: str) -> None:
        """Refuse new requests and wait until the running ones have ended, at most `limit` seconds,
        until they get no answer any more, or until the next signal."""
        drain = Drain(self._requests, limit, self._interrupts, self._watch)
        if state == records.RESTARTING and self._door is not None:
            self._door.take_back(_TAKE_BACK_TIMEOUT)  # new requests wait
        else:
            self._requests.refuse_new()
        if text := drain.announcement():
            self._write_log(text)
        with contextlib.suppress(EngineError):
            self._save(state=state, message=text, drain_s=limit)
        if reason := drain.wait():
            self._write_log(reason)

    def _end(self, timeout: float | None = None) -> None:
        if self._keeper is not None:
            timeout = STOP_TIMEOUT if timeout is None else timeout
            mark = self._keeper.record.mark
            self._process.end(mark, timeout, lambda: len(self._interrupts.signals) > 1)

    # The record and the log.

    def _save(self, **changes: object) -> None:
        self._record_keeper.save(**changes)

    def _write_log(self, text: str) -> None:
        stamp = time.strftime("%m-%d %H:%M:%S")
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as file:
            file.write(f"(qchat) INFO {stamp} {text}\n")

    def _stopped(self) -> Exit:
        self._batches.stop_soon()
        with contextlib.suppress(EngineError):
            self._save(state=records.STOPPING)
        if len(self._interrupts.signals) == 1 and self._plan.shutdown_timeout > 0:
            self._drain(self._plan.shutdown_timeout, records.STOPPING)
        self._end()
        with contextlib.suppress(EngineError):  # a record that stays is swept later
            self._registry.remove(self._plan.name)
        if not self._interrupts.signals:
            return Exit.OK
        return signals.exit_code(self._interrupts.signals[0])

    def _failed(self, cause: Cause, exit_code: int, restarts: int) -> UsageError | EngineError:
        message = failure_message(self._plan, cause.message, exit_code, restarts, cause.words)
        with contextlib.suppress(EngineError):  # the cause matters more than the record
            self._save(state=records.FAILED, message=message, vllm=None)
        if exit_code == Exit.USAGE:  # vLLM's own code for invalid options
            return UsageError(message)
        return EngineError(message)


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
