"""用 OpenAI 库提问。连接超时 5 秒、总超时 600 秒、重试 2 次都是这个库的默认值。"""

import os
import sys

from openai import OpenAI, OpenAIError

client = OpenAI(
    base_url=os.environ.get("QCHAT_BASE_URL", "http://localhost:8000") + "/v1",
    # 服务没有设密钥时什么值都可以，但这个库不接受空值。
    api_key=os.environ.get("QCHAT_API_KEY") or "none",
)


def chat_completion(messages, thinking=False):
    """返回 message：回答在 content，思考过程在 reasoning（没有思考时是 None）。"""
    response = client.chat.completions.create(
        model="Qwen3-32B",
        messages=messages,
        max_tokens=2048,
        temperature=0.6 if thinking else 0.7,
        top_p=0.95 if thinking else 0.8,
        # OpenAI 没有的参数放在 extra_body 里。
        extra_body={"chat_template_kwargs": {"enable_thinking": thinking}},
    )
    choice = response.choices[0]
    if choice.finish_reason == "length":
        print("提示：回答在 max_tokens 处被截断", file=sys.stderr)
    return choice.message


if __name__ == "__main__":
    try:
        message = chat_completion(
            [
                {"role": "system", "content": "你是一个helpful的AI助手"},
                {"role": "user", "content": "帮我写一个Python排序算法"},
            ]
        )
    except OpenAIError as error:
        sys.exit(f"请求失败：{error}")
    print(message.content.strip())
