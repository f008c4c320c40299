"""Limits, with a real engine: one greedy client does not hold up the others."""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access.keys import MIN_LENGTH

from .servers import ALICE, BOB, Home, ask

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

CROWD = "c" * MIN_LENGTH
LONG = {
    "model": "Qwen3-32B",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 500,
    "ignore_eos": True,
}
CHAT = "/v1/chat/completions"
MAX_TTFT = 2.0  # seconds


class Crowd:
    """Many requests of one client: each asks again as soon as it has an answer or a refusal."""

    def __init__(self, port: int, size: int) -> None:
        self.statuses: list[int] = []
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _n in range(size)]

    def _ask(self) -> None:
        headers = {"Authorization": f"Bearer {CROWD}", "Content-Type": "application/json"}
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
            connection.request("POST", CHAT, json.dumps(LONG), headers)
            response = connection.getresponse()
            response.read()
            connection.close()
            self.statuses.append(response.status)
            if response.status == 429:
                self._stop.wait(float(response.headers["Retry-After"]))

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def ttft(port: int, key: str) -> float:
    """Seconds until the first token of a streamed answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = {**LONG, "max_tokens": 3, "stream": True}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    began = time.monotonic()
    connection.request("POST", CHAT, json.dumps(body), headers)
    response = connection.getresponse()
    assert response.status == 200
    while True:
        line = response.readline()
        assert line, "the stream ended without a token"
        if line.startswith(b"data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            if delta.get("content") or delta.get("reasoning"):
                break
    seconds = time.monotonic() - began
    response.read()
    connection.close()
    return seconds


@pytest.fixture
def crowded(served: tuple[Home, int, Path]) -> Iterator[int]:
    """The port of the server, where the key `CROWD` has limits; they are read while it runs."""
    _home, port, file = served
    before = file.read_text()
    file.write_text(f"{before}crowd {CROWD} max-running=16 max-n=8\n")
    deadline = time.monotonic() + 30
    while ask(port, "GET", "/v1/models", CROWD)[0] != 200:
        assert time.monotonic() < deadline, "the key file is not read again"
        time.sleep(0.1)
    yield port
    file.write_text(before)


def figures(port: int) -> dict[str, float]:
    """What /metrics counts for the crowd."""
    status, text = ask(port, "GET", "/metrics", ALICE)
    assert status == 200
    lines = (line.rpartition(" ") for line in text.splitlines() if 'key="crowd"' in line)
    return {name.partition("{")[0]: float(value) for name, _blank, value in lines}


def test_beside_a_crowd_another_client_has_its_first_token_soon(crowded: int) -> None:
    ttft(crowded, BOB)
    with Crowd(crowded, 64) as crowd:
        deadline = time.monotonic() + 60
        while figures(crowded).get("qchat_requests_running", 0) < 16 or 429 not in crowd.statuses:
            assert time.monotonic() < deadline, crowd.statuses
            time.sleep(0.1)
        times = [ttft(crowded, BOB) for _n in range(5)]
    assert set(crowd.statuses) == {200, 429}
    assert statistics.median(times) < MAX_TTFT, times
    counted = figures(crowded)
    assert counted["qchat_requests_running"] == 0
    assert counted["qchat_requests_total"] == crowd.statuses.count(200)
    assert counted["qchat_request_completion_tokens_total"] == 500 * crowd.statuses.count(200)


@pytest.mark.parametrize(("key", "n"), [(ALICE, 8000), (ALICE, 65), (CROWD, 9)])
def test_too_many_completions_are_refused_at_once(crowded: int, key: str, n: int) -> None:
    body: dict[str, Any] = {**LONG, "n": n}
    began = time.monotonic()
    status, answer = ask(crowded, "POST", CHAT, key, body)
    assert status == 400 and answer["error"]["param"] == "n"
    assert time.monotonic() - began < MAX_TTFT


def test_a_priority_of_its_own_does_not_fail_the_request(crowded: int) -> None:
    """vLLM would refuse it: this server's scheduler has none."""
    body = {**LONG, "max_tokens": 2, "priority": -5}
    assert ask(crowded, "POST", CHAT, ALICE, body)[0] == 200


def test_a_stream_looks_as_without_counting(crowded: int) -> None:
    status, text = ask(crowded, "POST", CHAT, ALICE, {**LONG, "max_tokens": 3, "stream": True})
    assert status == 200 and '"usage"' not in text and text.endswith("data: [DONE]\n\n")
