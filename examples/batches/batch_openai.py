"""A batch with OpenAI's client, against a server that was started with `qchat serve --batches`."""

import json
import os
import time
from pathlib import Path

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("QCHAT_BASE_URL", "http://127.0.0.1:8000") + "/v1",
    api_key=os.environ["QCHAT_API_KEY"],
)
model = os.environ.get("QCHAT_MODEL", "Qwen3-32B")
questions = ["你好，请介绍一下你自己", "什么是机器学习？"]

with Path("tasks.jsonl").open("w", encoding="utf-8") as file:
    for index, question in enumerate(questions):
        task = {
            "custom_id": f"task-{index}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": question}]},
        }
        file.write(json.dumps(task, ensure_ascii=False) + "\n")

with Path("tasks.jsonl").open("rb") as file:
    uploaded = client.files.create(file=file, purpose="batch")
batch = client.batches.create(
    input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
)
while batch.status not in ("completed", "failed", "expired", "cancelled"):
    time.sleep(1)
    batch = client.batches.retrieve(batch.id)
print(batch.status, batch.request_counts)

for line in client.files.content(batch.output_file_id).text.splitlines():
    result = json.loads(line)
    print(result["custom_id"], result["response"]["body"]["choices"][0]["message"]["content"])
