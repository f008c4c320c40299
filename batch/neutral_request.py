"""A tiny request that no gateway moderates, to see whether a key is good for anything."""

from collections.abc import Mapping
from dataclasses import replace

from ..json_types import JsonObject
from .request import (
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
    digest,
)

_TEXT, _OTHER = "Hi", "Hello"
_TOKENS = 16  # of its answer; OpenAI's least

_QUESTION: JsonObject = {"ok": {"type": "noul", "instructions": "Is this a greeting?"}}

_BODIES: Mapping[str, JsonObject] = {
    CHAT: {"messages": [{"role": "user", "content": _TEXT}]},
    COMPLETIONS: {"prompt": _TEXT},
    EMBEDDINGS: {"input": _TEXT},
    SCORE: {"text_1": _TEXT, "text_2": _OTHER},
    RERANK: {"query": _TEXT, "documents": [_OTHER]},
    RESPONSES: {"input": _TEXT},
    DECISIONS: {"state": _TEXT, "questions": _QUESTION},
    SYSTEMONE: {"state": _TEXT, "questions": _QUESTION},
}

_KEPT = ("model", "chat_template_kwargs")


def neutral_request(like: Request) -> Request:
    """Return a request to the endpoint and the model of another one that asks for next to nothing.

    A limit of tokens has the name that the other one has, as some servers know only one of them.
    """
    limits = {
        name: min(_TOKENS, like.body[name])
        for name in TOKEN_LIMITS
        if isinstance(like.body.get(name), int)
    }
    kept = {key: like.body[key] for key in _KEPT if key in like.body}
    body = {**kept, **_BODIES[like.endpoint], **limits}
    return replace(like, body=body, source=_TEXT, digest=digest(like.endpoint, body))
