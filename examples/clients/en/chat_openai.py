"""A question with the OpenAI library, whose defaults are 5 s to connect, 600 s in all, 2
retries."""

import os
import sys

from openai import OpenAI, OpenAIError

client = OpenAI(
    base_url=os.environ.get("QCHAT_BASE_URL", "http://localhost:8000") + "/v1",
    # Any value will do for a server without a key, but the library takes no empty one.
    api_key=os.environ.get("QCHAT_API_KEY") or "none",
)


def chat_completion(messages, thinking=False):
    """Return the message: the answer is in content, the thoughts in reasoning (None without)."""
    response = client.chat.completions.create(
        model="Qwen3-32B",
        messages=messages,
        max_tokens=2048,
        temperature=0.6 if thinking else 0.7,
        top_p=0.95 if thinking else 0.8,
        # What OpenAI does not have goes into extra_body.
        extra_body={"chat_template_kwargs": {"enable_thinking": thinking}},
    )
    choice = response.choices[0]
    if choice.finish_reason == "length":
        print("Note: the answer was cut at max_tokens", file=sys.stderr)
    return choice.message


if __name__ == "__main__":
    try:
        message = chat_completion(
            [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Write a Fibonacci function in Python"},
            ]
        )
    except OpenAIError as error:
        sys.exit(f"Request failed: {error}")
    print(message.content.strip())
