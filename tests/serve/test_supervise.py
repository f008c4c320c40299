"""Looking after a server, with a stand-in that crashes and hangs on order; real vLLM is in e2e."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve import records, tree
from qchat.serve.phases import Phase, Progress, Step, Tail, downloaded, read
from qchat.serve.plan import Order, Plan, make
from qchat.serve.records import Record, Store
from qchat.serve.supervise import Supervisor, instead

from qchat.errors import EngineError, Exit, UsageError
from qchat.machine import Machine
from qchat.processes import family, running
from qchat.settings import Paths

# vLLM's servers run on Linux; elsewhere there is no /proc to find a marked process in.
MARKED = pytest.mark.skipif(
    sys.platform != "linux", reason="a server's processes are found by a mark read from /proc"
)

# Says and answers what vLLM does at the end of its start, and leaves a grandchild that no signal
# to its parent reaches.
STANDIN = """
import http.server, os, signal, subprocess, sys, threading, time
port, orders = int(sys.argv[1]), sys.argv[2].split(",")
count = os.path.join(sys.argv[3], "starts")
with open(count, "a") as file:
    file.write("x")
n = os.path.getsize(count)
order = orders[min(n, len(orders)) - 1]
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
if order == "broken":
    print("ValueError: something is wrong with the model", flush=True)
    sys.exit(1)
if order == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("INFO:     Application startup complete.", flush=True)
if order == "crash":
    time.sleep(0.3)
    print("(EngineCore pid=1) ERROR 11-25 02:02:14 [core.py:1] "
          "RuntimeError: the engine is dead", flush=True)
    os._exit(0)
time.sleep(600)
"""


class Standin(Plan):
    """A plan whose process is the script above."""

    def command(self, parent: int | None = None) -> list[str]:
        return [sys.executable, *self.launcher]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Paths.find({"QCHAT_HOME": str(tmp_path / "home")}))


def standin(tmp_path: Path, port: int, orders: str) -> Standin:
    script = tmp_path / "standin.py"
    script.write_text(STANDIN)
    real = make(Order("demo", port=port), Machine((), 9000, 8000, 2), {})
    values = {name: getattr(real, name) for name in Plan.__slots__}
    values["launcher"] = (str(script), str(port), orders, str(tmp_path))
    return Standin(**values)


def interrupt_when(done: Callable[[], bool], signum: int = signal.SIGTERM) -> threading.Thread:
    """Send this process a signal as soon as `done` says so."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not done() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signum)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def state(store: Store) -> str:
    record = store.read("demo")
    return "" if record is None else record.state


def mark_of(store: Store) -> str:
    record = store.read("demo")
    assert record is not None
    return record.mark


@MARKED
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)]
)
def test_from_start_to_stop(
    tmp_path: Path, store: Store, signum: int, code: Exit, unused_port: int
) -> None:
    steps: list[Phase] = []
    marks: list[str] = []

    def report(step: Step) -> None:
        steps.append(step.phase)
        if step.phase is Phase.READY:
            marks.append(mark_of(store))
            assert len(tree.members(None, marks[0])) == 2  # the stand-in and its grandchild
            assert store.is_held("demo")

    plan = standin(tmp_path, unused_port, "well")
    thread = interrupt_when(lambda: state(store) == records.READY and bool(marks), signum)
    assert Supervisor(plan, store, report).run() == code
    thread.join()
    assert steps == [Phase.IMPORT, Phase.READY]
    assert tree.members(None, marks[0]) == []
    assert store.all() == [] and not store.is_held("demo")


@MARKED
def test_a_crash_is_followed_by_a_start_and_it_is_said(
    tmp_path: Path, store: Store, unused_port: int
) -> None:
    plan = standin(tmp_path, unused_port, "crash,well")
    thread = interrupt_when(
        lambda: (
            (r := store.read("demo")) is not None and r.state == records.READY and r.restarts == 1
        )
    )
    code = Supervisor(plan, store, lambda _step: None, delay=0.05).run()
    thread.join()
    assert code == Exit.TERMINATED
    assert (tmp_path / "starts").read_text() == "xx"
    assert "the engine is dead); start 1 of 5" in store.log("demo").read_text()


@MARKED
def test_a_server_that_always_crashes_is_given_up(
    tmp_path: Path, store: Store, unused_port: int
) -> None:
    plan = standin(tmp_path, unused_port, "crash")
    with pytest.raises(EngineError, match=r"ended 6 times serving demo: the engine is dead"):
        Supervisor(plan, store, lambda _step: None, delay=0.01).run()
    assert (tmp_path / "starts").read_text() == "x" * 6
    record = store.read("demo")
    assert record is not None and record.state == records.FAILED
    assert tree.members(None, record.mark) == []


@MARKED
def test_a_start_that_fails_is_not_tried_again(
    tmp_path: Path, store: Store, unused_port: int
) -> None:
    plan = standin(tmp_path, unused_port, "broken")
    with pytest.raises(EngineError, match=r"something is wrong with the model.*qchat logs demo"):
        Supervisor(plan, store, lambda _step: None, delay=0.01).run()
    assert (tmp_path / "starts").read_text() == "x"
    assert tree.members(None, mark_of(store)) == []


@MARKED
def test_one_that_ignores_sigterm_is_killed(
    tmp_path: Path, store: Store, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervise.PATIENCE", 0.3)
    marks: list[str] = []
    plan = standin(tmp_path, unused_port, "deaf")
    thread = interrupt_when(lambda: bool(marks))

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            marks.append(mark_of(store))

    Supervisor(plan, store, report).run()
    thread.join()
    assert tree.members(None, marks[0]) == []


def test_a_second_server_of_the_same_name(tmp_path: Path, store: Store, unused_port: int) -> None:
    plan = standin(tmp_path, unused_port, "well")
    with store.held("demo"), pytest.raises(UsageError, match="named demo runs already"):
        Supervisor(plan, store, lambda _step: None).run()


@MARKED
def test_what_a_killed_supervisor_leaves_is_swept(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "qchat-serve-x"
    folder.mkdir()
    store.write(record(temporary=str(folder)))
    kept = tmp_path / "precious"
    kept.mkdir()
    store.write(replace(record(temporary=str(kept)), name="other"))
    store.sweep()
    assert store.all() == [] and not folder.exists() and kept.exists()


def test_records_are_private_and_a_broken_one_is_none(tmp_path: Path, store: Store) -> None:
    store.write(record())
    file = next((tmp_path / "home" / "state" / "servers").glob("*.json"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert store.read("demo") == record()
    file.write_text("{")
    assert store.read("demo") is None and store.all() == []


def test_a_full_disk_keeps_the_record_that_was_there(tmp_path: Path, store: Store) -> None:
    store.write(record())
    folder = tmp_path / "home" / "state" / "servers"
    before = set(folder.iterdir())
    (folder / f"demo.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(EngineError, match="No space left on device"):
        store.write(replace(record(), state=records.STOPPING))
    assert store.read("demo") == record() and set(folder.iterdir()) == before


def record(temporary: str = "/nowhere") -> Record:
    return Record(
        name="demo",
        model="demo",
        served_name="demo",
        url="http://127.0.0.1:1",
        host="127.0.0.1",
        port=1,
        key="none",
        state=records.READY,
        started=0.0,
        supervisor=1,
        mark="x",
        temporary=temporary,
        log="/nowhere/log",
    )


@MARKED
def test_foreign_processes_are_seen_and_ours_are_not() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)", "vllm.entrypoints.stand-in"]
    with subprocess.Popen(sleep, env={**os.environ, tree.MARK: "ours"}) as process:
        try:
            assert process.pid in dict(tree.foreign([]))
            assert process.pid not in dict(tree.foreign(["ours"]))
            assert tree.members(None, "ours") == [process.pid]
            assert tree.stop(None, "ours", 0.0) == []
            assert running([process.pid]) == []
        finally:
            process.kill()


@MARKED
def test_a_process_without_its_environment_is_known_by_its_parent() -> None:
    """vLLM's engine writes its title over its environment."""
    program = """
import subprocess, sys
with subprocess.Popen(
    [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)", "VLLM::EngineCore"],
    env={},
) as child:
    child.wait()
"""
    environ = {**os.environ, tree.MARK: "ours"}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"\n"
            (child,) = family([process.pid])[1:]
            assert child in dict(tree.foreign([]))
            assert not {process.pid, child} & set(dict(tree.foreign(["ours"])))
            assert tree.members(None, "ours") == sorted([process.pid, child])
        finally:
            assert tree.stop(None, "ours", 0.0) == []


class TestPhases:
    @pytest.mark.parametrize(
        ("line", "step"),
        [
            ("INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0) with", Step(Phase.ENGINE)),
            ("Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00",
             Step(Phase.WEIGHTS, "1 of 2 files")),
            ("INFO [kv_cache_utils.py:2327] CPU KV cache size: 262,144 tokens, Maximum",
             Step(Phase.COMPILE, "KV cache of 262,144 tokens")),
            ("INFO:     Application startup complete.", Step(Phase.READY)),
            ("INFO [model.py:733] Resolved architecture: Qwen3ForCausalLM", None),
        ],
    )  # fmt: skip
    def test_lines_of_vllm(self, line: str, step: Step | None) -> None:
        assert read(line) == step

    def test_it_goes_forward_only(self) -> None:
        progress = Progress()
        assert progress.feed(["Application startup complete"])
        assert not progress.feed(["Starting to load model x", "nothing"])
        assert progress.step.phase is Phase.READY

    def test_tail_gives_whole_lines_once(self, tmp_path: Path) -> None:
        file = tmp_path / "log"
        tail = Tail(file)
        assert tail.lines() == []
        file.write_text("one\ntw")
        assert tail.lines() == ["one"]
        with file.open("a") as more:
            more.write("o\rthree\n")
        assert tail.lines() == ["two", "three"]

    def test_bytes_that_have_come(self, tmp_path: Path) -> None:
        blobs = tmp_path / "models--a--b" / "blobs"
        blobs.mkdir(parents=True)
        environ = {"HF_HUB_CACHE": str(tmp_path)}
        (blobs / "done").write_bytes(b"x" * 10)
        assert downloaded("a/b", environ) is None
        (blobs / "next.incomplete").write_bytes(b"x" * 5)
        assert downloaded("a/b", environ) == 15
        assert downloaded("none", environ) is None


@pytest.mark.parametrize(
    ("log", "command"),
    [
        ("the estimated maximum model length is 9871.", "--max-model-len 9216"),
        ("Free memory on device cuda:0 (20.1/24.0 GiB) on startup", "utilization 0.82"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "-- --max-num-seqs 64"),
        ("Free memory on device cuda:0 (0.3/24.0 GiB) on startup", None),
        ("something else", None),
    ],
)
def test_the_command_to_try_instead(log: str, command: str | None, tmp_path: Path) -> None:
    said = instead(make(Order("demo"), Machine((), 9000, 8000, 2), {}), log)
    assert (said is None) == (command is None)
    assert command is None or (said is not None and re.search(command, said))
