"""Writes requirements/cpu.txt and base.txt anew from what pip resolves: ``make lock``.

Run it with Python 3.11 on Linux x86_64 (install.py resolves anew on others). It needs PyTorch's
CPU wheel where pip finds it, or PyTorch's own index.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from install import LEFT_OUT, LISTS, ROOT, TORCH_INDEX
from preflight import LOCKED_PYTHON

HEAD = """\
# {what}
# Made by `make lock` from pyproject.toml; do not edit.
"""


def resolve(extras: str, *options: str) -> dict[str, str]:
    """Name to version of all that ``.[extras]`` needs, qchat itself left out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--report", str(report), *options]
        subprocess.run([*command, "{}[{}]".format(ROOT, extras)], check=True)
        packages: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
    pins = {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in packages}
    pins.pop("qchat-vllm")
    return {name.replace("_", "-"): version for name, version in pins.items()}


def write(name: str, what: str, pins: dict[str, str]) -> None:
    """One pinned list, sorted."""
    lines = ["{}=={}\n".format(key, pins[key]) for key in sorted(pins)]
    (LISTS / name).write_text(HEAD.format(what=what) + "".join(lines), encoding="utf-8")
    print("requirements/{}: {} packages".format(name, len(lines)))


def main() -> int:
    """The command; returns its exit code."""
    if sys.version_info[:2] != LOCKED_PYTHON:
        print("make lock needs Python {}.{}.".format(*LOCKED_PYTHON), file=sys.stderr)
        return 2
    try:
        try:
            cpu = resolve("cpu,dev")
        except subprocess.CalledProcessError:
            print("Once more, with {}".format(TORCH_INDEX))
            cpu = resolve("cpu,dev", "--extra-index-url", TORCH_INDEX)
        for name in LEFT_OUT:
            cpu.pop(name, None)
        write("cpu.txt", "All of .[cpu,dev] but " + ", ".join(LEFT_OUT) + ".", cpu)
        base = resolve("dev", "-c", str(LISTS / "cpu.txt"))
    except subprocess.CalledProcessError as error:
        print("pip could not resolve (status {}); see above.".format(error.returncode))
        return 3
    base.pop("setuptools", None)
    write("base.txt", "All of .[dev] without vLLM, in the versions of cpu.txt.", base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
