"""Stopping and restarting without cutting requests off."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.planning.plan import ServePlan
from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.supervision import server_control
from qchat.serve.supervision.server_control import ControlRequest
from qchat.serve.supervision.supervisor import Supervisor

from qchat import cli
from qchat.errors import Exit

from .gauged import GaugedPlan, PatientPlan, gauged_plan
from .supervised import LINUX, act_when, record_of, signal_when, state, times


def supervise(registry: ServerRegistry, plan: ServePlan) -> Exit:
    return Supervisor(plan, registry, lambda _step: None).run()


@LINUX
def test_stop_drain_waits_for_running_requests_and_refuses_new_ones(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    codes: list[int] = []
    seen: list[tuple[str, str]] = []

    def finish() -> None:
        record = record_of(registry)
        seen.append((record.state, record.message))
        (tmp_path / "finish").touch()

    threads = [
        act_when(
            lambda: state(registry) == records.READY,
            lambda: codes.append(cli.run(["stop", "demo", "--drain"])),
        ),
        act_when(
            lambda: (tmp_path / "gate").exists() and state(registry) == records.STOPPING, finish
        ),
    ]
    assert supervise(registry, gauged_plan(tmp_path, unused_port, "busy")) == Exit.OK
    for thread in threads:
        thread.join()
    assert codes == [0] and (tmp_path / "finished").exists()
    assert seen == [(records.STOPPING, "Waiting for running requests (1), at most 600 s.")]
    assert registry.all() == []


@LINUX
def test_a_drain_has_a_limit(tmp_path: Path, registry: ServerRegistry, unused_port: int) -> None:
    codes: list[int] = []
    command = ["stop", "demo", "--drain", "--drain-timeout", "1s"]
    thread = act_when(
        lambda: state(registry) == records.READY, lambda: codes.append(cli.run(command))
    )
    assert supervise(registry, gauged_plan(tmp_path, unused_port, "busy")) == Exit.OK
    thread.join()
    assert codes == [0] and not (tmp_path / "finished").exists()


@LINUX
@pytest.mark.parametrize("is_patient", [True, False])
def test_a_signal_waits_for_requests_as_long_as_the_option_says(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, is_patient: bool
) -> None:
    """vLLM's --shutdown-timeout; the supervisor waits, because vLLM cuts streams."""
    ended = threading.Event()
    threads = [
        signal_when(lambda: state(registry) == records.READY),
        act_when(
            lambda: ended.is_set() or (tmp_path / "gate").exists(), (tmp_path / "finish").touch
        ),
    ]
    kind = PatientPlan if is_patient else GaugedPlan
    plan = gauged_plan(tmp_path, unused_port, "busy", kind=kind)
    assert supervise(registry, plan) == Exit.TERMINATED
    ended.set()
    for thread in threads:
        thread.join()
    assert (tmp_path / "finished").exists() == is_patient


@LINUX
def test_restart_keeps_the_supervisor_and_the_plan(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    before: list[records.ServerRecord] = []

    def restart() -> None:
        before.append(record_of(registry))
        codes.append(cli.run(["restart"]))

    threads = [
        act_when(lambda: state(registry) == records.READY, restart),
        signal_when(lambda: bool(codes)),
    ]
    assert supervise(registry, gauged_plan(tmp_path, unused_port, "busy")) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert codes == [0] and len(times(tmp_path, "starts")) == 2
    assert f"demo is ready at {before[0].url}/v1" in capsys.readouterr().out
    assert not (tmp_path / "finished").exists()  # without --drain the request is cut off


@LINUX
def test_restart_drain(tmp_path: Path, registry: ServerRegistry, unused_port: int) -> None:
    codes: list[int] = []
    threads = [
        act_when(
            lambda: state(registry) == records.READY,
            lambda: codes.append(cli.run(["restart", "demo", "--drain"])),
        ),
        act_when((tmp_path / "gate").exists, (tmp_path / "finish").touch),
        signal_when(lambda: bool(codes)),
    ]
    assert supervise(registry, gauged_plan(tmp_path, unused_port, "busy,idle")) == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert codes == [0] and (tmp_path / "finished").exists()
    assert len(times(tmp_path, "starts")) == 2


@LINUX
def test_a_stopped_server_is_started_again_from_its_last_plan(
    tmp_path: Path,
    registry: ServerRegistry,
    unused_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = gauged_plan(tmp_path, unused_port, "idle")
    thread = signal_when(lambda: state(registry) == records.READY)
    supervise(registry, plan)
    thread.join()
    started: list[ServePlan] = []
    monkeypatch.setattr(
        "qchat.serve.supervision.detached.run_detached",
        lambda plan, _registry, wait: started.append(plan) or int(not wait),
    )
    assert cli.run(["restart", "demo"]) == 0
    assert started == [ServePlan.from_json(plan.to_json())]
    assert registry.plan("demo").stat().st_mode & 0o777 == 0o600


def test_a_server_with_a_key_is_not_started_again_without_it(
    tmp_path: Path,
    registry: ServerRegistry,
    unused_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = replace(gauged_plan(tmp_path, unused_port, "idle"), key_source="variable")
    file = registry.plan("demo")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(plan.to_json())
    started: list[ServePlan] = []
    monkeypatch.setattr(
        "qchat.serve.supervision.detached.run_detached",
        lambda plan, _registry, wait: started.append(plan) or int(not wait),
    )
    monkeypatch.delenv("QCHAT_API_KEY", raising=False)
    assert cli.run(["restart", "demo"]) == 2
    assert "demo had its key from QCHAT_API_KEY" in capsys.readouterr().err
    assert started == []
    monkeypatch.setenv("QCHAT_API_KEY", "k" * 40)
    assert cli.run(["restart", "demo"]) == 0
    assert len(started) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["restart", "nobody"], "No server named nobody was started here; there are: none."),
        (["restart", "../x"], "No server named ../x was started here"),
        (["restart", "demo", "--drain-timeout", "5s"], "--drain-timeout needs --drain."),
        (["stop", "demo", "--drain-timeout", "5s"], "--drain-timeout needs --drain."),
    ],
)
def test_usage(
    registry: ServerRegistry,
    arguments: list[str],
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(arguments) == 2
    assert text in capsys.readouterr().err


def test_requests_that_are_not_valid_are_dropped(tmp_path: Path) -> None:
    file = tmp_path / "control"
    for text in ("", "[]", '{"action": "explode", "drain": 1}', '{"action": "stop"}'):
        file.write_text(text)
        assert ControlRequest.take(file) is None and not file.exists()
    assert ControlRequest.take(file) is None
    request, signals = ControlRequest(server_control.RESTART, 5.0), []
    server_control.send(request, file, signals.append)
    assert ControlRequest.take(file) == request and signals == [server_control.SIGNAL]
