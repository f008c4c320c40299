"""Why a server ended, and which command to try instead: from vLLM's log and its exit code."""

import re
import signal
from pathlib import Path

from ...errors import sentence
from ...i18n import _, sentence_gap
from ..planning.plan import ServePlan

_SHUTDOWN_LINE = "API server: shutdown triggered"
_MIN_CONTEXT = 1024  # tokens; a shorter one is no use
_SPARE_GIB = 0.25  # of a GPU's free memory, for other processes
_MIN_MEMORY_SHARE = 0.1


def failure_message(
    plan: ServePlan, error: str | None, exit_code: int, restarts: int, log_text: str
) -> str:
    """Return what a person reads: the cause, a command to try, and where the log is.

    `error` is the last error in the log, if there is one.
    """
    text = _("vLLM can't serve {model}: {cause}")
    if restarts:
        text = _("vLLM exited {n} times serving {model}: {cause}")
    cause = sentence(error or exit_reason(exit_code))
    message = text.format(model=plan.served_name, cause=cause, n=restarts + 1)
    command = suggested_command(plan, log_text)
    if command:
        message += sentence_gap() + _("Try: {command}").format(command=command)
    return message + sentence_gap() + _("Its log: qchat logs {name}").format(name=plan.name)


def suggested_command(plan: ServePlan, log_text: str) -> str | None:
    """Return the command to try after a start that failed with `log_text`; None if none helps."""
    match = re.search(r"estimated maximum model length is (\d+)", log_text)
    if match and int(match[1]) >= _MIN_CONTEXT:
        context = int(match[1]) // _MIN_CONTEXT * _MIN_CONTEXT
        return plan.retry_command("--max-model-len", str(context))
    match = re.search(r"Free memory on device \S* ?\(([\d.]+)/([\d.]+) GiB\)", log_text)
    if match and float(match[2]) > 0:
        share = int((float(match[1]) - _SPARE_GIB) / float(match[2]) * 100) / 100
        if share < _MIN_MEMORY_SHARE:
            return None
        return plan.retry_command("--gpu-memory-utilization", str(share))
    if re.search(r"OutOfMemoryError|CUDA out of memory", log_text):
        return plan.retry_command(passthrough_args=("--max-num-seqs", "64"))
    return None


def exit_reason(exit_code: int) -> str:
    """Describe the exit of a process without an error in its log; vLLM exits with 0 when its
    engine has died."""
    if exit_code == 0:
        return _("its engine died")
    if exit_code < 0:
        return _("killed by {signal}").format(signal=signal.Signals(-exit_code).name)
    return _("exit code {code}").format(code=exit_code)


def was_shut_down(log: Path, offset: int) -> bool:
    """Return whether vLLM logged after `offset` that it was asked to shut down."""
    return _SHUTDOWN_LINE in read_log(log, max(offset, log.stat().st_size - (1 << 20)))


def read_log(log: Path, offset: int) -> str:
    """Return the text of a log from a byte offset, at most 4 MiB; "" where it can't be read."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read(1 << 22).decode("utf-8", "replace")
    except OSError:
        return ""
