"""A process that stands in for vLLM's server: it becomes ready, crashes or hangs as it is told."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan
from qchat.serve.registry.records import ServerRecord, ServerRegistry

from qchat.engine.machine.hardware import Machine

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="a server's processes are identified through Linux's /proc"
)

# It logs and answers what vLLM does at the end of a start, and leaves a grandchild that no signal
# to its parent reaches. It notes when it started and when it crashed, and its environment.
STAND_IN = """
import http.server, json, os, signal, subprocess, sys, threading, time
port, behaviours, folder = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3]
def note(name):
    with open(os.path.join(folder, name), "a") as file:
        file.write(f"{time.monotonic()}\\n")
    with open(os.path.join(folder, name)) as file:
        return len(file.readlines())
with open(os.path.join(folder, "environ.json"), "w") as file:
    json.dump(dict(os.environ), file)
behaviour = behaviours[min(note("starts"), len(behaviours)) - 1]
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
if behaviour == "broken":
    print("ValueError: something is wrong with the model", flush=True)
    sys.exit(1)
if behaviour == "usage":
    print("vllm: error: unrecognized arguments: --no-such-option", flush=True)
    sys.exit(2)
if behaviour == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def finish(*_):
    note("stopping")
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.02)
    note("finished")
    os._exit(0)
if behaviour == "finishing":
    signal.signal(signal.SIGTERM, finish)
answered = threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        answered.set()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
if behaviour != "quiet":
    print("INFO:     Application startup complete.", flush=True)
if behaviour == "shutdown":
    answered.wait()
    print("(APIServer pid=1) INFO API server: shutdown triggered", flush=True)
    os._exit(0)
if behaviour.startswith("crash"):
    answered.wait()
    while behaviour == "crash_on_request" and not os.path.exists(os.path.join(folder, "crash")):
        time.sleep(0.02)
    print("(EngineCore pid=1) ERROR 11-25 02:02:14 [core.py:1] "
          "RuntimeError: the engine is dead", flush=True)
    note("crashes")
    os._exit(0)
time.sleep(600)
"""


class StandInPlan(ServePlan):
    """A plan whose process is the script above."""

    def command(self, parent_pid: int | None = None) -> list[str]:
        return [sys.executable, *self.vllm_args]


def stand_in_plan(folder: Path, port: int, behaviours: str) -> StandInPlan:
    """A plan for `behaviours`, one for each start; the last one stays."""
    script = folder / "stand_in.py"
    script.write_text(STAND_IN)
    plan = make_plan(ServeOptions("demo", port=port), Machine((), 9000, 8000, 2), {})
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    values["vllm_args"] = (str(script), str(port), behaviours, str(folder))
    return StandInPlan(**values)


def times(folder: Path, name: str) -> list[float]:
    """When the stand-in noted `name`, such as ``starts``, in seconds of the monotonic clock."""
    file = folder / name
    return [float(line) for line in file.read_text().splitlines()] if file.exists() else []


def signal_when(condition: Callable[[], bool], signum: int = signal.SIGTERM) -> threading.Thread:
    """Send this process a signal as soon as `condition` holds."""
    return act_when(condition, lambda: os.kill(os.getpid(), signum))


def act_when(condition: Callable[[], bool], action: Callable[[], object]) -> threading.Thread:
    """Call `action` in a thread as soon as `condition` holds, after a minute in any case."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def state(registry: ServerRegistry) -> str:
    record = registry.read("demo")
    return "" if record is None else record.state


def record_of(registry: ServerRegistry) -> ServerRecord:
    record = registry.read("demo")
    assert record is not None
    return record
