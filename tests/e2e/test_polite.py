"""`--low-priority` beside live requests, at a real server of `qchat serve` with keys."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.low_priority import MIN_MEASURED_ROWS

from qchat.api.priority import LIVE_TOTAL

from .servers import ALICE, BOB, Home, ask

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ROWS = 300
FEW_TOKENS = 8


def body(prompt: str, tokens: int) -> dict[str, Any]:
    return {
        "model": "Qwen3-32B",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
    }


def start(
    served: tuple[Home, int, Path], folder: Path, rows: int, tokens: int
) -> subprocess.Popen[str]:
    """A batch that yields, with progress as JSON on standard error."""
    home, port, _file = served
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(body(f"row {n}", tokens)) + "\n" for n in range(rows)))
    line = [sys.executable, "-m", "qchat", "batch", str(path), "--progress", "json"]
    line += ["--base-url", f"http://127.0.0.1:{port}", "--api-key-env", "BATCH_KEY"]
    line += ["--low-priority", "--concurrency", "48", "-o", str(folder / "out.jsonl")]
    environ = {**os.environ, **home.environ, "BATCH_KEY": ALICE}
    return subprocess.Popen(line, env=environ, stderr=subprocess.PIPE, text=True)


def check_results(folder: Path, rows: int) -> None:
    """Each row has one line."""
    results = [json.loads(row) for row in (folder / "out.jsonl").read_text().splitlines()]
    assert sorted(row["_qchat"]["line"] for row in results) == list(range(1, rows + 1))


def live_total(port: int) -> float:
    """The live requests that the server has counted."""
    text = ask(port, "GET", f"/metrics?name[]={LIVE_TOTAL}", BOB)[1]
    [value] = re.findall(rf"^{LIVE_TOTAL} (\S+)", str(text), re.MULTILINE)
    return float(value)


def test_a_batch_yields_and_loses_nothing(served: tuple[Home, int, Path], tmp_path: Path) -> None:
    _home, port, _file = served
    process = start(served, tmp_path, ROWS, 60)
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
    check_results(tmp_path, ROWS)


def test_how_many_rows_go_on_is_measured_at_the_server(
    served: tuple[Home, int, Path], tmp_path: Path
) -> None:
    _home, port, _file = served
    before = live_total(port)
    process = start(served, tmp_path, MIN_MEASURED_ROWS, FEW_TOKENS)
    _out, text = process.communicate(timeout=240)
    assert process.returncode == 0
    events = [json.loads(line) for line in text.splitlines()]
    [said] = [e["text"] for e in events if "in flight at most" in e.get("text", "")]
    [state] = next(event["servers"] for event in reversed(events) if "servers" in event)
    assert f"beside live requests {state['yielding']['allowed']} row" in said
    assert live_total(port) == before  # what measures is no live request
    check_results(tmp_path, MIN_MEASURED_ROWS)
