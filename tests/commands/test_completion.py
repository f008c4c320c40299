"""Completion in real shells: files, and the names that qchat knows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .shells import Shell

SHELLS = [
    pytest.param(name, marks=pytest.mark.needs_tool(name)) for name in ("bash", "zsh", "fish")
]
_CLEAR = "\x15"  # Ctrl-U, the line as typed so far
CONFIG = """
model = "configured-model"
[servers.lab-one]
base_url = "http://127.0.0.1:9"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a setting, a server's log and plan, and a working folder with files."""
    for path, text in {
        "config/config.toml": CONFIG,
        "state/servers/alpha-server.plan": "{}",
        "state/servers/alpha-server.json": "{}",
        "state/logs/serve/alpha-server.log": "",
        "work/questions-one.jsonl": "",
        "work/folder-one/part.csv": "",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    document = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    (tmp_path / "in.jsonl").write_text(json.dumps(document) + "\n")
    subprocess.run(
        [sys.executable, "-m", "qchat", "chats", "import", str(tmp_path / "in.jsonl")],
        env={**os.environ, "QCHAT_HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    return tmp_path


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, home: Path) -> Iterator[Shell]:
    environ = {
        "QCHAT_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm",
        "HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "LANG": "C.UTF-8",
    }
    with Shell(request.param, home / "work", environ) as shell:
        yield shell


LINES = [
    ("qchat rec", "recipes"),
    ("qchat batch --ordered quest", "questions-one.jsonl"),
    ("qchat batch --template-file quest", "questions-one.jsonl"),
    ("qchat batch folder-one/p", "folder-one/part.csv"),
    ("qchat ask --server la", "lab-one"),
    ("qchat tui --model conf", "configured-model"),
    ("qchat serve Qwen3-0", "Qwen3-0.6B"),
    ("qchat serve --write-deploy fold", "folder-one"),
    ("qchat recipes --explain dem", "demo"),
    ("qchat stop alp", "alpha-server"),
    ("qchat logs alp", "alpha-server"),
    ("qchat restart alp", "alpha-server"),
]


def test_a_tab_completes(shell: Shell, home: Path) -> None:
    listing = subprocess.run(
        [sys.executable, "-m", "qchat", "chats", "list", "--json"],
        env={**os.environ, "QCHAT_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    conversation = json.loads(listing.stdout)[0]["id"]
    lines = [*LINES, (f"qchat chats show {conversation[:2]}", conversation)]
    for line, completed in lines:
        shell.type(f"{line}\t")
        shell.wait_for(line + completed.removeprefix(line.rpartition(" ")[2]))
        shell.type(_CLEAR)


def complete(home: Path, line: str) -> list[str]:
    """The words that a shell would get for a line, ``TYPE,WORD`` each."""
    done = subprocess.run(
        [sys.executable, "-m", "qchat"],
        env={
            **os.environ,
            "QCHAT_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "_QCHAT_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_downloaded_models_are_offered(home: Path) -> None:
    (home / "hub" / "models--org--Some-Model").mkdir(parents=True)
    assert complete(home, "qchat serve or") == ["plain,org/Some-Model"]


def test_a_broken_setting_offers_nothing_and_says_nothing(home: Path) -> None:
    (home / "config" / "config.toml").write_text("model = [")
    assert complete(home, "qchat tui --model ") == []
    assert complete(home, "qchat ask --server ") == []
    assert complete(home, "qchat batch --model ") == ["dir,"]


def test_nothing_is_made_by_completing(tmp_path: Path) -> None:
    assert complete(tmp_path, "qchat chats show ") == []
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_named_and_never_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_LAB_KEY", "sk-secret")
    words = complete(home, "qchat ask --api-key-env SOME")
    assert words == ["plain,SOME_LAB_KEY"]
