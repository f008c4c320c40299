"""流式对话：边生成边显示。"""

import os
import sys

from openai import OpenAI, OpenAIError

client = OpenAI(
    base_url=os.environ.get("QCHAT_BASE_URL", "http://localhost:8000") + "/v1",
    api_key=os.environ.get("QCHAT_API_KEY") or "none",
)


def stream_chat(message):
    """逐段产生回答；最后把用量写到标准错误。"""
    stream = client.chat.completions.create(
        model="Qwen3-32B",
        messages=[{"role": "user", "content": message}],
        max_tokens=2048,
        temperature=0.7,
        top_p=0.8,
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
        stream=True,
        stream_options={"include_usage": True},
    )
    with stream:  # 提前退出循环时断开连接，服务随即停止生成
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
            if chunk.usage:  # 最后一块只有用量，它的 choices 是空的
                print(f"\n用量：{chunk.usage.completion_tokens} token", file=sys.stderr)


if __name__ == "__main__":
    try:
        for piece in stream_chat("请详细介绍一下深度学习的发展历程"):
            print(piece, end="", flush=True)
    except OpenAIError as error:
        sys.exit(f"\n请求失败：{error}")
    print()
