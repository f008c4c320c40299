"""The registry of servers: records, locks and logs."""

import contextlib
import errno
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.registry import lock, records
from qchat.serve.registry.lock import LockHolder
from qchat.serve.registry.records import ServerRegistry

from qchat.errors import EngineError, UsageError
from qchat.processes import alive

from .holders import SLEEPER, process, record, write_lock
from .supervised import LINUX


@LINUX
@pytest.mark.parametrize(
    "other",
    [{"began": 1}, {"boot": "another"}, {"space": "pid:[1]"}],
    ids=["its id was used again", "another machine", "another container"],
)
def test_no_process_is_signalled_that_is_not_the_supervisor(
    home: Path, registry: ServerRegistry, other: dict[str, str]
) -> None:
    with process(SLEEPER) as stranger, registry.acquire("demo"):
        registry.write(record())
        write_lock(home, replace(LockHolder.me(), pid=stranger.pid, **other))  # type: ignore[arg-type]
        holder = registry.supervisor("demo")
        assert holder is not None
        assert holder.signal(signal.SIGKILL) == ("began" in other)
        assert alive([stranger.pid]) == [stranger.pid]


def test_a_record_of_a_newer_server_is_not_removed_for_an_older_one(
    registry: ServerRegistry,
) -> None:
    old = record()
    registry.write(replace(old, mark="a newer one"))
    assert registry.forget(old) and registry.read("demo") is not None
    registry.write(old)
    with registry.acquire("demo"):
        assert not registry.forget(old)
    assert registry.forget(old) and registry.read("demo") is None


def test_a_reader_of_the_lock_does_not_prevent_a_start(
    home: Path, registry: ServerRegistry
) -> None:
    released = threading.Event()
    with contextlib.ExitStack() as reader:
        reader.enter_context(lock.held(home / "state" / "servers" / "demo.lock", named=False))
        threading.Timer(0.05, lambda: (released.set(), reader.close())).start()
        with registry.acquire("demo"):
            assert released.is_set()
            with pytest.raises(UsageError, match="is already running"), registry.acquire("demo"):
                pass
    assert registry.supervisor("demo") == LockHolder.me()


@pytest.mark.parametrize(
    ("host", "other", "is_shared"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("::", "10.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_two_starting_servers_do_not_share_a_port(
    registry: ServerRegistry, host: str, other: str, is_shared: bool
) -> None:
    """Nobody listens there yet, and vLLM would let both do so."""
    first = replace(record(), host=host, port=21)
    second = replace(record("two"), host=other, port=21)
    with registry.acquire(first.name), registry.acquire(second.name):
        registry.register(first)
        if is_shared:
            with pytest.raises(UsageError, match=r"used by the server demo \(ready\)"):
                registry.register(second)
            assert registry.read("two") is None
        else:
            registry.register(second)
        registry.register(replace(second, port=22))
    registry.register(replace(second, port=21))  # the first has ended, whatever its record says
    registry.register(first)


def test_an_old_log_is_not_another_servers_log(registry: ServerRegistry) -> None:
    """Such as that of Llama-3 and of Llama-3.1, when it was Llama-3.1.log."""
    for name in ("demo", "demo.1", "demo.log.1", "demo.log"):
        registry.new_log(name).write_text(f"{name}\n")
    registry.new_log("demo")
    assert (registry.log("demo").parent / "demo.log.1").read_text() == "demo\n"
    for name in ("demo.1", "demo.log.1", "demo.log"):
        assert registry.log(name).read_text() == f"{name}\n"
    registry.log("demo").write_text("x" * 100)
    assert registry.bound_log("demo", 50)
    for name in ("demo.1", "demo.log.1", "demo.log"):
        assert registry.log(name).read_text() == f"{name}\n"


def test_a_lock_on_a_full_disk(registry: ServerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("qchat.locks.os.pwrite", full)
    with pytest.raises(EngineError, match="No space left on device"), registry.acquire("demo"):
        pass


def test_a_log_has_a_bound(home: Path, registry: ServerRegistry) -> None:
    log = registry.new_log("demo")
    with log.open("ab") as vllm:
        vllm.write(b"x" * 100)
        vllm.flush()
        assert not registry.bound_log("demo", 100)
        vllm.write(b"y")
        vllm.flush()
        assert registry.bound_log("demo", 100)
        vllm.write(b"z")
    assert log.read_bytes() == b"z"
    old = log.with_name("demo.log.1")
    assert old.read_bytes() == b"x" * 100 + b"y" and old.stat().st_mode & 0o777 == 0o600
    assert not registry.bound_log("none", 100)


def test_the_rest_of_a_killed_supervisor_is_swept(tmp_path: Path, registry: ServerRegistry) -> None:
    folder = tmp_path / "qchat-serve-x"
    folder.mkdir()
    registry.write(record(temporary=str(folder)))
    foreign = tmp_path / "precious"
    foreign.mkdir()
    registry.write(replace(record(temporary=str(foreign)), name="other"))
    registry.sweep()
    assert registry.all() == [] and not folder.exists() and foreign.exists()


def test_records_and_logs_are_private_and_a_broken_record_is_none(
    tmp_path: Path, registry: ServerRegistry
) -> None:
    registry.write(record())
    file = next((tmp_path / "home" / "state" / "servers").glob("*.json"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert registry.new_log("demo").stat().st_mode & 0o777 == 0o600
    assert registry.read("demo") == record()
    file.write_text("{")
    assert registry.read("demo") is None and registry.all() == []


def test_a_full_disk_keeps_the_record_that_was_there(
    tmp_path: Path, registry: ServerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    registry.write(record())
    folder = tmp_path / "home" / "state" / "servers"
    before = set(folder.iterdir())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="No space left on device"):
        registry.write(replace(record(), state=records.STOPPING))
    assert registry.read("demo") == record() and set(folder.iterdir()) == before


def test_the_record_of_a_failed_start_stays_until_it_is_stopped(registry: ServerRegistry) -> None:
    """`qchat status` shows its message."""
    registry.write(record(state=records.FAILED))
    registry.write(record("other", state=records.RESTARTING))
    registry.sweep()
    assert [left.name for left in registry.all()] == ["demo"]
