"""Estimate how many tokens a request takes, before an answer tells: by the texts in its body."""

from collections.abc import Mapping
from typing import Any

from ..request import (
    CHAT,
    COMPLETIONS,
    DECISIONS,
    EMBEDDINGS,
    RERANK,
    RESPONSES,
    SCORE,
    SYSTEMONE,
    TOKEN_LIMITS,
    Request,
)

_BYTES_PER_TOKEN = 4  # of UTF-8
_PER_MESSAGE = 4  # tokens of a chat template around a message

_PROMPTS: Mapping[str, tuple[str, ...]] = {
    CHAT: ("messages", "tools"),
    COMPLETIONS: ("prompt", "suffix"),
    EMBEDDINGS: ("input", "messages"),
    RESPONSES: ("instructions", "input", "tools"),
    DECISIONS: ("state", "instructions", "questions"),
    SYSTEMONE: ("state", "instructions", "questions"),
}
"""The keys of a body that make the prompt."""

_PAIRS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    SCORE: (("text_1", "queries", "data_1"), ("text_2", "documents", "items", "data_2")),
    RERANK: (("query",), ("documents",)),
}
"""The same for both sides of pairs, where one query goes with each document."""


def prompt_tokens(request: Request) -> float:
    """Return about how many tokens the prompt has; without those of images, which depend on the
    model."""
    body = request.body
    if request.endpoint in _PAIRS:
        queries, documents = (
            next((body[key] for key in keys if body.get(key) is not None), "")
            for keys in _PAIRS[request.endpoint]
        )
        times = max(1, _count(documents) / _count(queries))
        return times * _tokens_in(queries) + _tokens_in(documents)
    return sum(_tokens_in(body.get(key)) for key in _PROMPTS[request.endpoint])


def completion_tokens(request: Request, mean: float) -> float:
    """Return how many tokens the answer may have, where answers have `mean`; none where an endpoint
    generates no text."""
    if request.endpoint not in (CHAT, COMPLETIONS, RESPONSES):
        return 0.0
    limits = (request.body.get(name) for name in TOKEN_LIMITS)
    return min([mean, *(value for value in limits if isinstance(value, int))])


def _count(value: Any) -> int:
    return max(1, len(value)) if isinstance(value, list) else 1


def _tokens_in(value: Any) -> float:
    """Return about how many tokens the texts in a value have; a number is a token's id."""
    if isinstance(value, str):
        is_data = value.startswith("data:")  # an image
        return 0.0 if is_data else len(value.encode("utf-8", "replace")) / _BYTES_PER_TOKEN
    if isinstance(value, list):
        return sum(map(_tokens_in, value))
    if isinstance(value, dict):
        more = _PER_MESSAGE if "role" in value else 0
        return more + sum(_tokens_in(item) for key, item in value.items() if key != "role")
    return float(isinstance(value, int))
