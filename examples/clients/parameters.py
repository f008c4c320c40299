"""三组参数：快速、创意、代码。与 qchat 的预设 fast、creative、code 相同。"""

import os
import sys

from openai import OpenAI, OpenAIError

# 快速响应（较短回复）
FAST = {"max_tokens": 50, "temperature": 0.3, "top_p": 0.8}

# 创意生成（较长回复）
CREATIVE = {"max_tokens": 500, "temperature": 0.9, "top_p": 0.95}

# 代码生成（精确性优先）
CODE = {"max_tokens": 200, "temperature": 0.1, "top_p": 0.5}

# 思考模式不能用这样低的 temperature（会无休止地重复），max_tokens 也容不下思考过程，所以关掉思考。
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}

if __name__ == "__main__":
    client = OpenAI(
        base_url=os.environ.get("QCHAT_BASE_URL", "http://localhost:8000") + "/v1",
        api_key=os.environ.get("QCHAT_API_KEY") or "none",
    )
    for prompt, values in [
        ("Hello", FAST),
        ("写一首关于春天的诗", CREATIVE),
        ("帮我写一个Python排序算法", CODE),
    ]:
        try:
            response = client.chat.completions.create(
                model="Qwen3-32B",
                messages=[{"role": "user", "content": prompt}],
                extra_body=NO_THINKING,
                **values,
            )
        except OpenAIError as error:
            sys.exit(f"请求失败：{error}")
        print(f"## {prompt}\n\n{response.choices[0].message.content.strip()}\n")
