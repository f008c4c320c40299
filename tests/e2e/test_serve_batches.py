"""The Batch API before the real vLLM: answers, owners, counters, and a service that is killed."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from qchat import demo

from .servers import ALICE, BOB, READY, Home, ask

pytestmark = pytest.mark.vllm
PAIRS = [
    pair
    for pair in demo.pairs()
    if len(pair.messages) == 1 and not (pair.tools or pair.reasoning or pair.schema)
][:20]
MODEL = "Qwen3-32B"


def client_of(port: int, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)


def ended(client: openai.OpenAI, batch_id: str) -> Any:
    deadline = time.monotonic() + READY
    while (batch := client.batches.retrieve(batch_id)).status not in ("completed", "failed"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.2)
    return batch


def tasks() -> bytes:
    lines = []
    for pair in PAIRS:
        body = {
            "model": MODEL,
            "temperature": 0,
            "messages": pair.messages,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        line = {"custom_id": pair.id, "method": "POST", "url": "/v1/chat/completions"}
        lines.append(json.dumps({**line, "body": body}) + "\n")
    return "".join(lines).encode()


def counted(port: int) -> int:
    _status, text = ask(port, "GET", "/metrics", BOB)
    (line,) = [x for x in text.splitlines() if x.startswith('qchat_requests_total{key="bob"}')]
    return int(float(line.rpartition(" ")[2]))


def service_of(home: Home) -> list[int]:
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_service = b"qchat.serve.batches.service" in (path / "cmdline").read_bytes()
            if is_service and str(home.path).encode() in (path / "environ").read_bytes():
                pids.append(int(path.name))
        except OSError:
            continue
    return pids


def test_a_batch(served: tuple[Home, int, Path]) -> None:
    home, port, _keys = served
    client = client_of(port, BOB)
    before = counted(port)
    file = client.files.create(file=("tasks.jsonl", tasks()), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    (service,) = service_of(home)
    os.kill(service, signal.SIGKILL)
    # The live API goes on meanwhile.
    assert ask(port, "GET", "/v1/models", ALICE)[0] == 200
    deadline = time.monotonic() + 60
    while ask(port, "GET", "/v1/batches", BOB)[0] == 503:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    batch = ended(client, batch.id)
    assert batch.status == "completed", batch
    results = [json.loads(x) for x in client.files.content(batch.output_file_id).text.splitlines()]
    answers = {
        result["custom_id"]: result["response"]["body"]["choices"][0]["message"]["content"]
        for result in results
    }
    assert len(results) == len(PAIRS)
    assert {name: text.strip() for name, text in answers.items()} == {
        pair.id: pair.content.strip() for pair in PAIRS
    }
    assert counted(port) - before >= len(PAIRS)
    assert batch.usage.output_tokens > len(PAIRS)
    with pytest.raises(openai.NotFoundError):
        client_of(port, ALICE).batches.retrieve(batch.id)
    status = json.loads(home.run("status", "--json").stdout)["servers"][0]
    assert status["batches"] == {"running": 0, "queued": 0, "done": 0, "total": 0}
