"""`--gold`: how labels find the rows that they belong to."""

import json
from pathlib import Path

import pytest

from ..commands import batch
from ..echo import echoing
from .labeller import Labeller

QUESTIONS = """\
text: "{{ review }}"
questions:
  - {name: mood, type: choice, ask: "How does the customer feel?", options: [good, bad]}
"""


@pytest.fixture(autouse=True)
def _files(home: Path) -> None:
    Path("q.yaml").write_text(QUESTIONS)


def compared(name: str) -> int:
    """Run over a file; return how many of its answers were compared with a label."""
    with echoing(Labeller(lambda _text: {"good": 0.8, "bad": 0.1})):
        assert batch(name, "--ask", "q.yaml", "-o", "out.jsonl", "--gold", "gold.csv") == 0
    manifest = json.loads(Path("out.manifest.json").read_text())
    count: int = manifest["questions"]["mood"]["rows"]
    return count


def test_labels_of_no_row_are_counted(capfd: pytest.CaptureFixture[str]) -> None:
    Path("in.csv").write_text("custom_id,review\na,fine\nb,poor\n")
    Path("gold.csv").write_text("custom_id,mood\na,good\nb,bad\ny,\nz,good\n")
    assert compared("in.csv") == 2
    assert "1 row of gold.csv has a custom_id that no answered row has." in capfd.readouterr().err


@pytest.mark.parametrize(("own", "gold"), [("1,3", "1.0,3.0"), ("1.0,3.0", "1,3")])
def test_keys_may_be_whole_floats(own: str, gold: str) -> None:
    """pandas writes 1.0 for a 1 in a column that has an empty cell."""
    rows = [{"custom_id": json.loads(number), "review": "fine"} for number in own.split(",")]
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("gold.csv").write_text("custom_id,mood\n{},good\n{},bad\n".format(*gold.split(",")))
    assert compared("in.jsonl") == 2
