"""会重试的客户端：只重试值得重试的错误，等待时间逐次加倍。"""

import os
import random
import sys
import time

import requests

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")
# 429 和 503：服务忙；502 和 504：前面的代理连不上服务。其余（400、401、404……）重试也没有用。
RETRYABLE = {429, 502, 503, 504}


def ask(message):
    """返回回答。出错时抛出 requests.RequestException。"""
    response = requests.post(
        f"{BASE_URL}/v1/chat/completions",
        headers={"Authorization": f"Bearer {API_KEY}"} if API_KEY else {},
        json={
            "model": "Qwen3-32B",
            "messages": [{"role": "user", "content": message}],
            "max_tokens": 1024,
            "temperature": 0.7,
            "top_p": 0.8,
            "chat_template_kwargs": {"enable_thinking": False},
        },
        # 断开连接就等于放弃这次生成，所以读超时要大于最长的回答。
        timeout=(5, 600),
    )
    if not response.ok:
        raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
    return response.json()["choices"][0]["message"]["content"]


def robust_chat(message, max_retries=3):
    """返回回答。重试用尽，或错误不值得重试时，抛出 requests.RequestException。"""
    for attempt in range(max_retries):
        wait = min(2**attempt, 30) * random.uniform(0.5, 1)  # 错开，免得大家同时再来
        try:
            return ask(message)
        except requests.ConnectionError:  # 连接超时也在其中；读超时不在，重试也一样慢
            reason = "连接失败"
        except requests.HTTPError as error:
            if error.response.status_code not in RETRYABLE:
                raise
            reason = str(error)
            after = error.response.headers.get("Retry-After", "")
            if after.isdecimal():
                wait = min(int(after), 120)
        print(f"{reason}，{wait:.1f} 秒后重试", file=sys.stderr)
        time.sleep(wait)
    return ask(message)  # 最后一次：错误交给调用者


if __name__ == "__main__":
    try:
        print(robust_chat("什么是机器学习？").strip())
    except requests.RequestException as error:
        sys.exit(f"请求失败：{error}")
