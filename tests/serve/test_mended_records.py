"""The lock and the processes say what runs; a lost or damaged record is mended from them."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from qchat.serve.processes import process_tree
from qchat.serve.registry import lock, records
from qchat.serve.registry import server_state as state
from qchat.serve.registry.lock import LockHolder
from qchat.serve.registry.records import ServerRecord, ServerRegistry
from qchat.serve.supervision.phases import Phase, Step
from qchat.serve.supervision.supervisor import Supervisor

from qchat import cli
from qchat.errors import Exit
from qchat.locks import flock_holder, process_start

from .holders import HOLDER, SLEEPER, process, record, write_lock
from .supervised import LINUX, act_when, record_of, signal_when, stand_in_plan


def damage(registry: ServerRegistry, how: str) -> None:
    file = registry.file("demo")
    if how == "lost":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: 100 if how == "half" else 0])


@pytest.mark.parametrize("how", ["lost", "half", "empty"])
def test_a_running_server_is_listed_from_its_lock(
    registry: ServerRegistry, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry.acquire("demo") as server_lock:
        registry.register(record())
        server_lock.describe(asdict(record()))
        damage(registry, how)
        assert registry.read("demo") == record() and registry.all() == [record()]
        registry.sweep()
        assert cli.run(["status"]) == 0
        out = capsys.readouterr().out
        assert "No server is running" not in out and "ready" in out
    assert registry.read("demo") is None


@LINUX
def test_a_server_whose_record_and_lock_are_empty(
    registry: ServerRegistry, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel still knows who holds the lock, so it is listed, and can be stopped."""
    with process(HOLDER, "demo", "healthy") as supervisor:
        lock_file = home / "state" / "servers" / "demo.lock"
        lock_file.write_bytes(b"")
        holder = registry.supervisor("demo")
        assert holder is not None
        assert (holder.pid, holder.began) == (supervisor.pid, process_start(supervisor.pid))
        (listed,) = registry.all()
        assert (listed.name, listed.state, listed.supervisor) == (
            "demo",
            records.STARTING,
            supervisor.pid,
        )
        assert cli.run(["stop", "demo"]) == 0
        assert not registry.is_locked("demo")
    assert capsys.readouterr().out == "demo has stopped.\n"
    assert registry.all() == []


@LINUX
def test_a_reused_process_id_is_no_holder(registry: ServerRegistry, home: Path) -> None:
    """On a file system without flock the record in the lock decides, with the process's start."""
    registry.write(record())
    with process(SLEEPER) as stranger:
        write_lock(home, replace(LockHolder.of(stranger.pid), began=1))
        assert not registry.is_locked("demo")
        old = replace(record(), vllm=stranger.pid, vllm_began=1)
        assert old.vllm_process is None
        assert replace(old, vllm_began=process_start(stranger.pid)).vllm_process == stranger.pid
        (listed,) = state.server_states([old])
        assert listed["memory_mib"] == 0  # not the stranger's
        registry.sweep()
    assert registry.all() == []


def test_a_damaged_record_of_a_killed_supervisor_is_swept_with_its_files(
    tmp_path: Path, registry: ServerRegistry
) -> None:
    folder = tmp_path / "qchat-serve-x"
    folder.mkdir()
    with registry.acquire("demo") as server_lock:
        registry.write(record(temporary=str(folder)))
        server_lock.describe(asdict(record(temporary=str(folder))))
        damage(registry, "half")
    registry.sweep()
    assert not folder.exists() and not registry.file("demo").exists()


def test_a_record_of_another_version(registry: ServerRegistry) -> None:
    registry.write(record())
    values = json.loads(registry.file("demo").read_text())
    registry.file("demo").write_text(json.dumps(values | {"later": 1}))
    assert registry.read("demo") == record()
    del values["mark"]
    assert ServerRecord.parse(values) is None and ServerRecord.parse([]) is None


def test_a_lock_file_that_was_removed_or_overwritten_is_restored(
    registry: ServerRegistry, home: Path
) -> None:
    file = home / "state" / "servers" / "demo.lock"
    with registry.acquire("demo") as server_lock:
        server_lock.describe({"name": "demo"})
        file.unlink()
        assert not registry.is_locked("demo")
        server_lock.keep()
        assert registry.is_locked("demo") and registry.supervisor("demo") == LockHolder.me()
        file.write_text("{")
        server_lock.keep()
        assert lock.description(file) == {"name": "demo"}
    assert not registry.is_locked("demo")


@LINUX
def test_a_supervisor_mends_its_record_and_its_lock(
    tmp_path: Path, registry: ServerRegistry, unused_port: int, home: Path
) -> None:
    lock_file = home / "state" / "servers" / "demo.lock"
    originals: list[ServerRecord] = []

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            originals.append(record_of(registry))

    def is_mended() -> bool:
        try:
            written = json.loads(registry.file("demo").read_text())
        except (OSError, ValueError):
            return False
        return ServerRecord.parse(written) == originals[0] and registry.is_locked("demo")

    def wreck() -> None:
        lock_file.unlink()
        damage(registry, "half")
        wrecked.append(True)

    wrecked: list[bool] = []
    threads = [
        act_when(lambda: bool(originals), wreck),
        signal_when(lambda: bool(wrecked) and is_mended()),
    ]
    plan = stand_in_plan(tmp_path, unused_port, "healthy")
    assert Supervisor(plan, registry, report).run() == Exit.TERMINATED
    for thread in threads:
        thread.join()
    assert process_tree.members(None, originals[0].mark) == []
    assert registry.all() == [] and not registry.is_locked("demo")


@LINUX
def test_the_holder_of_a_lock_from_the_kernel(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    code = (
        "import fcntl, sys, time\n"
        f"file = open({str(file)!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "time.sleep(60)"
    )
    with process(code) as holder:
        assert flock_holder(file) == holder.pid
    assert flock_holder(tmp_path / "none") is None
