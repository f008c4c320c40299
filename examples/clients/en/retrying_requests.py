"""A client that retries what is worth it, and waits twice as long each time."""

import os
import random
import sys
import time

import requests

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")
# 429 and 503: the server is busy; 502 and 504: a proxy in front can't reach it. To repeat others
# (400, 401, 404 ...) is of no use.
RETRYABLE = {429, 502, 503, 504}


def ask(message):
    """Return the answer. Raises requests.RequestException."""
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
        # A disconnect ends the generation, so this must be longer than the longest answer takes.
        timeout=(5, 600),
    )
    if not response.ok:
        raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
    return response.json()["choices"][0]["message"]["content"]


def robust_chat(message, max_retries=3):
    """Return the answer. Raises requests.RequestException after the last try, or at once where a
    retry is of no use."""
    for attempt in range(max_retries):
        wait = min(2**attempt, 30) * random.uniform(0.5, 1)  # so that not all come back at once
        try:
            return ask(message)
        except requests.ConnectionError:  # connect timeouts too, not those of reading
            reason = "no connection"
        except requests.HTTPError as error:
            if error.response.status_code not in RETRYABLE:
                raise
            reason = str(error)
            after = error.response.headers.get("Retry-After", "")
            if after.isdecimal():
                wait = min(int(after), 120)
        print(f"{reason}, retry in {wait:.1f} s", file=sys.stderr)
        time.sleep(wait)
    return ask(message)  # the last try: its error is the caller's


if __name__ == "__main__":
    try:
        print(robust_chat("What is machine learning?").strip())
    except requests.RequestException as error:
        sys.exit(f"Request failed: {error}")
