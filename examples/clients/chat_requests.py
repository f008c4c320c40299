"""用 requests 提问。"""

import os
import sys

import requests

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")


def chat_with_qwen(message, history=None):
    """返回回答。history 是之前的消息列表。出错时抛出 requests.RequestException。"""
    response = requests.post(
        f"{BASE_URL}/v1/chat/completions",
        headers={"Authorization": f"Bearer {API_KEY}"} if API_KEY else {},
        json={
            "model": "Qwen3-32B",
            "messages": [*(history or []), {"role": "user", "content": message}],
            "max_tokens": 1024,
            "temperature": 0.7,
            "top_p": 0.8,
            "chat_template_kwargs": {"enable_thinking": False},
        },
        timeout=(5, 600),  # 连接 5 秒；非流式请求在回答写完之前不返回任何字节
    )
    if not response.ok:
        # 服务在正文里说明原因，raise_for_status() 会把它丢掉。
        raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
    result = response.json()
    choice = result["choices"][0]
    if choice["finish_reason"] == "length":
        print("提示：回答在 max_tokens 处被截断", file=sys.stderr)
    return choice["message"]["content"]


if __name__ == "__main__":
    try:
        answer = chat_with_qwen("解释一下量子计算的基本原理")
    except requests.RequestException as error:
        sys.exit(f"请求失败：{error}")
    print(answer.strip())
