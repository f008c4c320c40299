"""No vLLM process outlives the qchat process that it works for, not even after `kill -9`.

vLLM's engine and worker processes stay alive when the process that started them is killed
(vllm-project/vllm#55510). Three things end them here:

- `tie_to_parent`, which vLLM runs in each process that it starts, because it is an entry point
  in the group ``vllm.general_plugins``. It acts only below a qchat process (see `arm`), so that
  other users of the same vLLM never notice it.
- `die_with_parent`, for processes of our own.
- A process that imports the main module again (multiprocessing's spawn does that before
  anything else) can call `tie_to_parent` there, long before vLLM loads its plugins.

On Linux the kernel does it: the parent-death signal. Elsewhere (macOS) a thread waits for the
parent's end; it is the second line of defence on Linux too.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, MutableMapping

ENVIRONMENT = "QCHAT_LIFELINE"
PLUGIN = "qchat_lifeline"

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_WATCHER = "qchat-lifeline"


def arm(environment: MutableMapping[str, str]) -> None:
    """Make the vLLM processes below this one tie themselves to their parents.

    Sets QCHAT_LIFELINE. A person's own VLLM_PLUGINS keeps its meaning: vLLM loads only the
    plugins named there, so ours is added to the list.
    """
    environment[ENVIRONMENT] = "1"
    plugins = environment.get("VLLM_PLUGINS")
    if plugins is not None and PLUGIN not in plugins.split(","):
        environment["VLLM_PLUGINS"] = f"{plugins},{PLUGIN}" if plugins else PLUGIN


def tie_to_parent() -> None:
    """End this process as soon as its parent ends. Does nothing unless `arm` was called above.

    vLLM calls it in every process, in the first one too: there `parent_process()` is None and
    nothing happens. SIGKILL, because the engine only notes a SIGTERM while it is starting, and
    with the reader of its answers gone it has nothing to finish.
    """
    if os.environ.get(ENVIRONMENT) != "1":
        return
    import multiprocessing  # takes longer than all the rest of `qchat status`

    parent = multiprocessing.parent_process()
    if parent is None:
        return
    # Out of the terminal's group: its Ctrl-C is for qchat, not for the engine to abort all rows.
    with contextlib.suppress(OSError):
        os.setsid()
    set_parent_death_signal(signal.SIGKILL)
    # Asked after the signal is set, so there is no moment in between. Under a fork server the
    # parent by kinship is the server; this one, the process that asked for us, is the one meant.
    if not parent.is_alive():
        os.kill(os.getpid(), signal.SIGKILL)
    if not any(thread.name == _WATCHER for thread in threading.enumerate()):
        threading.Thread(
            target=_wait_for, args=(parent.sentinel,), name=_WATCHER, daemon=True
        ).start()


def _wait_for(sentinel: int) -> None:
    import multiprocessing.connection

    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def tie_forks_to(parent: int) -> None:
    """Tie every process that this one forks from now on, from its first moment.

    For a fork server: `parent` is its own process id. The signal is not inherited over a fork.
    """

    def in_child() -> None:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    os.register_at_fork(after_in_child=in_child)


def die_with_parent(sig: signal.Signals, parent: int | None = None, grace: float = 5.0) -> None:
    """Send `sig` to this process when its parent ends, and SIGKILL `grace` seconds later.

    `parent` is the process id that the starter gave; without it, the present parent. The parent
    to the kernel is the *thread* that started this process: start it from one that stays.
    """
    expected = os.getppid() if parent is None else parent
    set_parent_death_signal(sig)
    if os.getppid() != expected:
        os.kill(os.getpid(), sig)
    threading.Thread(
        target=_outlive_by, args=(expected, sig, grace), name=_WATCHER, daemon=True
    ).start()


def before_exec(sig: signal.Signals) -> Callable[[], None] | None:
    """Return a function for `preexec_fn` of a program that is not ours to change: it gets `sig`
    when this process ends. None where the system can't.

    What the function needs is loaded here: between fork and exec little is safe.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent, number = os.getpid(), int(sig)

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it has ended just now
            os.kill(os.getpid(), number)

    return tie


def _outlive_by(parent: int, sig: signal.Signals, grace: float) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), sig)
    time.sleep(grace)
    os.kill(os.getpid(), signal.SIGKILL)


PARENT = "_QCHAT_FORK_SERVER_PARENT"
"""Variable that tells a fork server which process started it."""


def set_parent_death_signal(sig: signal.Signals) -> bool:
    """Ask the kernel to send `sig` to this process when its parent ends.

    False where the system can't (macOS): there the watching threads above do it alone.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0) == 0)
