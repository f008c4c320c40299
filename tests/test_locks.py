"""Locks with `flock`, and on a file system that has none."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from qchat.batch.journal.lock import RunLock
from qchat.serve.registry.records import ServerRegistry

from qchat import cli
from qchat.errors import UsageError
from qchat.locks import FileLock, is_foreign, is_locked, process_start, read_record
from qchat.settings import Paths
from qchat.store import MessageState, StoreError, StoreProblem, open_store
from qchat.store import opening as store_opening
from qchat.store.opening import door
from tests import faults

UNSUPPORTED = {"ENOSYS": errno.ENOSYS, "ENOLCK": errno.ENOLCK, "EOPNOTSUPP": errno.EOPNOTSUPP}

# Holds the lock of its first argument; with a second one there is no flock.
HOLDER = """
import errno, fcntl, sys
from pathlib import Path
from qchat.locks import FileLock
def unsupported(fd, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")
if len(sys.argv) > 2:
    fcntl.flock = unsupported
with FileLock(Path(sys.argv[1])) as lock:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=UNSUPPORTED)
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_fd: int, _operation: int) -> None:
        number = UNSUPPORTED[request.param]
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unsupported)


@pytest.fixture(params=["flock", "no flock"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether this file system has `flock`."""
    if request.param == "no flock":

        def unsupported(_fd: int, _operation: int) -> None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(fcntl, "flock", unsupported)
    return bool(request.param == "flock")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def start_holder(path: Path, *, flock: bool) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *([] if flock else ["no flock"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_holder_at_a_time(tmp_path: Path, either: bool) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with FileLock(path) as lock:
        assert lock.supported == either
        assert is_locked(path)
        with pytest.raises(BlockingIOError), FileLock(path):
            pass
        assert is_locked(path)
    assert not is_locked(path) and path.read_bytes() == b""
    with FileLock(path, remove=True):
        pass
    assert not path.exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, either: bool) -> None:
    path = tmp_path / "lock"
    with start_holder(path, flock=either) as process:
        assert is_locked(path)
        with pytest.raises(BlockingIOError), FileLock(path):
            pass
        process.send_signal(signal.SIGKILL)
    assert not is_locked(path)
    with FileLock(path):
        assert is_locked(path)


def test_a_lock_is_waited_for(tmp_path: Path, either: bool) -> None:
    path = tmp_path / "lock"
    with start_holder(path, flock=either) as process:
        assert process.stdin is not None
        threading.Timer(0.1, process.stdin.close).start()
        lock = FileLock(path)
        lock.acquire(patience=60.0)
        lock.release()


def test_a_file_that_its_last_holder_removed_meanwhile_is_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    last = FileLock(path, remove=True)
    last.acquire()
    flock = fcntl.flock

    def released_before(fd: int, operation: int) -> None:
        last.release()  # after the next one has opened the file
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", released_before)
    with FileLock(path, remove=True):
        assert is_locked(path)
        with pytest.raises(BlockingIOError), FileLock(path):
            pass


def test_of_many_threads_one_holds_it(tmp_path: Path, either: bool) -> None:
    path = tmp_path / "lock"
    at_once: list[int] = []
    inside = 0

    def work() -> None:
        nonlocal inside
        lock = FileLock(path, remove=True)
        lock.acquire(patience=60.0)
        inside += 1
        at_once.append(inside)
        time.sleep(0.002)  # so that another one would be seen
        inside -= 1
        lock.release()

    threads = [threading.Thread(target=work) for _n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert at_once == [1] * 8


@pytest.mark.parametrize(
    ("changes", "locked"),
    [
        ({}, True),
        ({"host": "elsewhere.example"}, True),
        ({"began": 1}, False),
        ({"pid": 2**22 + 1}, False),
        ({"pid": "x"}, False),
    ],
    ids=["runs", "another host", "the id was used again", "ended", "no record"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the start of a process is read from /proc")
def test_without_flock_the_record_decides(
    tmp_path: Path, no_flock: None, changes: dict[str, object], locked: bool
) -> None:
    path = tmp_path / "lock"
    record = {"host": socket.gethostname(), "pid": os.getpid(), "began": process_start(os.getpid())}
    path.write_text(json.dumps(record | changes))
    assert is_locked(path) == locked


def test_the_record_of_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert read_record(path) == {} and not is_foreign(path)
    with FileLock(path) as lock:
        assert read_record(path) == {}
        lock.write({"pid": 1, "more": "x" * 100})
        lock.write({"pid": 2})
        assert read_record(path) == {"pid": 2} and not is_foreign(path)
    path.write_text("something of a person's\n")
    assert read_record(path) == {} and is_foreign(path)


def test_a_question_is_stored_without_flock(
    home: Path, no_flock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faults.running() as server, Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        for option in ("--save", "--continue"):
            assert cli.run(["ask", "Hi", option, "--base-url", server.base_url]) == 0
    with open_store(home / "data") as store:
        chat = store.conversations.last()
        assert chat is not None
        nodes = store.messages.path(chat.id)
    assert [node.state for node in nodes] == [MessageState.COMPLETE] * 4
    assert list((home / "data" / "writers").iterdir()) == []


def test_an_answer_of_a_store_that_is_open_is_left_alone(tmp_path: Path, no_flock: None) -> None:
    with open_store(tmp_path) as one:
        answer = one.messages.begin(one.conversations.create().id)
        with open_store(tmp_path) as two:
            assert two.messages.get(answer.id).state is MessageState.STREAMING
        one.messages.checkpoint(answer.id, "more")


def test_a_store_that_is_being_opened_elsewhere(
    tmp_path: Path, no_flock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_opening, "DOOR_SECONDS", 0.1)
    lock = tmp_path / "chats.lock"
    lock.write_text(json.dumps({"host": "far.example", "pid": 1}))
    with pytest.raises(StoreError, match=f"none runs on far.example, remove {lock}") as caught:
        open_store(tmp_path)
    assert caught.value.problem is StoreProblem.BUSY
    lock.unlink()
    with door(tmp_path), pytest.raises(StoreError, match="has been opening"), door(tmp_path):
        pass


def test_the_servers_are_listed_without_flock(
    home: Path, no_flock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = ServerRegistry(Paths.find())
    with registry.acquire("demo"):
        assert cli.run(["status"]) == 0
        assert registry.is_locked("demo")
        supervisor = registry.supervisor("demo")
        assert supervisor is not None and supervisor.pid == os.getpid()
        with (
            pytest.raises(UsageError, match="named demo is already running"),
            registry.acquire("demo"),
        ):
            pass
    assert not registry.is_locked("demo")
    assert "Traceback" not in capsys.readouterr().err


def test_a_batch_runs_without_flock_and_refuses_a_second(
    home: Path, no_flock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.jsonl").write_text('"a"\n"b"\n')
    with faults.running() as server:
        command = ["batch", "in.jsonl", "--base-url", server.url]
        with RunLock(Path("in.results.lock").absolute()):
            assert cli.run(command) == 2
            error = capsys.readouterr().err
            assert f"PID {os.getpid()} on" in error and "If it no longer runs, remove" in error
        assert cli.run(command) == 0
    assert len(Path("in.results.jsonl").read_text().splitlines()) == 2
    assert not Path("in.results.lock").exists()
