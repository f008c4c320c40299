"""`qchat stop` on servers that are records, locks and processes."""

import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.processes import process_tree
from qchat.serve.registry import records
from qchat.serve.registry.lock import LockHolder
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.stop import stop_servers

from qchat import cli
from qchat.errors import EngineError
from qchat.processes import alive

from .holders import HOLDER, SLEEPER, process, record, write_lock
from .supervised import LINUX


@LINUX
def test_stop_ends_the_lock_holder_and_not_the_process_of_an_old_record(
    registry: ServerRegistry,
) -> None:
    """The record is of a failed start; its process id has been reused."""
    with process(SLEEPER) as stranger, process(HOLDER, "demo", "healthy") as supervisor:
        registry.write(record(state=records.FAILED, supervisor=stranger.pid))
        assert cli.run(["stop", "demo"]) == 0
        assert alive([stranger.pid, supervisor.pid]) == [stranger.pid]
    assert registry.all() == [] and not registry.is_locked("demo")


@LINUX
def test_stop_ends_what_a_killed_supervisor_left(
    registry: ServerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that runs now, even if it was started after its record was first read."""
    monkeypatch.setenv(process_tree.MARK, "left over")
    with process(SLEEPER) as left:
        registry.write(replace(record(), mark="left over"))
        stop_servers(registry, [record()])
        assert alive([left.pid]) == []
    assert registry.all() == []


def test_a_server_of_another_machine_is_left_alone(
    home: Path, registry: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.write(record())
    write_lock(home, replace(LockHolder.me(), host="far.example", boot="another", space="x"))
    registry.sweep()
    assert registry.read("demo") == record()
    assert cli.run(["stop", "demo"]) == 3
    assert "demo runs on far.example: stop it there." in capsys.readouterr().err
    assert registry.read("demo") == record()


@LINUX
def test_all_are_signalled_before_one_is_waited_for_and_the_others_end_in_any_case(
    home: Path,
    registry: ServerRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("qchat.serve.supervision.supervisor.STOP_TIMEOUT", -4.5)
    signals: list[tuple[int, int]] = []
    send = LockHolder.signal

    def recording_signal(holder: LockHolder, signum: int) -> bool:
        signals.append((holder.pid, signum))
        return send(holder, signum)

    monkeypatch.setattr(LockHolder, "signal", recording_signal)
    with process(HOLDER, "b", "deaf") as deaf, process(HOLDER, "c", "healthy") as healthy:
        for name in "abc":
            registry.write(record(name, state=records.FAILED))
        write_lock(home, replace(LockHolder.me(), host="far", boot="far", space="x"), "a")
        assert cli.run(["stop", "--all"]) == 3
        assert alive([deaf.pid, healthy.pid]) == []
        term, kill = signal.SIGTERM, signal.SIGKILL
        assert signals == [(deaf.pid, term), (healthy.pid, term), (deaf.pid, kill)]
    output = capsys.readouterr()
    assert output.out == "b has stopped.\nc has stopped.\n" and "a runs on far" in output.err
    assert [left.name for left in registry.all()] == ["a"]


@LINUX
def test_a_supervisor_that_can_not_be_killed_is_reported(
    registry: ServerRegistry, home: Path
) -> None:
    with registry.acquire("demo"):
        registry.write(record())
        write_lock(home, replace(LockHolder.me(), pid=os.getpid(), space="pid:[1]"))
        with pytest.raises(EngineError, match="can't be killed from here"):
            stop_servers(registry, [record()])


def test_a_supervisor_that_has_come_since_is_left_alone(
    registry: ServerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it waited for, this would not end."""
    monkeypatch.setattr("qchat.serve.supervision.supervisor.STOP_TIMEOUT", 10_000.0)
    with registry.acquire("demo"):
        registry.write(record())
        holders = [replace(LockHolder.me(), began=1)]  # the first look finds one that has ended
        monkeypatch.setattr(
            ServerRegistry,
            "supervisor",
            lambda _self, _name: holders.pop() if holders else LockHolder.me(),
        )
        with pytest.raises(EngineError, match="The record of demo is in use; try again"):
            stop_servers(registry, [record()])
        assert registry.read("demo") == record()


def test_a_lock_that_can_not_be_written(
    registry: ServerRegistry, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk, or a read-only one: a folder stands in its place."""
    registry.write(record())
    registry.new_log("demo").write_text("vLLM's output\n")
    (lock := home / "state" / "servers" / "demo.lock").mkdir()
    assert cli.run(["status"]) == 0 and cli.run(["logs"]) == 0
    out = capsys.readouterr().out
    assert "demo" in out and "vLLM's output" in out
    error = f"Can't write {lock}, which says what runs: Is a directory."
    assert cli.run(["stop", "demo"]) == 3
    assert f"Error: demo has stopped, but: {error}\n" == capsys.readouterr().err
    with pytest.raises(EngineError, match=re.escape(error)), registry.acquire("demo"):
        pass


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nobody"], 2, "No server is named nobody; there are: one, two."),
        (["one", "--all"], 2, "Give a name or --all, not both."),
        ([], 2, "Several servers are running; give the NAME of one: one, two"),
    ],
)
def test_which_server_is_meant(
    registry: ServerRegistry,
    arguments: list[str],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("one", "two"):
        registry.write(record(name, state=records.FAILED))
    assert cli.run(["stop", *arguments]) == code
    assert text in capsys.readouterr().err
    assert len(registry.all()) == 2


def test_the_only_server_needs_no_name(
    registry: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.write(record(state=records.FAILED))
    assert cli.run(["stop"]) == 0
    assert capsys.readouterr().out == "demo has stopped.\n" and registry.all() == []
    assert cli.run(["stop", "--all"]) == 0
    assert capsys.readouterr().out == "No server is running.\n"
