"""The set-up's decisions, and that its pinned lists say what pyproject.toml asks for."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"


def load(name: str) -> ModuleType:
    """A module of requirements/, which is no package: the scripts there import one another."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


preflight = load("preflight")
pip_runner = load("pip_runner")
install = load("install")


def test_new_enough_pythons_are_taken() -> None:
    for version in ((3, 11, 0), (3, 14, 1)):
        assert preflight.python_problem(version, "cpu") is None


def test_old_python_is_told_what_to_install() -> None:
    text = preflight.python_problem((3, 9, 18), "none")
    assert "3.9.18" in text
    assert "apt install python3.11" in text


def test_python_too_new_for_the_cpu_build_only_there() -> None:
    assert "QCHAT_EXTRA=none" in preflight.python_problem((3, 15, 0), "cpu")
    assert preflight.python_problem((3, 15, 0), "none") is None


@pytest.mark.parametrize(
    ("asked", "system", "machine", "gpu", "kind"),
    [
        ("auto", "Linux", "x86_64", True, "gpu"),
        ("auto", "Linux", "x86_64", False, "cpu"),
        ("", "Linux", "aarch64", False, "cpu"),
        ("auto", "Linux", "riscv64", False, "none"),
        ("auto", "Darwin", "arm64", False, "none"),
        ("cpu", "Linux", "x86_64", True, "cpu"),
        ("GPU", "Linux", "x86_64", False, "gpu"),
        ("none", "Linux", "x86_64", True, "none"),
    ],
)
def test_kind(asked: str, system: str, machine: str, gpu: bool, kind: str) -> None:
    assert preflight.choose_kind(asked, system, machine, lambda: gpu).name == kind


@pytest.mark.parametrize(
    ("asked", "system", "machine", "words"),
    [
        ("cuda", "Linux", "x86_64", "use gpu, cpu, none or auto"),
        ("cpu", "Darwin", "arm64", "vLLM runs on Linux"),
        ("cpu", "Linux", "riscv64", "no package for riscv64"),
    ],
)
def test_kind_refused(asked: str, system: str, machine: str, words: str) -> None:
    with pytest.raises(preflight.RefusedError, match=words):
        preflight.choose_kind(asked, system, machine, lambda: False)


def test_gpu_is_known_by_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not preflight.has_nvidia_gpu(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    assert preflight.has_nvidia_gpu(tmp_path)


@pytest.mark.parametrize(
    ("script", "found"),
    [("echo 'GPU 0: NVIDIA H100'", True), ("echo 'No devices found.'", False), ("exit 9", False)],
)
def test_gpu_by_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: bool
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert preflight.has_nvidia_gpu(tmp_path) is found


def test_processor_without_avx2() -> None:
    old = "processor\t: 0\nflags\t\t: fpu sse4_2 avx\n"
    assert "no AVX2" in preflight.processor_problem("x86_64", old)
    assert preflight.processor_problem("x86_64", old.replace("avx", "avx avx2")) is None
    assert preflight.processor_problem("aarch64", "Features\t: fp asimd\n") is None


def test_disk() -> None:
    need, temp = preflight.DISK_MB["cpu"], preflight.TEMP_MB["cpu"]
    assert preflight.disk_problem("cpu", need, temp, False, "/tmp") is None
    assert "Not enough disk" in preflight.disk_problem("cpu", need - 1, temp, False, "/tmp")
    assert "Not enough disk" in preflight.disk_problem("cpu", need, need, True, "/tmp")
    assert preflight.disk_problem("cpu", need + temp, need + temp, True, "/tmp") is None
    assert "TMPDIR" in preflight.disk_problem("cpu", need, 10, False, "/tmp")
    assert "QCHAT_EXTRA=none" not in preflight.disk_problem("none", 1, 1, True, "/tmp")


REFUSED = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
    "\"HTTPSConnection(host='pypi.example', port=443): Failed to establish a new connection\")'\n"
    "ERROR: No matching distribution found for torch==2.13.0+cpu\n"
)


@pytest.mark.parametrize(
    ("log", "code", "words"),
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
def test_pip_failure_is_explained(log: str, code: int, words: str) -> None:
    assert words in pip_runner.explain_failure(log, code)


def test_python_remark_of_pip_is_no_cause() -> None:
    remark = "ERROR: Ignored the following versions that require a different python: 1 Requires-"
    log = f"{remark}Python >=3.14\nERROR: No matching distribution found for x==1\n"
    assert "has no x==1" in pip_runner.explain_failure(log, 1)


class Pip:
    """Stands for pip: fails with these logs one after the other, and notes what was asked."""

    def __init__(self, *logs: str) -> None:
        self.logs = list(logs)
        self.asked: list[tuple[str, ...]] = []

    def run(self, *arguments: str) -> None:
        self.asked.append(arguments)
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
    assert install.TORCH_INDEX in pip.asked[1]


def test_torch_found_at_once_asks_no_other_index() -> None:
    pip = Pip()
    install.install_torch(pip, ["install"], "torch==2.13.0+cpu")
    assert len(pip.asked) == 1


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (MISSING, REFUSED, "whl/cpu can't be reached"),
        (MISSING, MISSING, "has none for this machine"),
        (REFUSED, REFUSED, "package index can't be reached"),
    ],
)
def test_no_torch_anywhere(first: str, second: str, words: str) -> None:
    with pytest.raises(pip_runner.PipError, match=words):
        install.install_torch(Pip(first, second), ["install"], "torch==2.13.0+cpu")


def test_other_failures_of_torch_are_not_tried_elsewhere() -> None:
    pip = Pip("ERROR: [Errno 28] No space left on device")
    with pytest.raises(pip_runner.PipError):
        install.install_torch(pip, ["install"], "torch==2.13.0+cpu")
    assert len(pip.asked) == 1


def test_mend_removes_what_a_killed_pip_left(tmp_path: Path) -> None:
    for name in ("whole-1.dist-info", "torn-1.dist-info", "~orch", "torch"):
        (tmp_path / name).mkdir()
    (tmp_path / "whole-1.dist-info/RECORD").touch()
    install.mend(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["torch", "whole-1.dist-info"]


# The pinned lists.


def pins(name: str) -> dict[str, str]:
    lines = (FOLDER / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(key): version for key, version in pairs}


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: dict[str, Any] = tomllib.load(file)["project"]
    return found


def unmet(requirements: list[str], found: dict[str, str]) -> list[str]:
    parsed = [Requirement(text) for text in requirements]
    return [
        str(need)
        for need in parsed
        if (need.marker is None or need.marker.evaluate())
        and not (
            (version := found.get(canonicalize_name(need.name)))
            and need.specifier.contains(version, prereleases=True)
        )
    ]


@pytest.mark.parametrize(("name", "extras"), [("cpu.txt", ["cpu", "dev"]), ("base.txt", ["dev"])])
def test_pinned_list_holds_what_the_project_requires(name: str, extras: list[str]) -> None:
    listed = project()
    asked = list(listed["dependencies"])
    for extra in extras:
        asked += listed["optional-dependencies"][extra]
    assert unmet(asked, pins(name)) == [], "run `make lock`"


def test_unmet_sees_a_missing_and_an_old_package() -> None:
    assert unmet(["click>=8.2", "nowhere"], {"click": "8.1"}) == ["click>=8.2", "nowhere"]


def test_pinned_list_leaves_out_the_cuda_builds() -> None:
    assert not set(pins("cpu.txt")) & set(install.LEFT_OUT)
    assert pins("cpu.txt")["torch"].endswith("+cpu")


def test_base_list_agrees_with_the_cpu_list() -> None:
    cpu = pins("cpu.txt")
    assert {key: cpu.get(key) for key in pins("base.txt")} == pins("base.txt")


# The answers of `make demo`.


def test_answers_are_shown_safely(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Hi\x1b[31m", "output": "a\x1b]0;x\x07b\nsecond", "reasoning": "hmm"},
        {"messages": [{"role": "user", "content": "two"}], "output": ["x", "y"]},
        {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "tool"}]}],
            "output": None,
            "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}],
        },
        {
            "custom_id": "c1",
            "response": {"body": {"choices": [{"message": {"content": "from OpenAI"}}]}},
        },
        {"prompt": "long", "output": "word " * 1000},
    ]
    file = tmp_path / "a.results.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = str(ROOT / "examples/show_answers.py")
    done = subprocess.run([sys.executable, script, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    for part in ("▸ Hi", "  ab\n  second\n", "  x\n", "  y\n", "calls weather({})"):
        assert part in done.stdout
    assert "▸ c1\n  from OpenAI\n" in done.stdout
    assert "more characters)" in done.stdout
    assert "6 answers" in done.stdout


def test_answers_that_are_no_json_name_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "a", "output": "b"}\n{"pro')
    script = str(ROOT / "examples/show_answers.py")
    done = subprocess.run([sys.executable, script, str(file)], capture_output=True, text=True)
    assert (done.returncode, "line 2 is not JSON" in done.stderr) == (2, True)


# The scripts, run as a person runs them.


PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def run_set_up(
    tmp_path: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """install.py in a copy of its own, so that no .venv of this project is touched."""
    shutil.copytree(FOLDER, tmp_path / "requirements", ignore=shutil.ignore_patterns("__*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
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
    reason="AVX2 is asked for on Linux x86_64 alone: elsewhere the set-up makes no such check",
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
    found = find_python(sys.executable, str(tmp_path))
    assert found.returncode == 0
    assert Path(found.stdout.strip()).exists()


def test_find_python_passes_over_shims_and_old_ones(tmp_path: Path) -> None:
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    found = find_python("", str(tmp_path))
    assert found.returncode == 0, found.stderr
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
    import ast

    for name in ("install", "preflight", "pip_runner"):
        text = (FOLDER / f"{name}.py").read_text()
        ast.parse(text, feature_version=(3, 8))
        assert "from __future__ import annotations" in text
        assert not re.search(r"^import tomllib", text, re.MULTILINE)
