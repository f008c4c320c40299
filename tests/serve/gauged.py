"""A stand-in for vLLM's server that writes the request gauge of the access layer."""

import sys
from dataclasses import fields, replace
from pathlib import Path

from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan

from qchat.engine.machine.hardware import Machine

# Its requests are figures: "stuck" has one that gets no token until the file "go" exists, "busy"
# one that ends when the file "finish" exists, "mute" no heartbeat; "slow" shows no sign in a second
# of its start. It notes a closed gate.
GAUGED = """
import http.server, os, sys, threading, time
from pathlib import Path
from qchat.serve.access.request_gauge import VARIABLE, RequestGauge
port, behaviours, folder = int(sys.argv[1]), sys.argv[2].split(","), Path(sys.argv[3])
gauge = RequestGauge(Path(os.environ[VARIABLE]))
with (folder / "starts").open("a") as file:
    file.write(f"{time.monotonic()}\\n")
starts = len((folder / "starts").read_text().splitlines())
behaviour = behaviours[min(starts, len(behaviours)) - 1]
if behaviour == "slow":
    time.sleep(1.0)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
gauge.set("has_engine", 1)
if behaviour in ("stuck", "busy"):
    gauge.begin()
    gauge.await_vllm(1)
print("INFO:     Application startup complete.", flush=True)
while True:
    if behaviour != "mute":
        gauge.set("heartbeat_ns", time.monotonic_ns())
    if behaviour == "busy" or (folder / "go").exists():
        gauge.add("generated")
    if gauge.is_gate_closed():
        (folder / "gate").touch()
    if (folder / "finish").exists() and gauge.get("awaiting"):
        gauge.await_vllm(-1)
        gauge.end()
        (folder / "finished").touch()
    time.sleep(0.02)
"""


class GaugedPlan(ServePlan):
    """A plan whose process is the script above."""

    shutdown_seconds = 0.0

    @property
    def shutdown_timeout(self) -> float:
        return self.shutdown_seconds

    def command(self, parent_pid: int | None = None) -> list[str]:
        return [sys.executable, *self.vllm_args]


class PatientPlan(GaugedPlan):
    """One with --shutdown-timeout."""

    shutdown_seconds = 30.0


def gauged_plan(
    folder: Path,
    port: int,
    behaviours: str,
    stall_timeout: float | None = None,
    kind: type[GaugedPlan] = GaugedPlan,
) -> GaugedPlan:
    """A plan for `behaviours`, one for each start; the last one stays."""
    script = folder / "gauged.py"
    script.write_text(GAUGED)
    plan = make_plan(ServeOptions("demo", port=port), Machine((), 9000, 8000, 2), {})
    plan = replace(
        plan,
        vllm_args=(str(script), str(port), behaviours, str(folder)),
        stall_timeout=stall_timeout,
    )
    return kind(**{field.name: getattr(plan, field.name) for field in fields(plan)})
