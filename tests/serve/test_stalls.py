"""A server that is stuck: announced, restarted after a limit, given up in the end."""

import json
import os
import signal
from pathlib import Path

import pytest
from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.supervision.restart_policy import RestartPolicy
from qchat.serve.supervision.supervisor import Supervisor

from qchat import cli
from qchat.errors import EngineError, Exit

from .gauged import gauged_plan
from .supervised import LINUX, act_when, record_of, signal_when, state, times

AT_ONCE = RestartPolicy(first_delay=0.01)
SOON = 0.5  # seconds


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("supervisor", "progress_watch"):
        monkeypatch.setattr(f"qchat.serve.supervision.{module}.WATCH_INTERVAL", 0.1)


def run(registry: ServerRegistry, plan: object, policy: RestartPolicy = AT_ONCE) -> Exit:
    return Supervisor(plan, registry, lambda _step: None, policy).run()  # type: ignore[arg-type]


def is_back(registry: ServerRegistry) -> bool:
    record = registry.read("demo")
    return record is not None and (record.state, record.restarts) == (records.READY, 1)


@LINUX
def test_a_stall_is_said_and_ended_by_a_restart(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, dict[str, object]]] = []

    def look() -> None:
        code = cli.run(["status", "--json"])
        seen.append((code, json.loads(capsys.readouterr().out)["servers"][0]))

    threads = [
        act_when(lambda: state(registry) == records.STALLED, look),
        signal_when(lambda: is_back(registry)),
    ]
    assert run(registry, gauged_plan(tmp_path, unused_port, "stuck,idle", SOON)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    ((code, server),) = seen
    assert code == Exit.ENGINE
    assert server["state"] == "stalled"
    assert server["health"] in ("ok", "silent")  # on a busy machine no answer in 0.12 s
    assert (server["running"], server["waiting"]) == (1, 0)
    assert server["stalled_since"] is not None
    log = registry.log("demo").read_text()
    assert "The server is stuck: no token for" in log
    assert "1 requests waiting for the engine); restart 1 of 5" in log
    assert len(times(tmp_path, "starts")) == 2


@LINUX
def test_the_shutdown_that_vllm_logs_when_a_stall_is_ended_is_our_own(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    """It is told to end before it is killed, and may have the time to say so."""

    def log_shutdown() -> None:
        with registry.log("demo").open("a") as log:
            log.write("(APIServer pid=1) INFO API server: shutdown triggered\n")

    threads = [
        act_when(lambda: state(registry) == records.STALLED, log_shutdown),
        signal_when(lambda: is_back(registry)),
    ]
    assert run(registry, gauged_plan(tmp_path, unused_port, "stuck,idle", SOON)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert len(times(tmp_path, "starts")) == 2


@LINUX
def test_a_stall_that_ends_by_itself(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    stalled: list[bool] = []

    def go_on() -> None:
        stalled.append(True)
        (tmp_path / "go").touch()

    threads = [
        act_when(lambda: state(registry) == records.STALLED, go_on),
        signal_when(lambda: bool(stalled) and state(registry) == records.READY),
    ]
    assert run(registry, gauged_plan(tmp_path, unused_port, "stuck", SOON)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert len(times(tmp_path, "starts")) == 1
    assert "The server gets on again." in registry.log("demo").read_text()


@LINUX
@pytest.mark.parametrize(
    ("behaviour", "reason"), [("stuck", "no token for"), ("mute", "its API process has not run")]
)
def test_a_server_that_is_always_stuck_is_given_up(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, behaviour: str, reason: str
) -> None:
    never = RestartPolicy(max_restarts=0)
    with pytest.raises(EngineError, match=reason) as failure:
        run(registry, gauged_plan(tmp_path, unused_port, behaviour, SOON), never)
    assert failure.value.exit_code == Exit.ENGINE
    assert record_of(registry).state == records.FAILED


@LINUX
def test_a_stopped_process_is_killed(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no SIGTERM: were that waited for, this would not end."""
    monkeypatch.setattr("qchat.serve.supervision.supervisor.STOP_TIMEOUT", 10_000.0)

    def stop() -> None:
        pid = record_of(registry).vllm
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    threads = [
        act_when(lambda: state(registry) == records.READY, stop),
        signal_when(lambda: is_back(registry)),
    ]
    assert run(registry, gauged_plan(tmp_path, unused_port, "idle", SOON)) == Exit.TERMINATED
    for thread in threads:
        thread.join()


@LINUX
def test_stop_does_not_wait_for_a_stopped_process(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervision.supervisor.STOP_TIMEOUT", 10_000.0)

    def stop() -> None:
        pid = record_of(registry).vllm
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = act_when(lambda: state(registry) == records.READY, stop)
    assert run(registry, gauged_plan(tmp_path, unused_port, "idle")) == Exit.TERMINATED
    thread.join()


@LINUX
def test_a_drain_does_not_wait_for_a_server_that_is_stuck(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    """It would do so for the ten minutes of --drain-timeout."""
    codes: list[int] = []
    command = ["restart", "demo", "--drain"]
    threads = [
        act_when(lambda: state(registry) == records.READY, lambda: codes.append(cli.run(command))),
        signal_when(lambda: bool(codes)),
    ]
    assert run(registry, gauged_plan(tmp_path, unused_port, "stuck,idle", 2.0)) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert codes == [0] and len(times(tmp_path, "starts")) == 2
    log = registry.log("demo").read_text()
    assert "Waiting for running requests (1), at most 600 s." in log
    assert "Its running requests are ended." in log


@LINUX
def test_a_start_that_waits_has_a_bound_of_its_own(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that asks the model hub, whatever --stall-timeout says of requests."""
    monkeypatch.setattr("qchat.serve.supervision.stall_detector._VISIBLE", 0.0)
    thread = signal_when(lambda: state(registry) in (records.READY, records.FAILED))
    assert run(registry, gauged_plan(tmp_path, unused_port, "slow", 0.2)) == Exit.TERMINATED
    thread.join()
    assert "The server is stuck" not in registry.log("demo").read_text()


@LINUX
def test_never(tmp_path: Path, registry: ServerRegistry, unused_port: int) -> None:
    """--stall-timeout 0: the server runs on, whatever it does."""
    looks: list[str] = []

    def ends() -> bool:
        looks.append(state(registry))
        return looks.count(records.READY) > 50

    thread = signal_when(ends)
    assert run(registry, gauged_plan(tmp_path, unused_port, "stuck", 0.0)) == Exit.TERMINATED
    thread.join()
    assert records.STALLED not in looks
