"""Records, locks and processes of servers for tests; those use the fixture `home`."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from qchat.serve.registry import records
from qchat.serve.registry.lock import LockHolder
from qchat.serve.registry.records import ServerRecord

from .stand_in import RECORD

# Holds the lock of a server, as a supervisor that has not written its record yet.
HOLDER = """
import signal, sys, time
from pathlib import Path
from qchat.serve.registry.records import ServerRegistry
from qchat.settings import Paths
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with ServerRegistry(Paths.find()).acquire(sys.argv[1]):
    print(flush=True)
    time.sleep(60)
"""
SLEEPER = "import time; print(flush=True); time.sleep(60)"


@contextlib.contextmanager
def process(code: str, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """Run Python code that prints an empty line when it has begun."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "\n"
            # Reaped at once, so that its end is visible to all: not a zombie of this process.
            threading.Thread(target=child.wait, daemon=True).start()
            yield child
        finally:
            child.kill()


def record(
    name: str = "demo",
    state: str = records.READY,
    supervisor: int = 1,
    temporary: str = "/nowhere",
) -> ServerRecord:
    return replace(
        RECORD,
        name=name,
        state=state,
        supervisor=supervisor,
        temporary=temporary,
        mark=f"no such mark {name}",
    )


def write_lock(home: Path, holder: LockHolder, name: str = "demo") -> None:
    (home / "state" / "servers" / f"{name}.lock").write_text(json.dumps(asdict(holder)))
