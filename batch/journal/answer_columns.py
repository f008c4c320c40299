"""What an answer adds to a row: the columns, by the endpoint that gave it."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...json_types import JsonObject
from ..quality import answer_of, finish_of_response
from ..questions.answers import columns_of, is_answers
from ..request import (
    CHAT,
    COMPLETIONS,
    DECISIONS,
    EMBEDDINGS,
    RERANK,
    RESPONSES,
    SCORE,
    SYSTEMONE,
)


def answer_columns(endpoint: str, body: JsonObject) -> dict[str, Any]:
    """Return `output` and what belongs to it, without prefix.

    `output` is the text of chat, completions and responses; the vector of embeddings; the score
    (a list for several pairs); for rerank, a list of `index` and `relevance_score`, the best
    first; the answers by name of decisions. A request for several gives lists. Answers to
    questions (`--ask`) have columns of their own, and `usage` before them.
    """
    if is_answers(body):
        return columns_of(body)
    if endpoint in (CHAT, COMPLETIONS):
        return _choices(body)
    if endpoint == RESPONSES:
        return _response(body)
    output: Any = None
    if endpoint == EMBEDDINGS:
        output = _single([item.get("embedding") for item in _items(body, "data")])
    elif endpoint == SCORE:
        output = _single([item.get("score") for item in _items(body, "data")])
    elif endpoint == RERANK:
        output = [
            {"index": item.get("index"), "relevance_score": item.get("relevance_score")}
            for item in _items(body, "results")
        ]
    elif endpoint in (DECISIONS, SYSTEMONE):
        output = body.get("answers", body.get("decisions"))
    return {"output": output}


def _choices(body: JsonObject) -> dict[str, Any]:
    choices = _items(body, "choices")
    several = len(choices) > 1
    columns: dict[str, list[Any]] = {}
    answers = [answer_of(choice) for choice in choices]
    columns["output"] = [answer.content for answer in answers]
    columns["reasoning"] = [answer.reasoning for answer in answers]
    columns["finish_reason"] = [choice.get("finish_reason") for choice in choices]
    columns |= _extras(choices)
    # The body of another endpoint has no choices.
    return {
        name: values if several else next(iter(values), None) for name, values in columns.items()
    }


def _extras(choices: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return tool calls and log probabilities, where the response has any."""
    extras: dict[str, list[Any]] = {}
    calls = [(choice.get("message") or {}).get("tool_calls") for choice in choices]
    if any(calls):
        extras["tool_calls"] = calls
    logprobs = [choice.get("logprobs") for choice in choices]
    if any(logprobs):
        extras["logprobs"] = logprobs
    return extras


def _response(body: JsonObject) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    for item in _items(body, "output"):
        parts = item.get("content")
        target = thoughts if item.get("type") == "reasoning" else texts
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                target.append(part["text"])
    return {
        "output": "".join(texts),
        "reasoning": "".join(thoughts) or None,
        "finish_reason": finish_of_response(body),
    }


def _items(body: JsonObject, key: str) -> list[dict[str, Any]]:
    items = body.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
