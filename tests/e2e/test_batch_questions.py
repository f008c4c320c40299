"""Questions with probabilities on the real vLLM: the demo model, and one of real language."""

import csv
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from .servers import Server
from .smollm2 import smollm2

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples" / "batch"


def batch(
    home: Path, *args: str, check: bool = True, seconds: float = 280
) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "qchat", "batch", *args],
        env=environ | {"QCHAT_HOME": str(home / "home")},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=check,
    )


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


ASK = (str(EXAMPLES / "reviews.csv"), "--ask", str(EXAMPLES / "review_questions.yaml"))


def check_probabilities(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == 8
    for row in rows:
        for name in ("mood", "refund", "stars"):
            assert sum(row[f"{name}_probs"].values()) == pytest.approx(1, abs=1e-4)
            assert row[f"{name}_p"] == max(row[f"{name}_probs"].values())
            assert 0 < row[f"{name}_mass"] <= 1
        assert 1 <= row["stars"] <= 5


def test_the_demo_model_through_a_server(tmp_path: Path, demo_server: Server) -> None:
    """Its belief lies elsewhere, so that all ways of reading the options are used."""
    out = tmp_path / "out.jsonl"
    args = (*ASK, "-o", str(out), "--base-url", demo_server.base_url)
    batch(tmp_path, *args)
    rows = read(out)
    check_probabilities(rows)
    assert all(row["mood_mass"] < 0.1 for row in rows)
    again = batch(tmp_path, *args, "--verify", "3")
    assert read(out) == rows
    assert "Verified 3 rows" in again.stderr


@pytest.mark.timeout(900)  # the model is made first, and vLLM starts three times
def test_a_model_of_real_language_offline(tmp_path: Path) -> None:
    """Labels, calibration, choices and a schema, with a model that knows English."""
    model = smollm2()
    if model is None:
        pytest.skip("SmolLM2 can't be had here")
    out = tmp_path / "out.csv"
    labels = str(EXAMPLES / "review_labels.csv")
    options = ("--gold", labels, "--threshold", "0.9", "--review", "review.csv")
    run = partial(batch, tmp_path, seconds=420)  # 135M parameters are slow on a busy machine
    done = run(*ASK, "-o", str(out), "--model", str(model), *options)
    rows = read(out.with_suffix(".jsonl"))
    check_probabilities(rows)
    assert "mood: accuracy" in done.stderr and "(8 rows)" in done.stderr
    with out.open(newline="") as file:
        assert [row["custom_id"] for row in csv.DictReader(file)] == [f"r{n}" for n in range(1, 9)]
    schema = ("--schema", str(EXAMPLES / "order.schema.json"), "--extract", "who=$.customer")
    template = ("--template", "Extract the order as JSON: {mail}", "--temperature", "0")
    orders = tmp_path / "orders.jsonl"
    args = (str(EXAMPLES / "orders.csv"), "-o", str(orders), "--model", str(model))
    run(*args, *schema, *template, "--max-tokens", "300")
    assert all(isinstance(row["who"], str) for row in read(orders))
