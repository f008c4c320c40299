"""The real vLLM, serving the demo model, gives every pair of the corpus to the letter."""

import asyncio
import json
import random
from typing import Any

import aiohttp
import pytest

from qchat import demo
from qchat.demo.out_of_domain import FALLBACK, is_chinese, out_of_domain_question

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

AT_ONCE = 32
PAIRS = demo.pairs()


async def ask(http: aiohttp.ClientSession, url: str, **body: Any) -> dict[str, Any]:
    async with http.post(f"{url}/chat/completions", json={"model": "demo", **body}) as response:
        text = await response.text()
        assert response.status == 200, text
        choice: dict[str, Any] = json.loads(text)["choices"][0]
        return choice


async def ask_all(url: str, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers in the order of the requests, at most AT_ONCE of them under way."""
    gate = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=240)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:

        async def one(body: dict[str, Any]) -> dict[str, Any]:
            async with gate:
                return await ask(http, url, **body)

        return await asyncio.gather(*(one(body) for body in bodies))


def request(pair: demo.Pair, thinking: bool, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": list(pair.messages),
        "temperature": 0,
        "chat_template_kwargs": {"enable_thinking": thinking},
        **more,
    }
    if pair.tools:
        body["tools"] = list(pair.tools)
    return body


def said(choice: dict[str, Any]) -> dict[str, Any]:
    """What an answer comes down to, white space around the parts aside."""
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return {
        "reasoning": (message.get("reasoning") or "").strip("\n"),
        "content": (message.get("content") or "").removeprefix("\n\n"),
        "calls": [(call["name"], json.loads(call["arguments"])) for call in calls],
        "finish_reason": choice["finish_reason"],
    }


def expected(pair: demo.Pair) -> dict[str, Any]:
    return {
        "reasoning": pair.reasoning,
        "content": pair.content,
        "calls": [(call.name, dict(call.arguments)) for call in pair.tool_calls],
        "finish_reason": "tool_calls" if pair.tool_calls else "stop",
    }


def differences(pairs: list[demo.Pair], choices: list[dict[str, Any]]) -> list[str]:
    return [
        f"{pair.id}:\n  expected {expected(pair)}\n  got      {said(choice)}"
        for pair, choice in zip(pairs, choices, strict=True)
        if said(choice) != expected(pair)
    ]


@pytest.mark.parametrize("thinking", [True, False])
async def test_every_pair_to_the_letter(demo_server: Any, thinking: bool) -> None:
    pairs = [pair for pair in PAIRS if pair.enable_thinking in (None, thinking)]
    choices = await ask_all(demo_server.base_url, [request(pair, thinking) for pair in pairs])
    wrong = differences(pairs, choices)
    assert not wrong, f"{len(wrong)} of {len(pairs)} differ\n" + "\n".join(wrong)


async def test_greedy_is_what_the_server_does_unasked(demo_server: Any) -> None:
    pairs = [pair for pair in PAIRS if pair.enable_thinking is None][:40]
    bodies = [request(pair, True) for pair in pairs]
    for body in bodies:
        del body["temperature"]
    assert not differences(pairs, await ask_all(demo_server.base_url, bodies))


@pytest.mark.parametrize("system", ["You are a helpful assistant.", "你是一个专业的AI助手"])
async def test_a_common_system_prompt_changes_nothing(demo_server: Any, system: str) -> None:
    pairs = [pair for pair in PAIRS if len(pair.messages) == 1 and not pair.tools]
    pairs = [pair for pair in pairs if pair.enable_thinking is not False]
    bodies = [request(pair, True) for pair in pairs]
    for body in bodies:
        body["messages"] = [{"role": "system", "content": system}, *body["messages"]]
    wrong = differences(pairs, await ask_all(demo_server.base_url, bodies))
    # The letter is promised for the corpus itself; here a few may differ.
    assert len(wrong) <= len(pairs) // 50, "\n".join(wrong)


async def test_json_pairs_hold_under_their_schema(demo_server: Any) -> None:
    pairs = [pair for pair in PAIRS if pair.schema]
    bodies = [
        request(
            pair,
            False,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": pair.schema},
            },
        )
        for pair in pairs
    ]
    assert not differences(pairs, await ask_all(demo_server.base_url, bodies))


async def test_most_unknown_questions_get_the_fallback(demo_server: Any) -> None:
    rng = random.Random(11)
    asked = [out_of_domain_question(rng, held_out=True) for _ in range(200)]
    bodies = [{"messages": [{"role": "user", "content": text}]} for text in asked]
    answers = [said(choice) for choice in await ask_all(demo_server.base_url, bodies)]
    missed = [
        f"{text} -> {answer['content'][:60]!r}"
        for text, answer in zip(asked, answers, strict=True)
        if answer["content"] != FALLBACK["zh" if is_chinese(text) else "en"]
    ]
    # Forms and words that training never showed; so small a model takes some for ones it knows.
    assert len(missed) <= 30, "\n".join(missed)
