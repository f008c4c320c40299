"""serve/deploy/check-service.sh, for those who have only a shell and curl."""

import importlib.resources
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from qchat.serve.access.keys import MIN_LENGTH

from tests import faults
from tests.nginx import plain_proxy

SCRIPT = str(importlib.resources.files("qchat.serve") / "deploy" / "check-service.sh")
KEY = "k" * (MIN_LENGTH - 4) + '"\\$x'
QUICK = "length=4"
STREAM = "latency=0.05;rate=100;length=30"
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]

pytestmark = pytest.mark.needs_tool("curl")


def check(*arguments: str, shell: str = "sh", **environ: str) -> "subprocess.CompletedProcess[str]":
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "LC_", "LANG"))}
    start = ["busybox", "sh"] if shell == "busybox" else [shell]
    return subprocess.run(
        [*start, SCRIPT, *arguments],
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_a_good_server(shell: str) -> None:
    with faults.running(answers=STREAM, api_key=KEY) as server:
        done = check(f"{server.url}/v1/", shell=shell, QCHAT_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["ok"] * 5
    assert "It offers: demo" in done.stdout
    assert "It accepts the key, and refuses who has none." in done.stdout
    assert "Answers stream: 3" in done.stdout and lines[-1] == "All is well."


def test_in_chinese() -> None:
    with faults.running(answers=QUICK) as server:
        done = check(server.url, LANG="zh_CN.UTF-8")
    assert done.returncode == 0 and done.stdout.endswith("一切正常。\n")
    assert check("-h", LC_ALL="zh_CN.UTF-8").stdout.startswith("用法")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("500", "refused a question (status 500): "),
        ("hang:seconds=5", "No answer came: curl: (28)"),
        ("reset", "No answer came: curl: (5"),
        ("redirect", "refused a question (status 307)"),
        ("200_wrong_shape", "What it sent is no answer"),
        ("cut_stream:skip=1", "broke off after"),
        ("hang_mid_stream:seconds=5,skip=1", "broke off after"),
        ("stream_error_event:skip=1", "The stream failed: "),
    ],
)
def test_a_server_that_fails(fault: str, text: str) -> None:
    with faults.running(fault, answers=QUICK) as server:
        done = check("-t", "1", server.url)
    assert done.returncode == 1 and done.stderr == ""
    assert text in done.stdout and "There are problems." in done.stdout


def test_one_that_is_not_there(unused_port: int) -> None:
    done = check(f"http://127.0.0.1:{unused_port}")
    assert done.returncode == 1 and "It can't be reached" in done.stdout


def test_models_and_keys() -> None:
    with faults.running(answers=QUICK, models=("one", "two")) as server:
        assert "two answers" in check("-m", "two", server.url).stdout
        done = check("-m", "tw", server.url)
        assert done.returncode == 1 and "does not offer tw, but: one two" in done.stdout
        done = check(server.url, LAB_KEY=KEY)
        assert "key" not in done.stdout
        done = check("-e", "LAB_KEY", server.url, LAB_KEY=KEY)
        assert done.returncode == 0 and "the key protects nothing" in done.stdout
        assert done.stdout.endswith("It works, with warnings.\n")
    with faults.running(answers=QUICK, api_key=KEY) as server:
        assert "It wants a key: put it in QCHAT_API_KEY" in check(server.url).stdout
        assert "It refuses the key." in check(server.url, QCHAT_API_KEY="x").stdout


def test_a_key_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who\n\nalice {KEY}\n")
    file.chmod(0o600)
    with faults.running(answers=QUICK, api_key=KEY) as server:
        assert check("-k", str(file), server.url).returncode == 0
        file.chmod(0o640)
        done = check("-k", str(file), server.url)
    assert done.returncode == 2 and f"chmod 600 {file}" in done.stderr and done.stdout == ""


def test_the_key_is_nowhere_visible(tmp_path: Path) -> None:
    """A wrapper of curl records its arguments and the files of the script."""
    real = shutil.which("curl")
    (tmp_path / "bin").mkdir()
    (tmp_path / "tmp").mkdir()
    fake = tmp_path / "bin" / "curl"
    record = tmp_path / "seen"
    fake.write_text(
        f'#!/bin/sh\nprintf "%s " "$@" >>{record}\n{real} "$@"\ncode=$?\n'
        f"cat {tmp_path}/tmp/*/* >>{record} 2>/dev/null\nexit $code\n"
    )
    fake.chmod(0o700)
    with faults.running(answers=QUICK, api_key=KEY) as server:
        done = check(
            server.url,
            QCHAT_API_KEY=KEY,
            PATH=f"{fake.parent}:{os.environ['PATH']}",
            TMPDIR=str(tmp_path / "tmp"),
        )
    assert done.returncode == 0 and "It accepts the key" in done.stdout
    recorded = record.read_text()
    assert "--config -" in recorded and "data: [DONE]" in recorded  # calls and files were looked at
    assert KEY not in recorded + done.stdout + done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.needs_tool("nginx")
@pytest.mark.parametrize(
    ("location", "text"),
    [("", "something on the way holds them back"), ("proxy_buffering off;", "Answers stream")],
)
def test_a_proxy_that_holds_the_stream_back(
    tmp_path: Path, unused_port: int, location: str, text: str
) -> None:
    with (
        faults.running(answers=STREAM) as server,
        plain_proxy(tmp_path, unused_port, server.port, location) as url,
    ):
        done = check(url)
    assert done.returncode == 0 and text in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-x"], "Usage"),
        (["ftp://a"], "must begin with http"),
        (["http://me:secret@a"], "no name or password"),
        (["http://a", "http://b"], "more than one"),
        (["-t", "1.5"], "whole seconds"),
        (["-e", "A-B"], "name of a variable"),
        (["-k", "/no/such/file"], "can't read the key file"),
    ],
)
def test_wrong_usage(arguments: list[str], error: str) -> None:
    done = check(*arguments)
    assert done.returncode == 2 and error in done.stderr and done.stdout == ""
    assert "secret" not in done.stderr


def test_help_and_rights() -> None:
    assert check("-h").stdout.startswith("Usage: check-service.sh [OPTIONS] [URL]")
    assert Path(SCRIPT).stat().st_mode & stat.S_IXUSR


@pytest.mark.needs_tool("shellcheck")
def test_shellcheck() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
