"""并发提问：同时进行的请求有上限，一个失败不影响其他。

成批的文件请用 qchat batch：它会重试，中断之后还能继续。
"""

import asyncio
import os
import sys

import aiohttp

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")
CONCURRENCY = 32  # 超出的部分留在这里排队，不堆到服务里


async def send_request(session, messages):
    """返回回答；出错时抛出 aiohttp.ClientError、TimeoutError 或 RuntimeError。"""
    body = {
        "model": "Qwen3-32B",
        "messages": messages,
        "max_tokens": 1024,
        "temperature": 0.7,
        "top_p": 0.8,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    async with session.post(f"{BASE_URL}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {await response.text()}")
        data = await response.json()
    return data["choices"][0]["message"]["content"]


async def batch_chat(messages_list):
    """返回每组消息的回答，次序与 messages_list 相同；失败的那一项是异常对象。"""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(session, messages):
        async with slots:
            return await send_request(session, messages)

    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {API_KEY}"} if API_KEY else {},
        connector=aiohttp.TCPConnector(limit=CONCURRENCY),  # 默认上限是 100
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=600),
    ) as session:
        tasks = [one(session, messages) for messages in messages_list]
        return await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    questions = ["什么是机器学习？", "什么是量子计算？", "什么是区块链技术？"]
    answers = asyncio.run(batch_chat([[{"role": "user", "content": q}] for q in questions]))
    for question, answer in zip(questions, answers):
        if isinstance(answer, Exception):
            print(f"{question} 失败：{answer or type(answer).__name__}", file=sys.stderr)
        else:
            print(f"## {question}\n\n{answer.strip()}\n")
    sys.exit(1 if any(isinstance(answer, Exception) for answer in answers) else 0)
