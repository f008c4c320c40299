"""The example that embeds a table, with the real vLLM."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .servers import READY

EXAMPLES = Path(__file__).parents[2] / "examples"
POOLING = ("--vllm", "runner=pooling", "--vllm", "convert=embed")


@pytest.mark.slow
@pytest.mark.vllm
def test_a_table_gets_a_column_of_vectors(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    table = tmp_path / "texts.parquet"
    command = [sys.executable, "-m", "qchat", "batch", str(EXAMPLES / "texts.parquet")]
    command += ["--endpoint", "embeddings", "--template", "{text}", "-o", str(table)]
    command += ["--model", "demo", *POOLING]
    environment = {**os.environ, "QCHAT_HOME": str(tmp_path / "home")}
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=2 * READY
    )
    assert run.returncode == 0, run.stderr
    rows = pyarrow.read_table(table).to_pylist()
    assert [row["topic"] for row in rows] == ["orders", "orders", "account", "account"]
    assert len({len(row["output"]) for row in rows}) == 1 and len(rows[0]["output"]) > 100
    example = [sys.executable, str(EXAMPLES / "nearest_texts.py"), str(table)]
    shown = subprocess.run(example, capture_output=True, text=True, check=True).stdout
    assert shown.count(" -> ") == 4
