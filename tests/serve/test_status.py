"""`qchat status`."""

import json
from dataclasses import replace

import pytest
from qchat.serve.processes import process_tree
from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRegistry

from qchat import cli

from .holders import record


def test_text_of_others_is_sanitized(
    registry: ServerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.write(replace(record(state=records.FAILED), message="bad\x1b[2Jworse\nworst"))
    assert cli.run(["status"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "demo: badworse worst" in out


def test_servers_and_other_vllm_processes_as_json(
    registry: ServerRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    marks: list[str] = []
    monkeypatch.setattr(
        process_tree, "foreign", lambda names: marks.extend(names) or [(7, "vllm serve m")]
    )
    registry.write(record(state=records.FAILED))
    assert cli.run(["status", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [(server["name"], server["state"]) for server in output["servers"]] == [
        ("demo", "failed")
    ]
    assert output["foreign"] == [{"pid": 7, "command": "vllm serve m"}]
    assert marks == ["no such mark demo"]
    assert cli.run(["status"]) == 0
    assert "  7  vllm serve m" in capsys.readouterr().out
