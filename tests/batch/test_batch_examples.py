"""The scripts of examples/batch run as they stand, against a server that knows the reviews."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .commands import read
from .label_server import label_server

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "batch"


def run(name: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a person does who has `qchat` on the path."""
    bin_folder = home / "bin"
    bin_folder.mkdir()
    program = bin_folder / "qchat"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qchat "$@"\n')
    program.chmod(0o755)
    shell = shutil.which("sh")
    assert shell is not None
    with label_server() as url:
        done = subprocess.run(
            [shell, str(EXAMPLES / name), "--base-url", url],
            env={**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    return done


def table(name: str) -> list[dict[str, str]]:
    with Path(name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_labelling_with_probabilities_and_labels(home: Path) -> None:
    done = run("label.sh", home)
    rows = table("labelled.csv")
    assert [row["custom_id"] for row in rows] == [f"r{n}" for n in range(1, 9)]
    assert [row["mood"] for row in rows[:3]] == ["good", "bad", "mixed"]
    assert float(rows[0]["mood_p"]) > 0.9 and float(rows[0]["stars"]) > 4
    assert "mood: accuracy " in done.stderr and "(8 rows)" in done.stderr
    assert "refund: accuracy " in done.stderr and "(7 rows)" in done.stderr
    assert len(table("to_review.csv")) <= 8


def test_extracting_to_a_schema(home: Path) -> None:
    run("extract.sh", home)
    rows = table("orders.csv")
    assert [(row["customer"], row["product"], row["count"]) for row in rows] == [
        ("Anna Berg", "lamp", "3")
    ] * 2


def test_evaluating_with_votes(home: Path) -> None:
    done = run("vote.sh", home)
    votes = read("votes.votes.jsonl")
    assert [row["output"] for row in votes[:3]] == ["good", "bad", "mixed"]
    assert all(row["output_share"] == 1.0 for row in votes)
    assert len(read("votes.jsonl")) == 40
    assert "output: accuracy " in done.stderr


def test_judging_another_runs_answers(home: Path) -> None:
    run("judge.sh", home)
    judged = read("judged.jsonl")
    assert len(judged) == 4
    assert all(str(row["answer"]).startswith("About that: ") for row in judged)
    assert {"right", "right_p", "clear", "clear_mass"} <= judged[0].keys()


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.sh")))
def test_each_script_is_in_the_readme(name: str) -> None:
    readme = (EXAMPLES.parent.parent / "README.md").read_text("utf-8")
    assert f"examples/batch/{name}" in readme
