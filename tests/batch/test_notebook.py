"""The example notebook runs, cell by cell, as it does in Jupyter."""

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from tests import faults

NOTEBOOK = Path(__file__).parents[2] / "examples" / "batch_from_python.ipynb"


def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_was_executed_and_shows_no_error() -> None:
    for cell in cells():
        assert cell["execution_count"], cell["source"]
        assert all(output["output_type"] != "error" for output in cell["outputs"])
    texts = json.dumps([cell["outputs"] for cell in cells()], ensure_ascii=False)
    assert "4 answered, 0 failed" in texts and "qchat's demo model" in texts
    assert "/tmp/" not in texts


async def test_its_cells_run_within_an_event_loop(
    home: Path,
    server: faults.Running,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    names: dict[str, Any] = {}
    for cell in cells():
        source = "".join(cell["source"])
        code = compile(source, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result
    out = capsys.readouterr().out
    assert "echo: Hello from Oslo" not in out and "4 answered, 0 failed" in out
    assert list(home.iterdir()) == []


@pytest.mark.slow
def test_it_runs_in_jupyter(
    home: Path, server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    texts = json.dumps([cell.get("outputs") for cell in notebook.cells])
    assert "4 answered, 0 failed" in texts and "4/4 rows" in texts
