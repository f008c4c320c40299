"""The rate of requests: that of a person's limits, and the one that is learned from refusals."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from qchat.batch.engines.pacing import FLOOR, RequestPacer
from qchat.batch.engines.token_estimate import completion_tokens, prompt_tokens
from qchat.batch.request import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    RERANK,
    RESPONSES,
    SCORE,
    SYSTEMONE,
    Outcome,
    Usage,
    usage_of,
)

from qchat.errors import Code, Failure
from qchat.json_types import JsonObject
from tests import faults

from .chat_request import chat_request
from .commands import batch, once_each, write

ANSWER = Outcome(body={"choices": []}, usage=Usage(10, 20))
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
REFUSAL = Outcome(failure=Failure(Code.RATE_LIMITED, "slow down", 429, 1.0))


def simulate(refuses: Callable[[float], bool], seconds: int, most: float = 500) -> list[float]:
    """Send as fast as the pacer lets, at most `most` a second; the answers of each second."""
    now = 0.0
    pacer = RequestPacer(clock=lambda: now)
    answers = [0.0] * (seconds + 1)
    while now < seconds:
        outcome = REFUSAL if refuses(now) else ANSWER
        pacer.record(outcome, 0.0)
        answers[int(now)] += outcome.answered
        now += 1 / min(most, pacer.learned or most)
    return answers[:-1]


@pytest.mark.parametrize(("rate", "burst"), [(50.0, 50.0), (100.0, 10.0), (20.0, 200.0)])
def test_a_bucket_is_drained_without_a_flood_of_refusals(rate: float, burst: float) -> None:
    state = {"tokens": burst, "at": 0.0, "refused": 0.0}

    def refuses(now: float) -> bool:
        state["tokens"] = min(burst, state["tokens"] + (now - state["at"]) * rate)
        state["at"] = now
        if state["tokens"] >= 1:
            state["tokens"] -= 1
            return False
        state["refused"] += now > 15
        return True

    answers = simulate(refuses, 60)
    assert sum(answers[20:]) >= 0.95 * 40 * rate
    assert state["refused"] <= 45 * rate  # without a learned rate it is 400 a second


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_refusals_at_random_do_not_slow_down_for_long(share: float) -> None:
    chance = random.Random(3)
    answers = simulate(lambda _now: chance.random() < share, 60)
    assert sum(answers) >= 0.75 * 60 * 500 * (1 - share)


def test_without_refusals_nothing_waits() -> None:
    assert sum(simulate(lambda _now: False, 10)) == pytest.approx(5000, rel=0.01)
    assert RequestPacer().rate is None


def test_a_server_that_refuses_all_gets_a_few_requests() -> None:
    now = 0.0
    pacer = RequestPacer(clock=lambda: now)
    for n in range(200):
        now = n / 40
        pacer.record(REFUSAL, 0.0)
        assert pacer.rate is None or pacer.rate >= FLOOR


async def test_rpm_spaces_the_requests() -> None:
    pacer = RequestPacer(rpm=1200)  # one each 50 ms
    started = time.monotonic()
    await asyncio.gather(*(pacer.admit(chat_request(f"q{n}")) for n in range(11)))
    assert time.monotonic() - started >= 0.4


async def test_tpm_counts_what_answers_took() -> None:
    now = 0.0
    pacer = RequestPacer(tpm=6000, clock=lambda: now)  # 100 a second
    estimate = await pacer.admit(chat_request("x"))
    assert estimate > 256  # before any answer
    pacer.record(ANSWER, estimate)  # took 30
    now = 0.31
    async with asyncio.timeout(0.2):
        await pacer.admit(chat_request("x"))


@pytest.mark.usefixtures("home")
def test_a_run_keeps_to_rpm(server: faults.Running) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(12)))
    started = time.monotonic()
    assert batch("in.jsonl", "--base-url", server.url, "--rpm", "600") == 0
    assert time.monotonic() - started >= 1.0
    once_each("in.results.jsonl", 12)


@pytest.mark.parametrize(
    ("endpoint", "body", "prompt"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "word" * 100}]}, 104),
        (CHAT, {"messages": [{"role": "user", "content": [IMAGE, {"text": "word" * 100}]}]}, 106),
        (COMPLETIONS, {"prompt": [7] * 50}, 50),
        (EMBEDDINGS, {"input": ["word" * 100, "字" * 4]}, 103),
        (RESPONSES, {"instructions": "word" * 10, "input": "word" * 90}, 100),
        (SCORE, {"text_1": "word" * 10, "text_2": ["word" * 20] * 3}, 90),
        (SCORE, {"text_1": ["word" * 10] * 3, "text_2": ["word" * 20] * 3}, 90),
        (RERANK, {"query": "word" * 10, "documents": ["word" * 20] * 3}, 90),
        (SYSTEMONE, {"state": "word" * 90, "questions": {"a": {"instructions": "word" * 10}}}, 100),
    ],
)
def test_the_prompt_of_each_endpoint_is_estimated(
    endpoint: str, body: JsonObject, prompt: int
) -> None:
    request = replace(chat_request("x"), endpoint=endpoint, body={"model": "m", **body})
    assert prompt_tokens(request) == pytest.approx(prompt, abs=2)
    generates = endpoint in (CHAT, COMPLETIONS, RESPONSES)
    assert completion_tokens(request, 256) == (256 if generates else 0)
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        limited = replace(request, body={**request.body, name: 9})
        assert completion_tokens(limited, 256) == (9 if generates else 0)


async def test_tpm_waits_for_the_prompts_of_embeddings_though_no_usage_comes() -> None:
    now = 0.0
    pacer = RequestPacer(tpm=6000, clock=lambda: now)  # 100 a second
    body = {"model": "m", "input": "word" * 100}
    request = replace(chat_request("x"), endpoint=EMBEDDINGS, body=body)
    estimate = await pacer.admit(request)
    assert estimate == 100
    pacer.record(Outcome(body={"data": []}), estimate)
    now = 0.9
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await pacer.admit(request)
    now = 1.0
    await pacer.admit(request)


def test_the_usage_of_responses_has_other_names() -> None:
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    assert usage_of({"usage": usage}) == Usage(7, 3)
    assert usage_of({"usage": {"prompt_tokens": 7, "completion_tokens": None}}) == Usage(7, 0)
