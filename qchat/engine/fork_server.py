"""Imported by multiprocessing's fork server, before it forks an engine process.

The order matters: first the server is tied to the qchat process and its forks to the server, then
come the seconds of importing vLLM.
"""

import contextlib
import os
import signal

from ..lifeline import PARENT, set_parent_death_signal, tie_forks_to

# Out of the terminal's group: its Ctrl-C is for qchat, which lets the rows in flight end; vLLM's
# engine would abort them all at once.
with contextlib.suppress(OSError):
    os.setsid()
set_parent_death_signal(signal.SIGKILL)
if os.getppid() != int(os.environ.get(PARENT, "0")):  # qchat ended before the line above
    os.kill(os.getpid(), signal.SIGKILL)
tie_forks_to(os.getpid())

from .vllm_startup import ENGINE_MODULES, import_modules  # noqa: E402

# What is not there is the engine process's matter, which says so in its log.
with contextlib.suppress(ImportError):
    import_modules(ENGINE_MODULES)
