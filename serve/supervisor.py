"""Looking after one server: start it, see it become ready, start it again, end all of it.

``python -m qchat.serve.supervisor`` does it in the background, for a plan on its standard input.
"""

import contextlib
import os
import re
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

from ..engine.diagnosis import last_error
from ..errors import EngineError, Exit, QchatError, UsageError, sentence
from ..i18n import _
from ..settings import Paths
from ..signals import exit_code, handle_signals
from . import access, ports, records
from . import process_tree as tree
from .health import HealthReply, check_health
from .phases import LogTail, Phase, StartProgress, Step
from .plan import ServePlan
from .records import ServerRecord, ServerRegistry

PATIENCE = 10.0  # seconds that vLLM gets to end by itself
LOOK = 0.1  # seconds between looks at the log while it starts
ASK = 1.0  # seconds between questions to a server whose log does not say that it is ready
_SHORT = 0.3  # seconds for the answer to such a question
MOST_RESTARTS = 5
SETTLED = 600.0  # seconds after which earlier crashes are forgotten
LOOK_AT_LOG = 30.0  # seconds between looks at how long the log is
MOST_LOG = 64 << 20  # bytes of a log, and of the one before it: a busy server writes that in hours
_TOLD_TO_STOP = "API server: shutdown triggered"

Report = Callable[[Step], None]


class Supervisor:
    """One server, from its start to its end. Not to be used twice."""

    def __init__(
        self, plan: ServePlan, store: ServerRegistry, report: Report, delay: float = 1.0
    ) -> None:
        """`report` is told of each step of a start; `delay` in seconds is the first pause before
        a restart, doubled for each after it."""
        self._plan = plan
        self._store = store
        self._report = report
        self._delay = delay
        self._wake = threading.Event()
        self._signals: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._record: ServerRecord | None = None
        self._was_ready = False
        self._offset = 0  # in the log: where the output of the present process begins

    def run(self) -> Exit:
        """Serve until a signal. Raises `EngineError` where the server can't be had, `UsageError`
        where another one has its name or its port or vLLM takes no such options; nothing is left
        running in any case."""
        with (
            self._store.held(self._plan.name),
            handle_signals(self._on_signal, signal.SIGCHLD),
        ):
            temporary = tempfile.mkdtemp(prefix="qchat-serve-")
            try:
                return self._run(temporary)
            finally:
                self._end()
                records.remove_temporary(temporary)

    def _run(self, temporary: str) -> Exit:
        plan = self._plan
        log = self._store.new_log(plan.name)
        self._record = ServerRecord(
            name=plan.name,
            model=plan.model,
            served_name=plan.served_name,
            url=plan.url,
            host=plan.host,
            port=plan.port,
            key=plan.key,
            state=records.STARTING,
            started=time.time(),
            supervisor=os.getpid(),
            mark=uuid.uuid4().hex,
            temporary=temporary,
            log=str(log),
            utc_offset=_utc_offset(),
        )
        self._store.register(self._record)  # now, so that what a kill leaves of it is known
        restarts = 0
        while True:
            self._offset = log.stat().st_size
            began = self._start(log)
            ready = self._wait_until_ready(log)
            if ready:
                self._save(state=records.READY)
                self._was_ready = True
                self._report(Step(Phase.READY))
                self._wait()
            if self._signals:
                return self._stopped()
            code = self._child.wait()
            why = last_error(log, self._offset)
            if ready and code == 0 and _told_to_stop(log, self._offset):
                self._say(log, _("vLLM was stopped from outside."))
                return self._stopped()
            self._end()
            if time.monotonic() - began > SETTLED:
                restarts = 0
            restarts += 1
            if not ready or restarts > MOST_RESTARTS:
                raise self._failed(why, code, restarts - 1 if ready else 0, log)
            pause = self._delay * 2.0 ** (restarts - 1)
            text = _("The server ended ({why}); start {n} of {most} in {pause:.0f} s.").format(
                why=why or _ended(code),
                n=restarts,
                most=MOST_RESTARTS,
                pause=pause,
            )
            self._say(log, text)
            self._save(state=records.RESTARTING, restarts=restarts, message=text, vllm=None)
            self._report(Step(Phase.IMPORT, text))
            self._wake.wait(pause)
            if self._signals:
                return self._stopped()

    # The process.

    def _start(self, log: Path) -> float:
        assert self._record is not None
        environment = {
            **os.environ,
            access.VARIABLE: self._plan.rules,
            tree.MARK: self._record.mark,
            # What a kill leaves of temporary files is in one place, which is removed.
            "TMPDIR": self._record.temporary,
        }
        # PyTorch would put its compiled code there, too, and compile again each time.
        compiled = Path(tempfile.gettempdir()) / f"torchinductor_{os.getuid()}"
        environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))
        with log.open("ab") as output:
            # From the main thread, which lives as long as we do: the kernel ties the child to it.
            self._process = subprocess.Popen(
                self._plan.command(os.getpid()),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is for us
            )
        self._save(vllm=self._process.pid)
        return time.monotonic()

    @property
    def _child(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def _wait_until_ready(self, log: Path) -> bool:
        tail, progress = LogTail(log, self._offset), StartProgress()
        self._report(progress.step)
        ask = time.monotonic() + ASK
        while not self._signals and self._child.poll() is None:
            if progress.feed(tail.lines()) and progress.step.phase < Phase.READY:
                self._report(progress.step)
            if progress.step.phase is Phase.READY and self._is_well():
                return True
            if time.monotonic() >= ask:  # its log may be one without uvicorn's own lines
                ask = time.monotonic() + ASK
                if self._is_well(_SHORT) and self._is_ours():
                    return True
            self._wake.wait(LOOK)
        return False

    def _is_well(self, seconds: float = 1.0) -> bool:
        return check_health(self._plan.url, seconds).word is HealthReply.OK

    def _is_ours(self) -> bool:
        """Whether it is our server that listens, as far as can be seen."""
        assert self._record is not None
        found = ports.listener(self._plan.port)
        return found is None or found.pid in tree.members(self._child.pid, self._record.mark)

    def _wait(self) -> None:
        """Until a signal, or until the child has ended."""
        while not self._signals and self._child.poll() is None:
            self._wake.wait(LOOK_AT_LOG)
            self._wake.clear()
            if self._store.bound_log(self._plan.name, MOST_LOG):
                self._offset = 0
            if self._record is not None and self._record.utc_offset != _utc_offset():
                self._save(utc_offset=_utc_offset())  # summer or winter time has begun

    def _end(self) -> None:
        if self._record is not None and self._process is not None:
            # The id of a process that has been waited for may be another's by now.
            ended = self._process.poll() is not None
            tree.stop(
                None if ended else self._process.pid,
                self._record.mark,
                PATIENCE,
                lambda: self._child.poll() is not None or len(self._signals) > 1,
            )
            self._process.wait()

    # Its record and its log.

    def _save(self, **changes: object) -> None:
        assert self._record is not None
        self._record = replace(self._record, **changes)  # type: ignore[arg-type]
        try:
            self._store.write(self._record)
        except EngineError:
            if not self._was_ready:  # a server that works is worth more than its record
                raise

    def _say(self, log: Path, text: str) -> None:
        stamp = time.strftime("%m-%d %H:%M:%S")
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(f"(qchat) INFO {stamp} {text}\n")

    def _stopped(self) -> Exit:
        with contextlib.suppress(EngineError):
            self._save(state=records.STOPPING)
        self._end()
        with contextlib.suppress(EngineError):  # what stays is swept later
            self._store.remove(self._plan.name)
        if not self._signals:
            return Exit.OK
        return exit_code(self._signals[0])

    def _failed(self, why: str | None, code: int, restarts: int, log: Path) -> QchatError:
        cause = sentence(why or _ended(code))
        text = _("vLLM can't serve {model}: {cause}")
        if restarts:
            text = _("vLLM ended {n} times serving {model}: {cause}")
        message = text.format(model=self._plan.served_name, cause=cause, n=restarts + 1)
        tried = instead(self._plan, _text(log, self._offset))
        if tried:
            message += " " + _("Try: {command}").format(command=tried)
        message += " " + _("Its log: qchat logs {name}").format(name=self._plan.name)
        with contextlib.suppress(EngineError):  # the cause that was found is to be told
            self._save(state=records.FAILED, message=message, vllm=None)
        if code == Exit.USAGE:  # vLLM's own word, before it has started anything
            return UsageError(message)
        return EngineError(message)

    def _on_signal(self, signum: int) -> None:
        if signum != signal.SIGCHLD:
            self._signals.append(signum)
        self._wake.set()


def instead(plan: ServePlan, text: str) -> str | None:
    """The command to try after a start that failed with `text` in the log; None if none helps."""
    found = re.search(r"estimated maximum model length is (\d+)", text)
    if found and int(found[1]) >= 1024:
        return plan.again("--max-model-len", str(int(found[1]) // 1024 * 1024))
    found = re.search(r"Free memory on device \S* ?\(([\d.]+)/([\d.]+) GiB\)", text)
    if found and float(found[2]) > 0:
        share = int((float(found[1]) - 0.25) / float(found[2]) * 100) / 100
        return plan.again("--gpu-memory-utilization", str(share)) if share >= 0.1 else None
    if re.search(r"OutOfMemoryError|CUDA out of memory", text):
        return plan.again(passed=("--max-num-seqs", "64"))
    return None


def _ended(code: int) -> str:
    """How a process ended that said nothing of it; vLLM leaves with 0 when its engine has died."""
    if code == 0:
        return _("its engine died")
    if code < 0:
        return _("killed by {signal}").format(signal=signal.Signals(-code).name)
    return _("exit code {code}").format(code=code)


def _utc_offset() -> int:
    return time.localtime().tm_gmtoff


def _text(log: Path, offset: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read(1 << 22).decode("utf-8", "replace")
    except OSError:
        return ""


def _told_to_stop(log: Path, offset: int) -> bool:
    return _TOLD_TO_STOP in _text(log, max(offset, log.stat().st_size - (1 << 20)))


def main() -> int:
    """Supervise the plan on standard input, with no terminal; gives back the exit code."""
    plan = ServePlan.from_json(sys.stdin.read())
    try:
        return Supervisor(plan, ServerRegistry(Paths.find()), lambda _step: None).run()
    except QchatError as error:
        with contextlib.suppress(OSError):  # who started us may be gone
            print(error, file=sys.stderr, flush=True)  # noqa: T201
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
