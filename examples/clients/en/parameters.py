"""Three sets of parameters; they are qchat's presets fast, creative and code."""

import os
import sys

from openai import OpenAI, OpenAIError

# Fast (short answers)
FAST = {"max_tokens": 50, "temperature": 0.3, "top_p": 0.8}

# Creative (longer answers)
CREATIVE = {"max_tokens": 500, "temperature": 0.9, "top_p": 0.95}

# Code (exactness first)
CODE = {"max_tokens": 200, "temperature": 0.1, "top_p": 0.5}

# While thinking, so low a temperature repeats without end, and max_tokens leaves no room for
# thoughts: so thinking is off.
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}

if __name__ == "__main__":
    client = OpenAI(
        base_url=os.environ.get("QCHAT_BASE_URL", "http://localhost:8000") + "/v1",
        api_key=os.environ.get("QCHAT_API_KEY") or "none",
    )
    for prompt, values in [
        ("Hello", FAST),
        ("Write a poem about the sea", CREATIVE),
        ("Write a Fibonacci function in Python", CODE),
    ]:
        try:
            response = client.chat.completions.create(
                model="Qwen3-32B",
                messages=[{"role": "user", "content": prompt}],
                extra_body=NO_THINKING,
                **values,
            )
        except OpenAIError as error:
            sys.exit(f"Request failed: {error}")
        print(f"## {prompt}\n\n{response.choices[0].message.content.strip()}\n")
