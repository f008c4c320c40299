"""`qchat bench` against the real vLLM with the demo model."""

import json
from pathlib import Path

import pytest

from qchat import cli

from .servers import Server

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_tokens_in_and_out_are_those_asked_for(
    endpoint: str,
    demo_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    file = tmp_path / "a.json"
    arguments = ["bench", "--base-url", demo_server.base_url, "--endpoint", endpoint]
    arguments += ["--concurrency", "4", "--requests", "12", "--warm-up", "0", "--json", str(file)]
    # A client that shares two cores with vLLM may be late: 1 says so, and is no failure here.
    assert cli.run([*arguments, "--input-len", "100", "--output-len", "24"]) in (0, 1)
    result = json.loads(file.read_text())
    (phase,) = result["phases"]
    assert (phase["answered"], phase["failed"]) == (12, 0)
    assert (phase["prompt_tokens"], phase["output_tokens"]) == (1200, 288)
    assert phase["tokens_counted_by"] == "server"
    assert 0 < phase["ttft_ms"]["p50"] < phase["latency_ms"]["p50"]
    captured = capsys.readouterr()
    assert "Prompts of 100 tokens" in captured.err and "does not take" not in captured.err
    assert "100 prompt, 24.0 output" in captured.out
