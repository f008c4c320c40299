"""Programs and packages that some tests need and that a machine may lack.

A test names the programs that it runs: ``@pytest.mark.needs_tool("nginx", "openssl")``. Where one
is missing, the test is skipped with the Debian package that brings it. With QCHAT_REQUIRE_TOOLS=1
it fails instead, so that a machine that should have everything can't skip anything unnoticed.
"""

import importlib
import importlib.util
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import pytest

REQUIRE = "QCHAT_REQUIRE_TOOLS"

# How each program is installed. A program that isn't listed here can't be named in a mark.
INSTALL: Mapping[str, str] = {
    "chromium": "apt-get install chromium",
    "curl": "apt-get install curl",
    "docker-compose": "apt-get install docker-compose",
    "nginx": "apt-get install nginx-light",
    "node": "apt-get install nodejs",
    "npm": "apt-get install npm",
    "openssl": "apt-get install openssl",
    "prometheus": "apt-get install prometheus",
    "promtool": "apt-get install prometheus",
    "shellcheck": "apt-get install shellcheck",
    "systemd-analyze": "apt-get install systemd",
    "tmux": "apt-get install tmux",
    "vllm-router": "pip install vllm-router==0.1.16, in an environment of its own",
}


def missing(text: str) -> NoReturn:
    """Skip the test for this reason, or fail it where every tool is required."""
    if os.environ.get(REQUIRE, "0") not in ("", "0"):
        pytest.fail(f"{text} ({REQUIRE} is set)", pytrace=False)
    pytest.skip(text)


def require(program: str) -> str:
    """The path of an optional program; skips or fails the test that has none in PATH."""
    install = INSTALL[program]
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed ({install})")
    return path


def require_module(name: str, source: str = "vLLM brings it") -> Any:
    """Import an optional package; skips or fails the test where it isn't installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(f"the Python package {name} is not installed ({source})")


def check_marks(marks: Iterable[pytest.Mark]) -> None:
    """Skip or fail a test whose marks name a tool, or vLLM, that isn't there."""
    for mark in marks:
        if mark.name == "needs_tool":
            for program in mark.args:
                require(program)
        elif mark.name == "vllm" and importlib.util.find_spec("vllm") is None:
            missing("vLLM is not installed (make setup QCHAT_EXTRA=cpu)")
