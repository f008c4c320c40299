"""The folders of batch import each other in one direction: request <- inputs <- journal <- run."""

import ast
from pathlib import Path

import pytest

BATCH = Path(__file__).parents[2] / "batch"

ALLOWED = {
    "inputs": {"background", "request", "form", "extraction", "quality", "questions"},
    "journal": {
        *("background", "request", "inputs", "quality", "extraction", "questions", "histogram"),
    },
    "engines": {"low_priority", "request", "raw_response", "response", "inputs", "run_stats"},
}
"""What the modules of a folder may import of the rest of batch."""


def imported(source: str) -> set[str]:
    """Return the modules and folders of batch that a module in one of its folders imports."""
    return {
        (node.module or alias.name).split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.level == 2
        for alias in node.names
    }


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_stands_before_it(folder: str) -> None:
    files = list((BATCH / folder).glob("*.py"))
    assert len(files) > 3
    for file in files:
        assert imported(file.read_text("utf-8")) <= ALLOWED[folder], file


def test_every_kind_of_import_counts() -> None:
    source = "from ..journal.lock import RunLock\ndef f():\n    from .. import run\n"
    assert imported(source) == {"journal", "run"}
