"""A simple performance test: python performance.py [SECONDS]; 60 seconds and 5 threads.

It is a closed loop (a request is sent when the last one is done). For percentiles, the time to
the first token and constant rates use qchat bench.
"""

import os
import sys
import threading
import time
from collections import Counter
from statistics import mean, median

import requests

BASE_URL = os.environ.get("QCHAT_BASE_URL", "http://localhost:8000")
API_KEY = os.environ.get("QCHAT_API_KEY")
THREADS = 5


def ask(session):
    """Send a request; return (seconds, tokens generated). Raises requests.RequestException."""
    start = time.perf_counter()
    response = session.post(
        f"{BASE_URL}/v1/chat/completions",
        headers={"Authorization": f"Bearer {API_KEY}"} if API_KEY else {},
        json={
            "model": "Qwen3-32B",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 10,
        },
        timeout=(5, 600),
    )
    response.raise_for_status()
    return time.perf_counter() - start, response.json()["usage"]["completion_tokens"]


def performance_test(duration):
    """Print the results; return the number of requests that succeeded."""
    with requests.Session() as session:
        ask(session)  # warms up and does not count; without a server it fails here
    results = []
    errors = Counter()
    start = time.perf_counter()

    def worker():
        with requests.Session() as session:  # one for each thread: connections are used again
            while time.perf_counter() - start < duration:
                try:
                    results.append(ask(session))
                except requests.RequestException as error:
                    errors[str(error)] += 1
                    time.sleep(0.5)

    threads = [threading.Thread(target=worker) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start  # the last requests end after duration

    if results:
        seconds = [result[0] for result in results]
        print(f"Mean response time: {mean(seconds):.3f}s (median {median(seconds):.3f}s)")
        print(f"Requests: {len(results)}")
        print(f"QPS: {len(results) / elapsed:.2f}")
        print(f"Output: {sum(result[1] for result in results) / elapsed:.1f} token/s")
    for reason, count in errors.items():
        print(f"{count} failed: {reason}", file=sys.stderr)
    return len(results)


if __name__ == "__main__":
    try:
        succeeded = performance_test(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
    except requests.RequestException as error:
        sys.exit(f"Request failed: {error}")
    sys.exit(0 if succeeded else 1)
