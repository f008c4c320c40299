"""A question with requests."""

import os
import sys

import requests

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")


def chat_with_qwen(message, history=None):
    """Return the answer; history is the list of earlier messages. Raises
    requests.RequestException."""
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
        timeout=(5, 600),  # to connect 5 s; without a stream no byte comes before the end
    )
    if not response.ok:
        # The server says why in the body, which raise_for_status() would drop.
        raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
    result = response.json()
    choice = result["choices"][0]
    if choice["finish_reason"] == "length":
        print("Note: the answer was cut at max_tokens", file=sys.stderr)
    return choice["message"]["content"]


if __name__ == "__main__":
    try:
        answer = chat_with_qwen("What is gradient descent?")
    except requests.RequestException as error:
        sys.exit(f"Request failed: {error}")
    print(answer.strip())
