"""Restarts after a crash: announced, spaced, limited, and counted anew after a healthy time."""

from itertools import pairwise
from pathlib import Path

import pytest
from qchat.serve.processes import process_tree
from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.supervision.phases import Phase, Step
from qchat.serve.supervision.restart_policy import RestartPolicy
from qchat.serve.supervision.supervisor import Supervisor

from qchat.errors import EngineError, Exit

from .supervised import LINUX, record_of, signal_when, stand_in_plan, state, times

AT_ONCE = RestartPolicy(first_delay=0.01)


def ignore(_step: Step) -> None:
    """A report that nobody reads."""


@LINUX
def test_a_crashed_server_is_restarted_and_the_log_says_so(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "crash,healthy")
    thread = signal_when(
        lambda: (
            (record := registry.read("demo")) is not None
            and (record.state, record.restarts) == (records.READY, 1)
        )
    )
    assert Supervisor(plan, registry, ignore, AT_ONCE).run() == Exit.TERMINATED
    thread.join()
    assert len(times(tmp_path, "starts")) == 2
    assert "the engine is dead); restart 1 of 5" in registry.log("demo").read_text()


@LINUX
def test_restarts_are_spaced_and_each_delay_doubles(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "crash,crash,healthy")
    thread = signal_when(
        lambda: len(times(tmp_path, "starts")) == 3 and state(registry) == records.READY
    )
    policy = RestartPolicy(first_delay=0.5)
    assert Supervisor(plan, registry, ignore, policy).run() == Exit.TERMINATED
    thread.join()
    starts, crashes = times(tmp_path, "starts"), times(tmp_path, "crashes")
    gaps = [start - crash for start, crash in zip(starts[1:], crashes, strict=True)]
    assert gaps[0] >= 0.5 and gaps[1] >= 1.0, gaps


@LINUX
def test_a_signal_ends_the_delay(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    """Were the delay waited for, this would not end."""
    plan = stand_in_plan(tmp_path, unused_port, "crash,healthy")
    thread = signal_when(lambda: state(registry) == records.RESTARTING)
    policy = RestartPolicy(first_delay=10_000.0)
    assert Supervisor(plan, registry, ignore, policy).run() == Exit.TERMINATED
    thread.join()
    assert len(times(tmp_path, "starts")) == 1 and registry.read("demo") is None


@LINUX
def test_a_server_that_always_crashes_is_given_up(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "crash")
    with pytest.raises(EngineError, match=r"exited 6 times serving demo: the engine is dead"):
        Supervisor(plan, registry, ignore, AT_ONCE).run()
    assert len(times(tmp_path, "starts")) == 6
    record = record_of(registry)
    assert record.state == records.FAILED
    assert process_tree.members(None, record.mark) == []


@LINUX
def test_after_a_healthy_time_the_crashes_are_counted_anew(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    """Every run here is longer than the healthy time, so more crashes than the limit are fine."""
    plan = stand_in_plan(tmp_path, unused_port, "crash," * 7 + "healthy")
    restarts: list[int] = []

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            restarts.append(record_of(registry).restarts)

    thread = signal_when(lambda: len(restarts) == 8)
    policy = RestartPolicy(first_delay=0.01, reset_after=0.0)
    assert Supervisor(plan, registry, report, policy).run() == Exit.TERMINATED
    thread.join()
    assert restarts == [0] + [1] * 7


@LINUX
def test_a_failed_start_is_not_retried(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "broken")
    with pytest.raises(EngineError, match=r"something is wrong with the model.*qchat logs demo"):
        Supervisor(plan, registry, ignore, AT_ONCE).run()
    assert len(times(tmp_path, "starts")) == 1
    assert process_tree.members(None, record_of(registry).mark) == []


@LINUX
def test_a_server_that_was_shut_down_is_not_restarted(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    plan = stand_in_plan(tmp_path, unused_port, "shutdown,broken")
    assert Supervisor(plan, registry, ignore, AT_ONCE).run() == Exit.OK
    assert len(times(tmp_path, "starts")) == 1 and registry.all() == []
    assert "shut down by another process" in registry.log("demo").read_text()


@LINUX
def test_a_server_whose_record_can_not_be_written_any_more_is_kept_running(
    tmp_path: Path, registry: ServerRegistry, unused_port: int
) -> None:
    """As on a disk that has become full: a folder stands in the record's place."""
    ready: list[int] = []

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            if not ready:
                registry.file("demo").unlink()
                registry.file("demo").mkdir()
            ready.append(len(ready))

    plan = stand_in_plan(tmp_path, unused_port, "crash,healthy")
    thread = signal_when(lambda: len(ready) == 2)
    assert Supervisor(plan, registry, report, AT_ONCE).run() == Exit.TERMINATED
    thread.join()
    assert len(ready) == 2 and not registry.is_locked("demo")


class TestPolicy:
    def test_the_limit_and_the_healthy_time(self) -> None:
        policy = RestartPolicy()
        assert [policy.next_restart(n, 600.0) for n in range(6)] == [1, 2, 3, 4, 5, None]
        assert policy.next_restart(5, 600.1) == 1

    def test_each_delay_is_twice_the_one_before(self) -> None:
        policy = RestartPolicy()
        delays = [policy.delay(restart) for restart in range(1, policy.max_restarts + 1)]
        assert delays[0] == 1.0
        assert all(later == 2 * earlier for earlier, later in pairwise(delays))
