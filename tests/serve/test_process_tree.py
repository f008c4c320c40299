"""The processes of a server, other vLLM processes, and orphans."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from qchat.serve.processes import ports, process_tree
from qchat.serve.processes.process_table import resident_mib

from qchat.processes import alive, process_family

from .holders import SLEEPER, process
from .supervised import LINUX

KEY = "sk-very-secret"


class Processes:
    """Stands for /proc: command lines, and the parent of each process."""

    def __init__(
        self, arguments: Mapping[int, Sequence[str]], parents: Mapping[int, int] | None = None
    ) -> None:
        self.arguments, self.parents = arguments, parents or {}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            process_tree, "process_arguments", lambda pid: list(self.arguments.get(pid, []))
        )
        monkeypatch.setattr(process_tree, "parent_pid", self.parents.get)


@pytest.mark.parametrize(
    ("arguments", "is_vllm"),
    [
        (["VLLM::EngineCore"], True),
        (["/usr/bin/python3.11", "/opt/bin/vllm", "serve", "m"], True),
        (["vllm", "serve", "m"], True),
        (["python", "-u", "-m", "vllm.entrypoints.openai.api_server"], True),
        (["python", "-m", "qchat.serve.launcher"], True),
        (["vi", "notes on vllm serve.txt"], False),
        (["grep", "vllm", "serve"], False),
        (["less", "vllm.entrypoints.log"], False),
        (["git", "commit", "-m", "vllm.entrypoints.x"], False),
        (["python", "-c", "print('VLLM::EngineCore')"], False),
        ([], False),
    ],
)
def test_vllm_is_recognised_by_whole_arguments(arguments: list[str], is_vllm: bool) -> None:
    assert process_tree.is_vllm(arguments) == is_vllm


@pytest.mark.parametrize(
    ("parent", "arguments", "is_orphan"),
    [
        (1, ["/sbin/init"], True),
        (1, ["/usr/bin/tini", "--", "bash"], True),
        (9, ["/usr/lib/systemd/systemd", "--user"], True),
        (1, ["python", "serve.py"], False),  # a container that is a server
        (1, ["vllm", "serve", "m"], False),
        (9, ["bash", "my-ray-starter.sh"], False),
        (9, ["/opt/app/server"], False),  # starts engines under a name of its own
    ],
)
def test_an_orphan_has_a_parent_that_adopts_orphans(
    parent: int, arguments: list[str], is_orphan: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes({7: ["VLLM::EngineCore"], parent: arguments}, {7: parent}).use(monkeypatch)
    assert process_tree.is_orphan(7) == is_orphan
    assert not process_tree.is_orphan(parent)


def test_the_id_of_an_exited_process_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have been reused by then."""
    first_pids: list[int | None] = []
    monkeypatch.setattr(
        process_tree, "members", lambda first, _mark: first_pids.append(first) or []
    )
    child = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", ""])
    os.waitpid(child, 0)
    assert process_tree.stop(child, "no such mark", 0.0) == []
    assert set(first_pids) == {None}


@LINUX
def test_an_exiting_process_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no environment left, so it is no member."""
    with subprocess.Popen(["sleep", "9"]) as first, subprocess.Popen(["sleep", "0.5"]) as ending:
        pids = [ending.pid]
        monkeypatch.setattr(
            process_tree, "members", lambda first, _mark: [] if first is None else pids
        )
        assert process_tree.stop(first.pid, "mark", 5.0) == []
        assert alive([ending.pid]) == []


def test_the_command_line_of_a_listener_is_safe_to_print(tmp_path: Path) -> None:
    code = (
        "import socket, sys, time\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    print(server.getsockname()[1], flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, "\x1b]0;title\x07", "--api-key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            listener = ports.listener(int(process.stdout.readline()))
        finally:
            process.kill()
    assert listener is not None and listener.pid == process.pid
    assert listener.command.endswith("--api-key ***")
    assert "\x1b" not in listener.command and "\n" not in listener.command


@LINUX
def test_a_server_without_its_engine_does_not_get_the_whole_timeout() -> None:
    """vLLM ends its engine first and then waits for clients that wait for answers. With the
    whole timeout this would not end."""
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
            assert process_tree.stop(server.pid, "no such mark", 10_000.0, end_the_engine) == []
        finally:
            server.kill()
    assert server.returncode == -signal.SIGKILL


@LINUX
def test_foreign_processes_are_listed_and_ours_are_not(tmp_path: Path) -> None:
    script = tmp_path / "vllm"
    script.write_text("print(flush=True); import time; time.sleep(60)")
    sleep = [sys.executable, str(script), "serve"]
    environ = {**os.environ, process_tree.MARK: "ours"}
    with subprocess.Popen(sleep, env=environ, stdout=subprocess.PIPE) as process:
        try:
            # `Popen` returns a moment before the kernel shows the new command line.
            assert process.stdout is not None and process.stdout.readline() == b"\n"
            assert process.pid in dict(process_tree.foreign([]))
            assert process.pid not in dict(process_tree.foreign(["ours"]))
            assert process_tree.members(None, "ours") == [process.pid]
            assert process_tree.stop(None, "ours", 0.0) == []
            assert alive([process.pid]) == []
        finally:
            process.kill()


@LINUX
def test_a_process_without_its_environment_is_identified_by_its_parent() -> None:
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
    environ = {**os.environ, process_tree.MARK: "ours"}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"\n"
            (child,) = process_family([process.pid])[1:]
            assert child in dict(process_tree.foreign([]))
            assert not {process.pid, child} & set(dict(process_tree.foreign(["ours"])))
            assert process_tree.members(None, "ours") == sorted([process.pid, child])
        finally:
            assert process_tree.stop(None, "ours", 0.0) == []


@LINUX
def test_shared_memory_is_removed_by_the_resource_tracker_of_a_killed_server() -> None:
    """The tracker removes it once all of the server's processes have ended, so it is not killed
    with them."""
    program = """
import os, signal, time
from multiprocessing.shared_memory import SharedMemory
signal.signal(signal.SIGTERM, signal.SIG_IGN)
memory = SharedMemory(create=True, size=64)
if os.fork():  # the child has the tracker's pipe open, too
    print(memory.name, flush=True)
time.sleep(600)
"""
    environ = {**os.environ, process_tree.MARK: "tracked"}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        memory = Path("/dev/shm", server.stdout.readline().decode().strip())
        try:
            assert memory.is_file() and len(process_tree.members(None, "tracked")) == 3
            assert process_tree.stop(server.pid, "tracked", 0.0) == []
            assert not memory.exists()
        finally:
            memory.unlink(missing_ok=True)
            server.kill()


@LINUX
def test_the_members_of_several_servers_from_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(process_tree.MARK, "one of several")
    with process(SLEEPER) as one:
        monkeypatch.setenv(process_tree.MARK, "another")
        with process(SLEEPER) as two:
            servers = [(one.pid, "one of several"), (None, "another"), (None, "nobody")]
            assert process_tree.members_of_all(servers) == [[one.pid], [two.pid], []]
            assert process_tree.members_of_all([(None, "another")]) == [[two.pid]]
            mib = resident_mib([one.pid, two.pid])
            exact = process_tree.memory_mib([one.pid, two.pid])
    assert 0 < exact <= mib < 3 * exact + 20
