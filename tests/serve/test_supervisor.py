"""Looking after a server, with a stand-in that crashes and hangs on order; real vLLM is in e2e."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qchat.serve import ports, records
from qchat.serve import process_tree as tree
from qchat.serve.phases import LogTail, Phase, StartProgress, Step, downloaded, read
from qchat.serve.plan import ServeOptions, ServePlan, make
from qchat.serve.records import ServerRecord, ServerRegistry
from qchat.serve.supervisor import Supervisor, instead

from qchat.engine.machine import Machine
from qchat.errors import EngineError, Exit, UsageError
from qchat.processes import alive, process_family
from qchat.settings import Paths

from .stand_in import RECORD

# vLLM's servers run on Linux; elsewhere there is no /proc to find a marked process in.
NO_PROC = "a server's processes are found by a mark read from Linux's /proc"
MARKED = pytest.mark.skipif(sys.platform != "linux", reason=NO_PROC)

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
if order == "usage":
    print("vllm: error: unrecognized arguments: --no-such-option", flush=True)
    sys.exit(2)
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
if order != "quiet":
    print("INFO:     Application startup complete.", flush=True)
if order == "crash":
    time.sleep(0.3)
    print("(EngineCore pid=1) ERROR 11-25 02:02:14 [core.py:1] "
          "RuntimeError: the engine is dead", flush=True)
    os._exit(0)
time.sleep(600)
"""


class Standin(ServePlan):
    """A plan whose process is the script above."""

    def command(self, parent: int | None = None) -> list[str]:
        return [sys.executable, *self.launcher]


@pytest.fixture
def store(tmp_path: Path) -> ServerRegistry:
    return ServerRegistry(Paths.find({"QCHAT_HOME": str(tmp_path / "home")}))


def standin(tmp_path: Path, port: int, orders: str) -> Standin:
    script = tmp_path / "standin.py"
    script.write_text(STANDIN)
    real = make(ServeOptions("demo", port=port), Machine((), 9000, 8000, 2), {})
    values = {name: getattr(real, name) for name in ServePlan.__slots__}
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


def state(store: ServerRegistry) -> str:
    record = store.read("demo")
    return "" if record is None else record.state


def mark_of(store: ServerRegistry) -> str:
    record = store.read("demo")
    assert record is not None
    return record.mark


@MARKED
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)]
)
def test_from_start_to_stop(
    tmp_path: Path, store: ServerRegistry, signum: int, code: Exit, unused_port: int
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
    tmp_path: Path, store: ServerRegistry, unused_port: int
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
def test_a_server_whose_record_can_not_be_written_any_more_is_kept_up(
    tmp_path: Path, store: ServerRegistry, unused_port: int
) -> None:
    """As on a disk that has become full: a folder stands in the record's place."""
    ready: list[int] = []

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            if not ready:
                store.file("demo").unlink()
                store.file("demo").mkdir()
            ready.append(len(ready))

    plan = standin(tmp_path, unused_port, "crash,well")
    thread = interrupt_when(lambda: len(ready) == 2)
    assert Supervisor(plan, store, report, delay=0.01).run() == Exit.TERMINATED
    thread.join()
    assert len(ready) == 2 and not store.is_held("demo")


@MARKED
def test_a_server_that_always_crashes_is_given_up(
    tmp_path: Path, store: ServerRegistry, unused_port: int
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
    tmp_path: Path, store: ServerRegistry, unused_port: int
) -> None:
    plan = standin(tmp_path, unused_port, "broken")
    with pytest.raises(EngineError, match=r"something is wrong with the model.*qchat logs demo"):
        Supervisor(plan, store, lambda _step: None, delay=0.01).run()
    assert (tmp_path / "starts").read_text() == "x"
    assert tree.members(None, mark_of(store)) == []


@MARKED
def test_one_that_ignores_sigterm_is_killed(
    tmp_path: Path, store: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervisor.PATIENCE", 0.3)
    marks: list[str] = []
    plan = standin(tmp_path, unused_port, "deaf")
    thread = interrupt_when(lambda: bool(marks))

    def report(step: Step) -> None:
        if step.phase is Phase.READY:
            marks.append(mark_of(store))

    Supervisor(plan, store, report).run()
    thread.join()
    assert tree.members(None, marks[0]) == []


@MARKED
def test_a_server_without_its_engine_is_not_waited_for_long() -> None:
    """vLLM ends its engine first and then waits for clients who wait for answers. Were all of the
    patience spent on it, this would not end."""
    deaf = "trap '' TERM; (exec -a VLLM::EngineCore sleep 600) & echo $!; while :; do wait; done"
    with subprocess.Popen(["bash", "-c", deaf], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        engine = int(server.stdout.readline())
        while b"VLLM::" not in Path(f"/proc/{engine}/cmdline").read_bytes():
            time.sleep(0.01)

        def end_the_engine() -> bool:
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)
            return False

        try:
            assert tree.stop(server.pid, "no such mark", 10_000.0, end_the_engine) == []
        finally:
            server.kill()
    assert server.returncode == -signal.SIGKILL


def test_a_second_server_of_the_same_name(
    tmp_path: Path, store: ServerRegistry, unused_port: int
) -> None:
    plan = standin(tmp_path, unused_port, "well")
    with store.held("demo"), pytest.raises(UsageError, match="named demo runs already"):
        Supervisor(plan, store, lambda _step: None).run()


@MARKED
def test_a_second_server_on_the_same_port(
    tmp_path: Path, store: ServerRegistry, unused_port: int
) -> None:
    """The first has not come so far as to listen."""
    plan = standin(tmp_path, unused_port, "well")
    other = replace(RECORD, name="other", port=unused_port, state=records.STARTING)
    with store.held("other"):
        store.register(other)
        with pytest.raises(UsageError, match=r"is that of the server other \(starting\)"):
            Supervisor(plan, store, lambda _step: None).run()
    assert not (tmp_path / "starts").exists() and store.read("demo") is None


def test_what_a_killed_supervisor_leaves_is_swept(tmp_path: Path, store: ServerRegistry) -> None:
    folder = tmp_path / "qchat-serve-x"
    folder.mkdir()
    store.write(record(temporary=str(folder)))
    kept = tmp_path / "precious"
    kept.mkdir()
    store.write(replace(record(temporary=str(kept)), name="other"))
    store.sweep()
    assert store.all() == [] and not folder.exists() and kept.exists()


def test_records_are_private_and_a_broken_one_is_none(
    tmp_path: Path, store: ServerRegistry
) -> None:
    store.write(record())
    file = next((tmp_path / "home" / "state" / "servers").glob("*.json"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert store.read("demo") == record()
    file.write_text("{")
    assert store.read("demo") is None and store.all() == []


def test_a_full_disk_keeps_the_record_that_was_there(
    tmp_path: Path, store: ServerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.write(record())
    folder = tmp_path / "home" / "state" / "servers"
    before = set(folder.iterdir())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="No space left on device"):
        store.write(replace(record(), state=records.STOPPING))
    assert store.read("demo") == record() and set(folder.iterdir()) == before


def record(temporary: str = "/nowhere") -> ServerRecord:
    return replace(RECORD, temporary=temporary)


@MARKED
def test_foreign_processes_are_seen_and_ours_are_not(tmp_path: Path) -> None:
    script = tmp_path / "vllm"
    script.write_text("import time; time.sleep(60)")
    sleep = [sys.executable, str(script), "serve"]
    with subprocess.Popen(sleep, env={**os.environ, tree.MARK: "ours"}) as process:
        try:
            assert process.pid in dict(tree.foreign([]))
            assert process.pid not in dict(tree.foreign(["ours"]))
            assert tree.members(None, "ours") == [process.pid]
            assert tree.stop(None, "ours", 0.0) == []
            assert alive([process.pid]) == []
        finally:
            process.kill()


@MARKED
def test_a_process_without_its_environment_is_known_by_its_parent() -> None:
    """vLLM's engine writes its title over its environment."""
    program = """
import subprocess, sys
with subprocess.Popen(
    ["VLLM::EngineCore", "-c", "print(flush=True); import time; time.sleep(60)"],
    executable=sys.executable,
    env={},
) as child:
    child.wait()
"""
    environ = {**os.environ, tree.MARK: "ours"}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"\n"
            (child,) = process_family([process.pid])[1:]
            assert child in dict(tree.foreign([]))
            assert not {process.pid, child} & set(dict(tree.foreign(["ours"])))
            assert tree.members(None, "ours") == sorted([process.pid, child])
        finally:
            assert tree.stop(None, "ours", 0.0) == []


@MARKED
def test_a_server_is_ready_when_it_answers_whatever_its_log_says(
    tmp_path: Path, store: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--uvicorn-log-level warning leaves out the line that says so."""
    monkeypatch.setattr("qchat.serve.supervisor.ASK", 0.05)
    plan = standin(tmp_path, unused_port, "quiet")
    thread = interrupt_when(lambda: state(store) == records.READY)
    assert Supervisor(plan, store, lambda _step: None).run() == Exit.TERMINATED
    thread.join()


@MARKED
def test_a_server_of_somebody_else_is_not_taken_for_ours(
    tmp_path: Path, store: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervisor.ASK", 0.01)
    asked: list[object] = []
    monkeypatch.setattr(Supervisor, "_is_well", lambda _self, *_seconds: True)
    monkeypatch.setattr(
        "qchat.serve.ports.listener",
        lambda port: asked.append(port) or ports.Listener(os.getpid(), "we"),
    )
    plan = standin(tmp_path, unused_port, "quiet")
    thread = interrupt_when(lambda: len(asked) > 2)
    reported: list[Phase] = []
    code = Supervisor(plan, store, lambda step: reported.append(step.phase)).run()
    thread.join()
    assert code == Exit.TERMINATED and reported == [Phase.IMPORT]


@MARKED
def test_an_account_without_a_name_and_a_child_that_was_waited_for(
    tmp_path: Path, store: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    first: list[int | None] = []
    stop = tree.stop

    def noted(pid: int | None, *more: Any) -> list[int]:
        first.append(pid)
        return stop(pid, *more)

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("qchat.serve.process_tree.stop", noted)
    with pytest.raises(EngineError, match="something is wrong with the model"):
        Supervisor(standin(tmp_path, unused_port, "broken"), store, lambda _step: None).run()
    assert first and set(first) == {None}  # its id may be another's


@MARKED
def test_a_log_that_grows_is_cut_while_the_server_runs(
    tmp_path: Path, store: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.serve.supervisor.LOOK_AT_LOG", 0.02)
    monkeypatch.setattr("qchat.serve.supervisor.MOST_LOG", 10)
    old = store.log("demo").with_name("demo.log.1")
    plan = standin(tmp_path, unused_port, "crash,well")
    thread = interrupt_when(lambda: state(store) == records.READY and old.exists())
    Supervisor(plan, store, lambda _step: None, delay=0.01).run()
    thread.join()
    assert "startup complete" in old.read_text()
    assert store.log("demo").stat().st_size < 10


@MARKED
def test_the_record_says_how_far_the_logs_clock_is_from_utc(
    tmp_path: Path, store: ServerRegistry, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says it anew where summer time begins."""
    clock = {"ahead": 3600}
    said: list[int | None] = []
    seen: list[int | None] = []
    monkeypatch.setattr("qchat.serve.supervisor.LOOK_AT_LOG", 0.02)
    monkeypatch.setattr("qchat.serve.supervisor._utc_offset", lambda: clock["ahead"])

    def ahead() -> int | None:
        return None if (found := store.read("demo")) is None else found.utc_offset

    def report(step: Step) -> None:
        said.append(ahead())
        if step.phase is Phase.READY:
            clock["ahead"] = 7200

    def is_summer() -> bool:
        found = ahead()
        seen.append(found)
        return found == 7200

    thread = interrupt_when(is_summer)
    assert Supervisor(standin(tmp_path, unused_port, "well"), store, report).run()
    thread.join()
    assert said == [3600, 3600] and seen[-1] == 7200


@MARKED
def test_words_that_vllm_does_not_take_are_wrong_usage(
    tmp_path: Path, store: ServerRegistry, unused_port: int
) -> None:
    with pytest.raises(UsageError, match="does not know the option --no-such-option"):
        Supervisor(standin(tmp_path, unused_port, "usage"), store, lambda _step: None).run()
    assert state(store) == records.FAILED


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
        progress = StartProgress()
        assert progress.feed(["Application startup complete"])
        assert not progress.feed(["Starting to load model x", "nothing"])
        assert progress.step.phase is Phase.READY

    def test_tail_gives_whole_lines_once(self, tmp_path: Path) -> None:
        file = tmp_path / "log"
        tail = LogTail(file)
        assert tail.lines() == []
        file.write_text("one\ntw")
        assert tail.lines() == ["one"]
        with file.open("a") as more:
            more.write("o\rthree\n")
        assert tail.lines() == ["two", "three"]
        assert tail.rest() == []
        with file.open("a") as more:
            more.write("four")
        assert tail.lines() == [] and tail.rest() == ["four"] and tail.rest() == []

    @pytest.mark.parametrize("replaced", [True, False])
    def test_tail_goes_on_with_a_new_log(self, tmp_path: Path, replaced: bool) -> None:
        file = tmp_path / "log"
        file.write_text("a line that is long\nand a rest")
        tail = LogTail(file)
        assert tail.lines() == ["a line that is long"]
        if replaced:
            file.rename(tmp_path / "log.1")
        file.write_text(
            "a new start, which says much more than the other\n" if replaced else "new\n"
        )
        assert tail.lines() == [file.read_text().strip()]

    def test_a_download_is_shown_again_and_again(self) -> None:
        now = [0.0]
        progress = StartProgress(lambda: now[0])
        now[0] = 5.0
        assert not progress.feed([])
        assert progress.feed(["Starting to load model x"])
        assert not progress.feed([])
        now[0] = 6.0
        assert progress.feed([]) and not progress.feed([])

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
        (
            "the estimated maximum model length is 9871.",
            "--name 'a b' --max-model-len 9216 -- --hf-token '***'",
        ),
        (
            "Free memory on device cuda:0 (20.1/24.0 GiB) on startup",
            "--name 'a b' --gpu-memory-utilization 0.82 -- --hf-token '***'",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory.",
            "--name 'a b' -- --hf-token '***' --max-num-seqs 64",
        ),
        ("Free memory on device cuda:0 (0.3/24.0 GiB) on startup", None),
        ("something else", None),
    ],
)
def test_the_command_to_try_instead(log: str, command: str | None) -> None:
    """A person's own words stay, but for a token."""
    given = ("demo", "--name", "a b", "--", "--hf-token", "hf_secret")
    plan = make(ServeOptions("demo", given=given), Machine((), 9000, 8000, 2), {})
    assert instead(plan, log) == (command and f"qchat serve demo {command}")
    bare = make(ServeOptions("demo"), Machine((), 9000, 8000, 2), {})
    assert instead(bare, "CUDA out of memory") == "qchat serve demo -- --max-num-seqs 64"
