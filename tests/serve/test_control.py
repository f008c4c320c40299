"""`qchat stop`, `qchat logs`, `qchat status` on servers that are records, locks and processes."""

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from qchat.serve import control, lock, records
from qchat.serve.lock import LockHolder
from qchat.serve.records import ServerRecord, ServerRegistry

from qchat import cli
from qchat.errors import EngineError, UsageError
from qchat.processes import alive
from qchat.settings import Paths

from .stand_in import RECORD

NO_PROC = "who a process is, is read from Linux's /proc"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason=NO_PROC)
# Holds the lock of a server, as a supervisor that has not written its record yet.
HOLDER = """
import signal, sys, time
from pathlib import Path
from qchat.serve.records import ServerRegistry
from qchat.settings import Paths
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with ServerRegistry(Paths.find()).held(sys.argv[1]):
    print(flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store() -> ServerRegistry:
    return ServerRegistry(Paths.find())


@contextlib.contextmanager
def process(code: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as one:
        try:
            assert one.stdout is not None and one.stdout.readline() == "\n"
            # Its end is to be seen as anybody would: not as a zombie of this process.
            threading.Thread(target=one.wait, daemon=True).start()
            yield one
        finally:
            one.kill()


SLEEPER = "import time; print(flush=True); time.sleep(60)"


def record(name: str = "demo", state: str = records.READY, supervisor: int = 1) -> ServerRecord:
    return replace(
        RECORD, name=name, state=state, supervisor=supervisor, mark=f"no such mark {name}"
    )


@LINUX
def test_stop_ends_who_holds_the_lock_and_not_whom_an_old_record_names(
    store: ServerRegistry,
) -> None:
    """The record is of a start that failed; its process id belongs to somebody else by now."""
    with process(SLEEPER) as stranger, process(HOLDER, "demo", "well") as supervisor:
        store.write(record(state=records.FAILED, supervisor=stranger.pid))
        assert cli.run(["stop", "demo"]) == 0
        assert alive([stranger.pid, supervisor.pid]) == [stranger.pid]
    assert store.all() == [] and not store.is_held("demo")


def stand_in_lock(home: Path, holder: LockHolder) -> None:
    (home / "state" / "servers" / "demo.lock").write_text(json.dumps(asdict(holder)))


@LINUX
@pytest.mark.parametrize(
    "other",
    [{"began": 1}, {"boot": "another"}, {"space": "pid:[1]"}],
    ids=["its id was used again", "another machine", "another container"],
)
def test_no_process_is_signalled_that_is_not_the_supervisor(
    home: Path, store: ServerRegistry, other: dict[str, str]
) -> None:
    with process(SLEEPER) as stranger, store.held("demo"):
        store.write(record())
        stand_in_lock(home, replace(LockHolder.me(), pid=stranger.pid, **other))  # type: ignore[arg-type]
        holder = store.supervisor("demo")
        assert holder is not None
        assert holder.signal(signal.SIGKILL) == ("began" in other)
        assert alive([stranger.pid]) == [stranger.pid]


def test_a_server_of_another_machine_is_left_alone(
    home: Path, store: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(record())
    stand_in_lock(home, replace(LockHolder.me(), host="far.example", boot="another", space="x"))
    store.sweep()
    assert store.read("demo") == record()
    assert cli.run(["stop", "demo"]) == 3
    assert "demo was started on far.example: stop it there." in capsys.readouterr().err
    assert store.read("demo") == record()


@LINUX
def test_all_are_asked_before_one_is_waited_for_and_the_others_end_in_any_case(
    home: Path,
    store: ServerRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("qchat.serve.supervisor.PATIENCE", -4.5)
    asked: list[str] = []
    ask, finish = control._ask, control._finish

    def finished(
        store: ServerRegistry, record: ServerRecord, holder: LockHolder | None
    ) -> str | None:
        asked.append("wait")
        return finish(store, record, holder)

    def note(store: ServerRegistry, name: str, signum: int) -> LockHolder | None:
        asked.append(name)
        return ask(store, name, signum)

    monkeypatch.setattr(control, "_ask", note)
    monkeypatch.setattr(control, "_finish", finished)
    with process(HOLDER, "b", "deaf") as deaf, process(HOLDER, "c", "well") as well:
        for name in "abc":
            store.write(record(name, state=records.FAILED))
        (home / "state" / "servers" / "a.lock").write_text(
            json.dumps(asdict(replace(LockHolder.me(), host="far", boot="far", space="x")))
        )
        assert cli.run(["stop", "--all"]) == 3
        assert alive([deaf.pid, well.pid]) == []
    assert asked == ["a", "b", "c", "wait", "wait", "wait"]
    said = capsys.readouterr()
    assert said.out == "b has stopped.\nc has stopped.\n" and "a was started on far" in said.err
    assert [one.name for one in store.all()] == ["a"]


def test_a_record_of_a_newer_server_is_not_removed_for_an_older_one(store: ServerRegistry) -> None:
    old = record()
    store.write(replace(old, mark="a newer one"))
    assert store.forget(old) and store.read("demo") is not None
    store.write(old)
    with store.held("demo"):
        assert not store.forget(old)
    assert store.forget(old) and store.read("demo") is None


def test_who_only_looks_is_not_in_the_way_of_a_start(home: Path, store: ServerRegistry) -> None:
    looked = threading.Event()
    with contextlib.ExitStack() as looking:
        looking.enter_context(lock.held(home / "state" / "servers" / "demo.lock", named=False))
        threading.Timer(0.05, lambda: (looked.set(), looking.close())).start()
        with store.held("demo"):
            assert looked.is_set()
            with pytest.raises(UsageError, match="runs already"), store.held("demo"):
                pass
    assert store.supervisor("demo") == LockHolder.me()


def test_a_last_line_without_an_end_is_printed(
    store: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    store.new_log("demo").write_text("one\nValueError: two")
    assert cli.run(["logs", "demo"]) == 0
    assert capsys.readouterr().out == "one\nValueError: two\n"


@pytest.mark.parametrize(
    ("host", "other", "meets"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("::", "10.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_two_that_start_do_not_share_a_port(
    store: ServerRegistry, host: str, other: str, meets: bool
) -> None:
    """Nobody listens there yet, and vLLM would let both do so."""
    one = replace(record(), host=host, port=21)
    two = replace(record("two"), host=other, port=21)
    with store.held(one.name), store.held(two.name):
        store.register(one)
        if meets:
            with pytest.raises(UsageError, match=r"that of the server demo \(ready\)"):
                store.register(two)
            assert store.read("two") is None
        else:
            store.register(two)
        store.register(replace(two, port=22))
    store.register(replace(two, port=21))  # the first has ended, whatever its record says
    store.register(one)


def test_a_log_that_is_kept_is_not_another_servers(store: ServerRegistry) -> None:
    """Such as that of Llama-3 and of Llama-3.1, when it was Llama-3.1.log."""
    for name in ("demo", "demo.1", "demo.log.1", "demo.log"):
        store.new_log(name).write_text(f"{name}\n")
    store.new_log("demo")
    for name in ("demo.1", "demo.log.1", "demo.log"):
        assert store.log(name).read_text() == f"{name}\n"
    store.log("demo").write_text("x" * 100)
    assert store.bound_log("demo", 50)
    for name in ("demo.1", "demo.log.1", "demo.log"):
        assert store.log(name).read_text() == f"{name}\n"


def test_a_lock_that_can_not_be_written(
    store: ServerRegistry, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk, or one that can only be read: a folder stands there in its place."""
    store.write(record())
    store.new_log("demo").write_text("vLLM's words\n")
    (lock := home / "state" / "servers" / "demo.lock").mkdir()
    assert cli.run(["status"]) == 0 and cli.run(["logs"]) == 0
    out = capsys.readouterr().out
    assert "demo" in out and "vLLM's words" in out
    said = f"Can't write {lock}, which says what runs: Is a directory."
    assert cli.run(["stop", "demo"]) == 3
    assert f"Error: demo has stopped, but: {said}\n" == capsys.readouterr().err
    with pytest.raises(EngineError, match=re.escape(said)), store.held("demo"):
        pass


def test_a_lock_on_a_full_disk(store: ServerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("qchat.locks.os.pwrite", full)
    with pytest.raises(EngineError, match="No space left on device"), store.held("demo"):
        pass


def test_the_last_lines_of_a_log(store: ServerRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    store.new_log("demo").write_text("1 ERROR\n2\n3 ERROR\n4\n5")
    for words, said in (
        (["-n", "2"], "4\n5\n"),
        (["--lines", "0"], ""),
        (["-n", "9"], "1 ERROR\n2\n3 ERROR\n4\n5\n"),
        (["-n", "1", "--errors"], "3 ERROR\n"),
    ):
        assert cli.run(["logs", "demo", *words]) == 0
        assert capsys.readouterr().out == said
    assert cli.run(["logs", "-n", "-1"]) == 2


def test_the_last_lines_and_those_that_come(store: ServerRegistry) -> None:
    log = store.new_log("demo")
    log.write_text("old\nlast\n")
    command = [sys.executable, "-m", "qchat", "logs", "demo", "-n", "1", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None and follower.stdout.readline() == "last\n"
            with log.open("a") as vllm:
                vllm.write("new\n")
            assert follower.stdout.readline() == "new\n"
        finally:
            follower.kill()


def test_what_only_speaks_of_errors_is_none(
    store: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [
        "(EngineCore pid=1) ERROR 11-25 02:02:14 [core.py:1] RuntimeError: the engine is dead",
        "Traceback (most recent call last):",
        "ValueError: no weights",
        "[rank0]: torch.OutOfMemoryError: CUDA out of memory",
    ]
    others = [
        "Found ulimit of 20000 and failed to automatically increase with error current limit "
        "exceeds maximum limit. This can cause fd limit errors like `OSError: [Errno 24] Too many "
        "open files`. Consider increasing with ulimit -n",
        "(APIServer pid=7) WARNING 11-25 17:32:47 [a.py:1] fell back after ImportError: no triton",
        '(APIServer pid=7) INFO:     127.0.0.1:5 - "GET /ERROR HTTP/1.1" 404 Not Found',
    ]
    store.new_log("demo").write_text("".join(f"{line}\n" for line in errors + others))
    assert cli.run(["logs", "demo", "--errors"]) == 0
    assert capsys.readouterr().out.splitlines() == errors


def test_a_log_has_a_bound(home: Path, store: ServerRegistry) -> None:
    log = store.new_log("demo")
    with log.open("ab") as vllm:
        vllm.write(b"x" * 100)
        vllm.flush()
        assert not store.bound_log("demo", 100)
        vllm.write(b"y")
        vllm.flush()
        assert store.bound_log("demo", 100)
        vllm.write(b"z")
    assert log.read_bytes() == b"z"
    old = log.with_name("demo.log.1")
    assert old.read_bytes() == b"x" * 100 + b"y" and old.stat().st_mode & 0o777 == 0o600
    assert not store.bound_log("none", 100)


def test_what_others_wrote_is_shown_as_text(
    store: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(replace(record(state=records.FAILED), message="bad\x1b[2Jworse\nworst"))
    assert cli.run(["status"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "demo: badworse worst" in out


@LINUX
def test_a_supervisor_that_is_of_nobody_is_told(store: ServerRegistry, home: Path) -> None:
    with store.held("demo"):
        store.write(record())
        stand_in_lock(home, replace(LockHolder.me(), pid=os.getpid(), space="pid:[1]"))
        with pytest.raises(EngineError, match="can't be ended from here"):
            control._stop(store, [record()])
