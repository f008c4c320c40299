"""Several processes at one store, and processes that die."""

import errno
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qchat.store import MessageState, StoreError, StoreProblem, open_store

_STREAMER = """
import sys
from pathlib import Path
from qchat.store import open_store
store = open_store(Path(sys.argv[1]))
chat = store.conversations.create(title="cut off")
store.messages.add(chat.id, "user", "Why?")
answer = store.messages.begin(chat.id)
store.messages.checkpoint(answer.id, "Because of 光", "hm")
print(chat.id, answer.id, flush=True)
sys.stdin.read()
"""

_WRITER = """
import sys
from pathlib import Path
from qchat.store import open_store, MessageState
with open_store(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(40):
        store.messages.add(sys.argv[2], "user", f"{sys.argv[3]} {n}")
        answer = store.messages.begin(sys.argv[2])
        store.messages.finish(answer.id, MessageState.COMPLETE, f"{sys.argv[3]} answer {n}")
"""


def start(program: str, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_fields(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def test_a_partial_answer_survives_kill_9(tmp_path: Path) -> None:
    streamer = start(_STREAMER, str(tmp_path))
    with streamer:
        chat, answer = read_fields(streamer)
        # While it lives its answer is its own, whoever opens the store.
        with open_store(tmp_path) as store:
            assert store.stopped == 0
            assert store.messages.get(int(answer)).state is MessageState.STREAMING
            with pytest.raises(StoreError) as caught:
                store.messages.checkpoint(int(answer), "mine")
            assert caught.value.problem is StoreProblem.BUSY
        os.kill(streamer.pid, signal.SIGKILL)
        streamer.wait()
    with open_store(tmp_path) as store:
        assert store.stopped == 1
        texts = [m.content for m in store.messages.bodies(n.id for n in store.messages.path(chat))]
        assert texts == ["Why?", "Because of 光"]
        cut = store.messages.get(int(answer))
        assert (cut.state, cut.reasoning) == (MessageState.STOPPED, "hm")
        assert [hit.message for hit in store.search("光")] == [cut.id]
    assert list((tmp_path / "writers").iterdir()) == []


def test_a_paused_process_is_not_dead(tmp_path: Path) -> None:
    with start(_STREAMER, str(tmp_path)) as streamer:
        _chat, answer = read_fields(streamer)
        os.kill(streamer.pid, signal.SIGSTOP)
        with open_store(tmp_path) as store:
            assert store.messages.get(int(answer)).state is MessageState.STREAMING
        os.kill(streamer.pid, signal.SIGKILL)


def test_two_stores_of_one_process_know_each_other(tmp_path: Path) -> None:
    with open_store(tmp_path) as one:
        answer = one.messages.begin(one.conversations.create().id)
        with open_store(tmp_path) as two:
            assert two.messages.get(answer.id).state is MessageState.STREAMING
        one.messages.checkpoint(answer.id, "more")
    with open_store(tmp_path) as store:
        assert store.messages.get(answer.id).state is MessageState.STOPPED


def test_a_process_that_cannot_be_checked_is_not_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with open_store(tmp_path) as store:
        answer = store.messages.begin(store.conversations.create().id)
        monkeypatch.setattr("qchat.store.writers.is_locked", denied)
        with open_store(tmp_path):
            store.messages.checkpoint(answer.id, "Still mine")
        assert store.messages.get(answer.id).state is MessageState.STREAMING


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        chat = store.conversations.create().id
        before = store.changes()
        with (
            start(_WRITER, str(tmp_path), chat, "a") as a,
            start(_WRITER, str(tmp_path), chat, "b") as b,
        ):
            for process in (a, b):
                assert read_fields(process) == ["ready"]
            for process in (a, b):
                process.communicate("go\n", timeout=60)
                assert process.returncode == 0
        assert store.changes() != before
        nodes = store.messages.tree(chat)
        assert len(nodes) == store.conversations.get(chat).messages == 160
        ids = {node.id for node in nodes}
        assert all(node.parent in ids for node in nodes if node.parent is not None)
        assert {node.state for node in nodes} == {MessageState.COMPLETE}


def _open_and_write(folder: str, barrier: "multiprocessing.synchronize.Barrier") -> None:
    barrier.wait()
    with open_store(Path(folder)) as store:
        store.conversations.create(title="x")


def test_many_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    processes = [
        spawn.Process(target=_open_and_write, args=(str(tmp_path / "new"), barrier))
        for _n in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with open_store(tmp_path / "new") as store:
        assert len(store.conversations.list()) == 4


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = tmp_path / "data"
        with open_store(folder) as store:
            store.messages.begin(store.conversations.create().id)
            modes = {
                str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode)
                for p in (folder, *folder.rglob("*"))
            }
    finally:
        os.umask(old)
    assert modes.pop("data") == modes.pop("data/writers") == 0o700
    assert len(modes) >= 4
    assert set(modes.values()) == {0o600}
