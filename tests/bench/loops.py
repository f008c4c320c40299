"""The clients that qchat is measured against: a bare aiohttp loop and the openai SDK.

    python -m tests.bench.loops aiohttp|openai URL ROWS.jsonl OUT.jsonl CONCURRENCY

Each reads OpenAI batch lines, asks for all of them, and writes the answers as lines: no checks, no
retries, no resume. The key is QCHAT_BENCH_KEY, if any. Prints rows a second from the first request
to the last line, as JSON.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from openai import AsyncOpenAI

KEY = os.environ.get("QCHAT_BENCH_KEY", "none")


async def bare(url: str, bodies: list[dict[str, Any]], out: Path, concurrency: int) -> None:
    """Workers over one aiohttp session."""
    todo = iter(bodies)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    with out.open("wb") as file:
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), headers=headers
        ) as session:

            async def work() -> None:
                for body in todo:
                    async with session.post(
                        f"{url}/v1/chat/completions", data=orjson.dumps(body)
                    ) as response:
                        assert response.status == 200, await response.text()
                        answer = orjson.loads(await response.read())
                    file.write(orjson.dumps({"request": body, "answer": answer}) + b"\n")

            await asyncio.gather(*(work() for _worker in range(concurrency)))


async def sdk(url: str, bodies: list[dict[str, Any]], out: Path, concurrency: int) -> None:
    """`asyncio.gather` over the SDK, no more at once than `concurrency`."""
    gate = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:

        async def ask(body: dict[str, Any]) -> str:
            extra = {"extra_body": {"ignore_eos": True}} if body.pop("ignore_eos", False) else {}
            async with gate:
                answer = await client.chat.completions.create(**body, **extra)
            return answer.model_dump_json()

        answers = await asyncio.gather(*(ask(dict(body)) for body in bodies))
    out.write_text("".join(f"{answer}\n" for answer in answers))


def main() -> None:
    """Run one of them."""
    name, url, rows, out, concurrency = sys.argv[1:]
    bodies = [orjson.loads(line)["body"] for line in Path(rows).read_bytes().splitlines()]
    client = {"aiohttp": bare, "openai": sdk}[name]
    began = time.monotonic()
    asyncio.run(client(url, bodies, Path(out), int(concurrency)))
    print(json.dumps({"rows_per_second": len(bodies) / (time.monotonic() - began)}))


if __name__ == "__main__":
    main()
