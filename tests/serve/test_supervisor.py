"""Supervising a server, from its start to its end; real vLLM is in e2e."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.processes import ports, process_tree
from qchat.serve.registry import records
from qchat.serve.registry.health import Health, HealthReply
from qchat.serve.registry.records import ServerRecord, ServerRegistry
from qchat.serve.supervision.attached import run_attached
from qchat.serve.supervision.phases import Phase, Step
from qchat.serve.supervision.restart_policy import RestartPolicy
from qchat.serve.supervision.supervisor import Supervisor

from qchat.errors import EngineError, Exit, UsageError
from qchat.settings import Paths

from .stand_in import RECORD
from .supervised import LINUX, act_when, record_of, signal_when, stand_in_plan, state, times


@LINUX
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)]
)
def test_from_start_to_stop(
    tmp_path: Path, registry: ServerRegistry, signum: int, code: Exit, unused_port: int
) -> None:
    steps: list[Phase] = []
    marks: list[str] = []

    def report(step: Step) -> None:
        steps.append(step.phase)
        if step.phase is Phase.READY:
            marks.append(record_of(registry).mark)
            assert len(process_tree.members(None, marks[0])) == 2  # the stand-in and its grandchild
            assert registry.is_locked("demo")

    plan = stand_in_plan(tmp_path, unused_port, "healthy")
    thread = signal_when(lambda: state(registry) == records.READY and bool(marks), signum)
    assert Supervisor(plan, registry, report).run() == code
    thread.join()
    assert steps == [Phase.IMPORT, Phase.READY]
    assert process_tree.members(None, marks[0]) == []
    assert registry.all() == [] and not registry.is_locked("demo")


@LINUX
@pytest.mark.parametrize("ready", [False, True])
def test_a_start_that_is_broken_off_says_so(
    tmp_path: Path,
    registry: ServerRegistry,
    unused_port: int,
    capsys: pytest.CaptureFixture[str],
    ready: bool,
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "healthy" if ready else "quiet")
    wanted = records.READY if ready else records.STARTING
    thread = signal_when(lambda: state(registry) == wanted, signal.SIGINT)
    assert run_attached(plan, registry) == Exit.INTERRUPTED
    thread.join()
    said = "Stopped before the server was ready." in capsys.readouterr().err
    assert said is not ready


@LINUX
def test_a_server_that_ignores_sigterm_is_killed(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervision.supervisor.STOP_TIMEOUT", 0.3)
    marks: list[str] = []
    plan = stand_in_plan(tmp_path, unused_port, "deaf")
    thread = signal_when(lambda: bool(marks))

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            marks.append(record_of(registry).mark)

    assert Supervisor(plan, registry, report).run() == Exit.TERMINATED
    thread.join()
    assert process_tree.members(None, marks[0]) == []


@LINUX
def test_a_server_may_finish_its_requests_before_it_stops(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "finishing")
    stopping = signal_when(lambda: state(registry) == records.READY)
    ended = threading.Event()
    going = act_when(
        lambda: ended.is_set() or bool(times(tmp_path, "stopping")), (tmp_path / "go").touch
    )
    assert Supervisor(plan, registry, lambda _step: None).run() == Exit.TERMINATED
    ended.set()
    stopping.join()
    going.join()
    assert times(tmp_path, "finished")


@LINUX
def test_a_second_signal_does_not_wait_for_requests(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervision.supervisor.STOP_TIMEOUT", 10_000.0)
    plan = stand_in_plan(tmp_path, unused_port, "finishing")
    ended = threading.Event()
    going = act_when(ended.is_set, (tmp_path / "go").touch)  # after a minute in any case
    first = signal_when(lambda: state(registry) == records.READY)
    second = signal_when(lambda: bool(times(tmp_path, "stopping")))
    assert Supervisor(plan, registry, lambda _step: None).run() == Exit.TERMINATED
    ended.set()
    for thread in (going, first, second):
        thread.join()
    assert not times(tmp_path, "finished")


def test_a_second_server_of_the_same_name(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "healthy")
    with registry.acquire("demo"), pytest.raises(UsageError, match="named demo is already running"):
        Supervisor(plan, registry, lambda _step: None).run()


@LINUX
def test_a_second_server_on_the_same_port(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    """The first does not listen yet."""
    plan = stand_in_plan(tmp_path, unused_port, "healthy")
    other = replace(RECORD, name="other", port=unused_port, state=records.STARTING)
    with registry.acquire("other"):
        registry.register(other)
        with pytest.raises(UsageError, match=r"is used by the server other \(starting\)"):
            Supervisor(plan, registry, lambda _step: None).run()
    assert not (tmp_path / "starts").exists() and registry.read("demo") is None


@LINUX
def test_a_server_is_ready_when_it_is_healthy_even_if_its_log_does_not_say_so(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--uvicorn-log-level warning omits that line."""
    monkeypatch.setattr("qchat.serve.supervision.supervisor.HEALTH_INTERVAL", 0.05)
    plan = stand_in_plan(tmp_path, unused_port, "quiet")
    thread = signal_when(lambda: state(registry) == records.READY)
    assert Supervisor(plan, registry, lambda _step: None).run() == Exit.TERMINATED
    thread.join()


@LINUX
def test_another_process_on_the_port_is_not_the_server(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervision.supervisor.HEALTH_INTERVAL", 0.01)
    lookups: list[int] = []
    healthy = Health(HealthReply.OK, 0.0)
    monkeypatch.setattr("qchat.serve.supervision.supervisor.check_health", lambda *_args: healthy)
    monkeypatch.setattr(
        "qchat.serve.processes.ports.listener",
        lambda port: lookups.append(port) or ports.Listener(os.getpid(), "pytest"),
    )
    plan = stand_in_plan(tmp_path, unused_port, "quiet")
    thread = signal_when(lambda: len(lookups) > 2)
    phases: list[Phase] = []
    code = Supervisor(plan, registry, lambda step: phases.append(step.phase)).run()
    thread.join()
    assert code == Exit.TERMINATED and phases == [Phase.IMPORT]


@LINUX
def test_an_account_without_a_name_and_a_child_that_has_exited(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    first: list[int | None] = []
    stop = process_tree.stop

    def recording_stop(pid: int | None, *args: Any) -> list[int]:
        first.append(pid)
        return stop(pid, *args)

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("qchat.serve.processes.process_tree.stop", recording_stop)
    with pytest.raises(EngineError, match="something is wrong with the model"):
        Supervisor(
            stand_in_plan(tmp_path, unused_port, "broken"), registry, lambda _step: None
        ).run()
    assert first and set(first) == {None}  # its id may have been reused


@LINUX
def test_a_log_that_grows_is_truncated_while_the_server_runs(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a later crash is then read from the beginning of the log."""
    monkeypatch.setattr("qchat.serve.supervision.supervisor.LOG_CHECK_INTERVAL", 0.02)
    log = registry.log("demo")
    old = log.with_name("demo.log.1")

    def set_limit(max_bytes: int) -> None:
        monkeypatch.setattr("qchat.serve.supervision.supervisor.MAX_LOG_BYTES", max_bytes)

    def is_ready(restarts: int) -> bool:
        record = registry.read("demo")
        return record is not None and (record.state, record.restarts) == (records.READY, restarts)

    def crash() -> None:
        set_limit(1 << 20)
        (tmp_path / "crash").touch()

    plan = stand_in_plan(tmp_path, unused_port, "crash,crash_on_request,healthy")
    threads = [
        act_when(lambda: is_ready(1), lambda: set_limit(10)),
        act_when(lambda: old.exists() and log.stat().st_size == 0, crash),
        signal_when(lambda: is_ready(2)),
    ]
    policy = RestartPolicy(first_delay=0.01)
    assert Supervisor(plan, registry, lambda _step: None, policy).run() == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert "restart 1 of 5" in old.read_text()
    assert "(the engine is dead); restart 2 of 5" in log.read_text()


@LINUX
def test_a_second_signal_ends_a_server_that_ignores_sigterm(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the whole timeout this would not end."""
    monkeypatch.setattr("qchat.serve.supervision.supervisor.STOP_TIMEOUT", 10_000.0)
    plan = stand_in_plan(tmp_path, unused_port, "deaf")
    threads = [
        signal_when(lambda: state(registry) == records.READY),
        signal_when(lambda: state(registry) == records.STOPPING, signal.SIGINT),
    ]
    assert Supervisor(plan, registry, lambda _step: None).run() == Exit.TERMINATED
    for thread in threads:
        thread.join()


@LINUX
def test_the_environment_of_the_server(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    ready_records: list[ServerRecord] = []

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            ready_records.append(record_of(registry))

    plan = stand_in_plan(tmp_path, unused_port, "healthy")
    thread = signal_when(lambda: bool(ready_records))
    Supervisor(plan, registry, report).run()
    thread.join()
    environ = json.loads((tmp_path / "environ.json").read_text())
    (record,) = ready_records
    assert AccessRules.from_environment(environ) == plan.rules
    assert environ[process_tree.MARK] == record.mark
    assert environ["TMPDIR"] == record.temporary and not Path(record.temporary).exists()
    # Compiled code stays for the next start.
    compiled = Path(environ["TORCHINDUCTOR_CACHE_DIR"])
    assert not compiled.is_relative_to(record.temporary)
    assert compiled.is_relative_to(Paths.find().cache)


@LINUX
def test_the_record_has_the_utc_offset_of_the_log(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is updated when daylight saving time begins."""
    monkeypatch.setattr("qchat.serve.supervision.supervisor.LOG_CHECK_INTERVAL", 0.02)
    offsets: list[int | None] = []

    def change_zone(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    def report(step: Step) -> None:
        offsets.append(record_of(registry).utc_offset)
        if step.phase is Phase.READY:
            change_zone("CEST-2")

    def is_updated() -> bool:
        record = registry.read("demo")
        return record is not None and record.utc_offset == 7200

    change_zone("CET-1")
    try:
        thread = signal_when(is_updated)
        plan = stand_in_plan(tmp_path, unused_port, "healthy")
        assert Supervisor(plan, registry, report).run() == Exit.TERMINATED
        thread.join()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert offsets == [3600, 3600]


@LINUX
def test_an_option_that_vllm_rejects_is_a_usage_error(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    with pytest.raises(UsageError, match="does not know the option --no-such-option"):
        Supervisor(
            stand_in_plan(tmp_path, unused_port, "usage"), registry, lambda _step: None
        ).run()
    assert state(registry) == records.FAILED
