"""Imported by multiprocessing's fork server, before it forks an engine process.

The order matters: it first makes the kernel kill this server with the qchat process, and the forks
with this server; only then it imports vLLM, which takes seconds.
"""

import contextlib
import os
import signal

from ...lifeline import PARENT, set_parent_death_signal, tie_forks_to

# A new session: the terminal's Ctrl-C reaches only qchat, which finishes the rows in flight; vLLM's
# engine would abort them.
with contextlib.suppress(OSError):
    os.setsid()
set_parent_death_signal(signal.SIGKILL)
if os.getppid() != int(os.environ.get(PARENT, "0")):  # qchat ended before the line above
    os.kill(os.getpid(), signal.SIGKILL)
tie_forks_to(os.getpid())

from .vllm_startup import ENGINE_MODULES, import_modules  # noqa: E402

# The engine process reports missing modules in its log.
with contextlib.suppress(ImportError):
    import_modules(ENGINE_MODULES)
