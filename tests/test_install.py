"""How the set-up explains what pip couldn't do, and its scripts as a person runs them."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .requirements_scripts import FOLDER, install, pip_runner

REFUSED = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
    "\"HTTPSConnection(host='pypi.example', port=443): Failed to establish a new connection\")'\n"
    "ERROR: No matching distribution found for torch==2.13.0+cpu\n"
)


@pytest.mark.parametrize(
    ("log", "code", "message"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", 1, "disk is full"),
        (REFUSED, 1, "can't be reached (pypi.example)"),
        ("ProxyError('Cannot connect to proxy.')", 1, "HTTPS_PROXY"),
        ("SSLError(SSLCertVerificationError(1, 'x'))", 1, "PIP_CERT"),
        ("ERROR: 403 Client Error: Forbidden for url: https://x", 1, "PIP_INDEX_URL"),
        ("ERROR: Could not install: [Errno 13] Permission denied: 'x'", 1, "permission"),
        ("ERROR: No matching distribution found for orjson==9", 1, "has no orjson==9"),
        ("(from versions: none)\nERROR: No matching distribution found for a", 1, "be reached"),
        ("", -9, "ran out of memory"),
        ("ERROR: something else\n", 2, "status 2: something else"),
        ("", 5, "gave no reason"),
    ],
)
def test_pip_failure_is_explained(log: str, code: int, message: str) -> None:
    assert message in pip_runner.explain_failure(log, code)


def test_python_remark_of_pip_is_no_cause() -> None:
    remark = "ERROR: Ignored the following versions that require a different python: 1 Requires-"
    log = f"{remark}Python >=3.14\nERROR: No matching distribution found for x==1\n"
    assert "has no x==1" in pip_runner.explain_failure(log, 1)


class Pip:
    """Stands for pip: fails with these logs one after the other, and records its commands."""

    def __init__(self, *logs: str) -> None:
        self.logs = list(logs)
        self.commands: list[tuple[str, ...]] = []

    def run(self, *arguments: str) -> None:
        self.commands.append(arguments)
        if self.logs and (log := self.logs.pop(0)):
            raise pip_runner.PipError("failed", log)


MISSING = "ERROR: No matching distribution found for torch==2.13.0+cpu\n"


CONFLICT = (
    "ERROR: Cannot install torch==2.13.0+cpu because these package versions have conflicting "
    "dependencies.\nERROR: ResolutionImpossible: for help visit\n"
)


@pytest.mark.parametrize("log", [MISSING, CONFLICT])
def test_torch_comes_from_its_own_index_when_pip_has_none(log: str) -> None:
    pip = Pip(log)
    install.install_torch(pip, ["install"], "torch==2.13.0+cpu")
    assert install.TORCH_INDEX in pip.commands[1]


def test_torch_from_the_first_index_asks_no_other() -> None:
    pip = Pip()
    install.install_torch(pip, ["install"], "torch==2.13.0+cpu")
    assert len(pip.commands) == 1


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (MISSING, REFUSED, "whl/cpu can't be reached"),
        (MISSING, MISSING, "has none for this machine"),
        (REFUSED, REFUSED, "package index can't be reached"),
    ],
)
def test_no_torch_anywhere(first: str, second: str, message: str) -> None:
    with pytest.raises(pip_runner.PipError, match=message):
        install.install_torch(Pip(first, second), ["install"], "torch==2.13.0+cpu")


def test_other_failures_of_torch_are_not_tried_elsewhere() -> None:
    pip = Pip("ERROR: [Errno 28] No space left on device")
    with pytest.raises(pip_runner.PipError):
        install.install_torch(pip, ["install"], "torch==2.13.0+cpu")
    assert len(pip.commands) == 1


def test_mend_removes_what_a_killed_pip_left(tmp_path: Path) -> None:
    for name in ("whole-1.dist-info", "torn-1.dist-info", "~orch", "torch"):
        (tmp_path / name).mkdir()
    (tmp_path / "whole-1.dist-info/RECORD").touch()
    install.mend(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["torch", "whole-1.dist-info"]


def test_an_install_under_the_old_name_is_removed(tmp_path: Path) -> None:
    pip = Pip("")
    (tmp_path / "qchat_vllm-0.2.0.dist-info").mkdir()
    install.remove_old_name(pip, tmp_path)
    assert pip.commands == []
    (tmp_path / "qchat-0.1.0.dist-info").mkdir()
    install.remove_old_name(pip, tmp_path)
    assert [command[:3] for command in pip.commands] == [("uninstall", "--yes", "qchat")]


PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def run_set_up(
    tmp_path: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """install.py in a copy of its own, so that no .venv of this project is touched."""
    shutil.copytree(FOLDER, tmp_path / "requirements", ignore=shutil.ignore_patterns("__*"))
    shutil.copy(FOLDER.parent / "pyproject.toml", tmp_path)
    return subprocess.run(
        [sys.executable, str(tmp_path / "requirements/install.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


# The set-up looks for AVX2 in /proc/cpuinfo, and only where vLLM's CPU build wants it.
@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64",
    reason="AVX2 is required on Linux x86_64 alone: elsewhere the set-up makes no such check",
)
def test_no_avx2_ends_before_anything_is_made(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: fpu sse4_2 avx\n")
    done = run_set_up(tmp_path, "--extra", "cpu", QCHAT_CPUINFO=str(cpuinfo))
    assert done.returncode == 2
    assert "no AVX2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_folder_named_venv_is_never_cleared(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/letter.txt").write_text("mine")
    done = run_set_up(tmp_path, "--extra", "none")
    assert done.returncode == 2
    assert "no virtual environment" in done.stderr
    assert (tmp_path / ".venv/letter.txt").read_text() == "mine"


def test_unknown_kind(tmp_path: Path) -> None:
    done = run_set_up(tmp_path, "--extra", "cuda")
    assert (done.returncode, "use gpu, cpu" in done.stderr) == (2, True)


@pytest.mark.slow
def test_unreachable_index_is_one_message(tmp_path: Path) -> None:
    done = run_set_up(
        tmp_path,
        *("--extra", "none"),
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_RETRIES="1",
        PIP_NO_INDEX="0",
        PIP_FIND_LINKS="",
        PIP_EXTRA_INDEX_URL="",
        **dict.fromkeys(PROXIES, ""),
    )
    assert done.returncode == 3, done.stderr
    assert "index can't be reached" in done.stderr
    assert "setup.log" in done.stderr
    assert "Traceback" not in done.stderr


def find_python(named: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(FOLDER / "find-python"), named],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": path},
    )


def test_find_python_takes_the_named_one(tmp_path: Path) -> None:
    result = find_python(sys.executable, str(tmp_path))
    assert result.returncode == 0
    assert Path(result.stdout.strip()).exists()


def test_find_python_passes_over_shims_and_old_ones(tmp_path: Path) -> None:
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    result = find_python("", str(tmp_path))
    assert result.returncode == 0, result.stderr
    (tmp_path / "python3").unlink()
    none = find_python("", str(tmp_path))
    assert none.returncode == 2
    assert "no Python 3.11 or newer" in none.stderr


def test_find_python_says_what_is_wrong_with_the_named_one(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\ntest \"$1\" = --version && echo 'Python 3.9.18' && exit 0\nexit 1\n")
    old.chmod(0o755)
    assert "Python 3.9.18" in find_python(str(old), str(tmp_path)).stderr
    assert "no program" in find_python("nowhere", str(tmp_path)).stderr


def test_syntax_is_old_enough_to_complain_on_an_old_python() -> None:
    """Python 3.8 must get as far as the sentence that it is too old."""
    for name in ("install", "preflight", "pip_runner"):
        text = (FOLDER / f"{name}.py").read_text()
        ast.parse(text, feature_version=(3, 8))
        assert "from __future__ import annotations" in text
        assert not re.search(r"^import tomllib", text, re.MULTILINE)
