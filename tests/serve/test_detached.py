"""`qchat serve --detach`: the supervisor's failures reach the command that started it."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.supervision.detached import run_detached

from qchat.engine.machine.hardware import Machine
from qchat.errors import UsageError

from .stand_in import RECORD
from .supervised import LINUX, signal_when


def plan_for(port: int) -> ServePlan:
    return make_plan(ServeOptions("demo", port=port), Machine((), 9000, 8000, 2), {})


@LINUX
def test_a_failed_start_is_reported_with_its_message(registry: ServerRegistry) -> None:
    """The real supervisor and launcher: the launcher refuses a port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port} on 127.0.0.1 is not available"):
            run_detached(plan_for(port), registry, wait=True)
    record = registry.read("demo")
    assert record is not None and record.state == "failed" and not registry.is_locked("demo")


def test_a_supervisor_that_fails_before_its_record_is_written(
    registry: ServerRegistry, unused_port: int, home: Path
) -> None:
    with registry.acquire("demo"):
        with pytest.raises(UsageError, match="named demo is already running"):
            run_detached(plan_for(unused_port), registry, wait=True)
        assert not (home / "state" / "servers" / "demo.json").exists()


@LINUX
def test_the_record_of_an_earlier_server_says_nothing_about_this_one(
    registry: ServerRegistry,
) -> None:
    """That one was ready when its supervisor was killed."""
    registry.write(RECORD)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(UsageError, match="is not available"),
    ):
        run_detached(plan_for(server.getsockname()[1]), registry, wait=True)


@LINUX
def test_ctrl_c_during_the_start_ends_the_server(
    registry: ServerRegistry, unused_port: int
) -> None:
    """The real supervisor and launcher, in a session of their own: the terminal's Ctrl-C does not
    reach them."""

    def launcher_runs() -> bool:
        record = registry.read("demo")
        return record is not None and record.vllm is not None

    thread = signal_when(launcher_runs, signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_detached(plan_for(unused_port), registry, wait=True)
        assert registry.all() == [] and not registry.is_locked("demo")
    finally:
        thread.join()
        end_supervisor(registry)


def end_supervisor(registry: ServerRegistry) -> None:
    record = registry.read("demo")
    if record is not None:
        os.kill(record.supervisor, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while registry.is_locked("demo") and time.monotonic() < deadline:
            time.sleep(0.02)
