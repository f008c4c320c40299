"""Which processes are vLLM's, whose, and how their command lines are shown."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from qchat.serve import ports
from qchat.serve import process_tree as tree

from qchat.processes import alive

KEY = "sk-very-secret"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["vllm", "serve", "m", "--api-key", KEY, "--port", "1"], "--api-key *** --port 1"),
        (["vllm", "serve", "--api-key", KEY, KEY, "--port", "1"], "--api-key *** *** --port 1"),
        (["vllm", "serve", f"--api-key={KEY}", "m"], "--api-key=*** m"),
        (["x", "--hf_token", KEY], "--hf_token ***"),
        (["x", "--hf-tok", KEY], "--hf-tok ***"),
        (["x", "--extra.token", KEY], "--extra.token ***"),
        (["env", f"OPENAI_API_KEY={KEY}", "x"], "env OPENAI_API_KEY=*** x"),
        (["x", "--max-num-batched-tokens", "8192"], "--max-num-batched-tokens 8192"),
        (["x", "--tokenizer", "t", "a=b"], "--tokenizer t a=b"),
    ],
)
def test_keys_in_a_command_line_are_not_shown(words: list[str], shown: str) -> None:
    said = " ".join(tree.masked(words))
    assert said.endswith(shown) and KEY not in said


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--seed", "1", "--hf-token", KEY], "--hf-token"),
        ([f"--hf_token={KEY}"], "--hf_token"),
        (["--hf-token"], None),  # vLLM then takes the token that is stored
        (["--tokenizer", "t"], None),
        ([], None),
    ],
)
def test_the_option_with_a_secret_is_named(words: list[str], option: str | None) -> None:
    assert tree.secret(words) == option


class Processes:
    """Stands for /proc: command lines, and the parent of each process."""

    def __init__(
        self, words: Mapping[int, Sequence[str]], parents: Mapping[int, int] | None = None
    ) -> None:
        self.words, self.parents = words, parents or {}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree, "_words", lambda pid: list(self.words.get(pid, [])))
        monkeypatch.setattr(tree, "parent_pid", self.parents.get)


@pytest.mark.parametrize(
    ("words", "is_vllm"),
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
def test_what_is_vllm_is_told_by_whole_words(words: list[str], is_vllm: bool) -> None:
    assert tree._is_vllm(words) == is_vllm


@pytest.mark.parametrize(
    ("above", "words", "orphan"),
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
def test_an_orphan_is_with_one_that_takes_in_orphans(
    above: int, words: list[str], orphan: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes({7: ["VLLM::EngineCore"], above: words}, {7: above}).use(monkeypatch)
    assert tree.is_orphan(7) == orphan
    assert not tree.is_orphan(above)


def test_a_process_that_was_waited_for_is_not_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its id may belong to another by then."""
    looked: list[int | None] = []
    monkeypatch.setattr(tree, "members", lambda first, _mark: looked.append(first) or [])
    child = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", ""])
    os.waitpid(child, 0)
    assert tree.stop(child, "no such mark", 0.0) == []
    assert set(looked) == {None}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_who_is_just_ending_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a process has no environment any more, so it is no member."""
    with subprocess.Popen(["sleep", "9"]) as first, subprocess.Popen(["sleep", "0.5"]) as ending:
        known = [ending.pid]
        monkeypatch.setattr(tree, "members", lambda first, _mark: [] if first is None else known)
        assert tree.stop(first.pid, "mark", 5.0) == []
        assert alive([ending.pid]) == []


def test_whoever_has_a_port_is_shown_safely(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import socket, sys, time\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    print(server.getsockname()[1], flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, "\x1b]0;title\x07", "--api-key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            found = ports.listener(int(process.stdout.readline()))
        finally:
            process.kill()
    assert found is not None and found.pid == process.pid
    assert found.command.endswith("--api-key ***")
    assert "\x1b" not in found.command and "\n" not in found.command
