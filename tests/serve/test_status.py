"""`qchat status`."""

import json
from dataclasses import replace

import pytest
from qchat.serve.batches.objects import StoredBatch
from qchat.serve.batches.run_files import LOCK
from qchat.serve.batches.store import BatchStore
from qchat.serve.processes import process_tree
from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRegistry

from qchat import cli
from qchat.locks import FileLock

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


def test_batches(registry: ServerRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    """A run holds the lock of its folder; the others wait."""
    store = BatchStore(registry.batches("demo"))
    for name, status in (("b1", "in_progress"), ("b2", "in_progress"), ("b3", "validating")):
        batch = StoredBatch(name, "a", "/v1/x", "f", "24h", 0, 9)
        store.add_batch(replace(batch, status=status, total=1500, completed=1200, failed=3))
    store.add_batch(replace(batch, id="b4", status="completed"))
    (store.runs / "b1").mkdir()
    registry.write(record(state=records.FAILED))
    with FileLock(store.runs / "b1" / LOCK):
        assert cli.run(["status", "--json"]) == 0
        output = json.loads(capsys.readouterr().out)
        assert cli.run(["status"]) == 0
    store.close()
    expected = {"running": 1, "queued": 2, "done": 1203, "total": 1500}
    assert output["servers"][0]["batches"] == expected
    line = "demo: batches: 1 running (1,203 of 1,500 requests), 2 queued"
    assert line in capsys.readouterr().out


def test_no_batches(registry: ServerRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.write(record(state=records.FAILED))
    assert cli.run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["servers"][0]["batches"] is None
    registry.batches("demo").mkdir(parents=True)
    (registry.batches("demo") / "batches.sqlite").write_bytes(b"not a database")
    assert cli.run(["status"]) == 0
    assert "batches" not in capsys.readouterr().out
