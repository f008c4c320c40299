"""`--low-priority` beside live requests, at a real server of `qchat serve` with keys."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .servers import ALICE, BOB, Home, ask

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ROWS = 300


def body(prompt: str, tokens: int) -> dict[str, Any]:
    return {
        "model": "Qwen3-32B",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
    }


def test_a_batch_yields_and_loses_nothing(served: tuple[Home, int, Path], tmp_path: Path) -> None:
    home, port, _file = served
    rows = tmp_path / "in.jsonl"
    rows.write_text("".join(json.dumps(body(f"row {n}", 60)) + "\n" for n in range(ROWS)))
    line = [sys.executable, "-m", "qchat", "batch", str(rows), "--progress", "json"]
    line += ["--base-url", f"http://127.0.0.1:{port}", "--api-key-env", "BATCH_KEY"]
    line += ["--low-priority", "--concurrency", "48", "-o", str(tmp_path / "out.jsonl")]
    process = subprocess.Popen(
        line,
        env={**os.environ, **home.environ, "BATCH_KEY": ALICE},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    events: list[dict[str, Any]] = []
    asked = 0
    for text in process.stderr:
        events.append(json.loads(text))
        servers = events[-1].get("servers")
        if servers and servers[0]["in_flight"] > 4 and asked < 2:
            asked += 1
            assert ask(port, "POST", "/v1/chat/completions", BOB, body("live", 30))[0] == 200
            time.sleep(0.2)
    assert process.wait(60) == 0
    [state] = next(event["servers"] for event in reversed(events) if "servers" in event)
    assert asked and state["yielding"]["live_seconds"] >= 2
    assert state["yielding"]["withdrawn"] > 0
    results = [json.loads(row) for row in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(row["_qchat"]["line"] for row in results) == list(range(1, ROWS + 1))
