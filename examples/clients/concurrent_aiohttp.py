"""并发提问：同时进行的请求有上限，一个失败不影响其他。

成批的文件请用 qchat batch：它会重试，中断之后还能继续。
"""

import asyncio
import json
import os
import sys

import aiohttp

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")
CONCURRENCY = 32  # 超出的部分留在这里排队，不堆到服务里


async def send_request(session, prompt):
    """返回 {"prompt", "answer", "usage"}，失败时返回 {"prompt", "error"}。"""
    body = {
        "model": "Qwen3-32B",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 1024,
        "temperature": 0.7,
        "top_p": 0.8,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    try:
        async with session.post(f"{BASE_URL}/v1/chat/completions", json=body) as response:
            if response.status != 200:
                return {"prompt": prompt, "error": f"{response.status}: {await response.text()}"}
            data = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        return {"prompt": prompt, "error": str(error) or type(error).__name__}
    answer = data["choices"][0]["message"]["content"]
    return {"prompt": prompt, "answer": answer, "usage": data["usage"]}


async def batch_chat(prompts):
    """返回每个问题的结果，次序与 prompts 相同。"""
    jobs = enumerate(prompts)  # 所有 worker 从这里取，取完为止
    results = {}

    async def worker(session):
        for number, prompt in jobs:
            results[number] = await send_request(session, prompt)

    async with (
        aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {API_KEY}"} if API_KEY else {},
            connector=aiohttp.TCPConnector(limit=CONCURRENCY),  # 默认上限是 100
            timeout=aiohttp.ClientTimeout(total=600, sock_connect=5),
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CONCURRENCY):
            group.create_task(worker(session))
    return [results[number] for number in sorted(results)]


if __name__ == "__main__":
    found = asyncio.run(batch_chat(["什么是机器学习？", "什么是量子计算？", "什么是区块链技术？"]))
    for result in found:
        print(json.dumps(result, ensure_ascii=False))
    sys.exit(1 if any("error" in result for result in found) else 0)
