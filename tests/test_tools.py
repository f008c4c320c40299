"""The tests' own rules: how a missing tool is treated, and that no test imports another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import tools

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No program is installed, and none is required."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(tools.REQUIRE, raising=False)
    return tmp_path


def test_a_missing_tool_skips_the_test_and_names_the_package() -> None:
    with pytest.raises(pytest.skip.Exception, match="apt-get install nginx-light"):
        tools.check_marks([pytest.mark.needs_tool("nginx").mark])
    with pytest.raises(pytest.skip.Exception, match="pip install vllm-router"):
        tools.require("vllm-router")
    with pytest.raises(pytest.skip.Exception, match="no_such_package is not installed"):
        tools.require_module("no_such_package")


def test_a_missing_tool_fails_the_test_where_all_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(tools.REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="nginx is not installed"):
        tools.check_marks([pytest.mark.needs_tool("nginx").mark])
    with pytest.raises(pytest.fail.Exception, match="no_such_package is not installed"):
        tools.require_module("no_such_package")


def test_a_tool_goes_by_any_of_its_names(empty_path: Path) -> None:
    program = empty_path / "chromium-browser"
    program.touch(0o755)
    assert tools.require("chromium") == str(program)
    tools.check_marks([pytest.mark.needs_tool("chromium").mark, pytest.mark.slow.mark])


def imports_of_tests(text: str) -> Iterator[int]:
    """The line of each import of a test module, or of a conftest."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            is_relative = isinstance(node, ast.ImportFrom) and node.level > 0
            for alias in node.names:
                parts = f"{module}.{alias.name}".strip(".").split(".")
                if not is_relative and parts[0] != "tests":
                    continue  # a library's own, such as aiohttp.test_utils
                if any(part == "conftest" or part.startswith("test_") for part in parts):
                    yield node.lineno


def test_no_test_imports_another() -> None:
    places = {
        f"{file.relative_to(TESTS)}:{line}"
        for file in TESTS.rglob("*.py")
        for line in imports_of_tests(file.read_text("utf-8"))
    }
    assert places == set()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("from .test_a import b", [1]),
        ("from tests.conftest import server", [1]),
        ("import json\n\nfrom . import test_a", [3]),
        ("import tests.test_a", [1]),
        ("from .tools import require\nfrom tests import faults", []),
        ("from aiohttp.test_utils import TestServer", []),
    ],
)
def test_an_import_of_a_test_is_noticed(text: str, lines: list[int]) -> None:
    assert list(imports_of_tests(text)) == lines
