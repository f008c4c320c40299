"""`qchat demo`: its questions, and what it says where vLLM is missing."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from qchat import cli, installation
from qchat.demo import questions_file
from qchat.errors import UsageError

QUESTIONS = Path(__file__).parents[2] / "examples" / "questions.jsonl"


def test_the_questions_are_those_of_the_examples() -> None:
    assert questions_file().read_bytes() == QUESTIONS.read_bytes()


def test_without_vllm_it_leads_to_an_installation_or_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _name: None)
    result = CliRunner().invoke(cli.main, ["demo", str(tmp_path / "demo")])
    assert isinstance(result.exception, UsageError)
    assert "qchat setup" in str(result.exception) and not (tmp_path / "demo").exists()
