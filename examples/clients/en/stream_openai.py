"""Streaming: the answer is shown while it is generated."""

import os
import sys

from openai import OpenAI, OpenAIError

client = OpenAI(
    base_url=os.environ.get("QCHAT_BASE_URL", "http://localhost:8000") + "/v1",
    api_key=os.environ.get("QCHAT_API_KEY") or "none",
)


def stream_chat(message):
    """Yield the answer piece by piece; the usage goes to standard error at the end."""
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
    with stream:  # leaving the loop early closes the connection and ends the generation
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
            if chunk.usage:  # the last chunk has the usage alone, and no choices
                print(f"\nUsage: {chunk.usage.completion_tokens} token", file=sys.stderr)


if __name__ == "__main__":
    try:
        for piece in stream_chat("Write a detailed guide to batch inference"):
            print(piece, end="", flush=True)
    except OpenAIError as error:
        sys.exit(f"\nRequest failed: {error}")
    print()
