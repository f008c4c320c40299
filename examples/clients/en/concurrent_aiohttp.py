"""Questions at the same time, a bounded number; a failure costs no other answer.

For files of prompts use qchat batch: it retries, and goes on after an interruption.
"""

import asyncio
import os
import sys

import aiohttp

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")
CONCURRENCY = 32  # the others wait here, not in the server


async def send_request(session, messages):
    """Return the answer. Raises aiohttp.ClientError, TimeoutError or RuntimeError."""
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
    """Return the answer to each list of messages, in their order; an exception where one failed."""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(session, messages):
        async with slots:
            return await send_request(session, messages)

    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {API_KEY}"} if API_KEY else {},
        connector=aiohttp.TCPConnector(limit=CONCURRENCY),  # 100 unless told
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=600),
    ) as session:
        tasks = [one(session, messages) for messages in messages_list]
        return await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    questions = ["What is machine learning?", "What is overfitting?", "What is a token?"]
    answers = asyncio.run(batch_chat([[{"role": "user", "content": q}] for q in questions]))
    for question, answer in zip(questions, answers):
        if isinstance(answer, Exception):
            print(f"{question} failed: {answer or type(answer).__name__}", file=sys.stderr)
        else:
            print(f"## {question}\n\n{answer.strip()}\n")
    sys.exit(1 if any(isinstance(answer, Exception) for answer in answers) else 0)
