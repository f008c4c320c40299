"""What a request's JSON body asks for, as far as limits go.

A body that is no JSON object asks for nothing here: vLLM rejects it. Both parsers below keep the
last of two equal names, as vLLM's does; the second one is vLLM's, for what only it accepts (UTF-16,
NaN, integers of any size).
"""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from .denials import Denial

_BYTES_PER_TOKEN = 4
_MAX_PROMPT_GUESS = 4096  # tokens; the rest of a large body is mostly images
_MAX_TOKENS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_USAGE_ROUTES = ("/v1/chat/completions", "/v1/completions")
_USAGE = b'"stream_options":{"include_usage":true}}'


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """A request for work. `body` goes to vLLM.

    `n` is the number of completions of each of `prompts` prompts; `prompt_tokens` a guess from the
    size, `max_tokens` the bound that the request sets itself. `hides_usage`: vLLM was asked for a
    usage chunk at the end of the stream that the client did not ask for.
    """

    body: bytes
    n: int = 1
    prompts: int = 1
    prompt_tokens: int = 0
    max_tokens: int | None = None
    hides_usage: bool = False

    @property
    def sequences(self) -> int:
        """The number of sequences to generate."""
        return self.n * self.prompts

    def reservation(self, mean_completion: float) -> float:
        """Return the tokens to reserve; `mean_completion` counts without `max_tokens`."""
        each = mean_completion if self.max_tokens is None else self.max_tokens
        return self.prompt_tokens + each * self.sequences


def read_body(body: bytes, path: str, *, may_set_priority: bool) -> WorkRequest | Denial:
    """Return what the body asks of the route `path`; a `Denial` where its ``n`` is no number."""
    values, is_plain = _parse(body)
    guess = min(len(body) // _BYTES_PER_TOKEN, _MAX_PROMPT_GUESS)
    if not isinstance(values, dict):
        return WorkRequest(body, prompt_tokens=guess)
    n = 1
    for name in ("n", "best_of"):
        value = values.get(name)
        if value is None:
            continue
        # vLLM would accept "8000" and 8e3, too; only what is read here in one way is passed on.
        if type(value) is not int:
            message = f"'{name}' must be a whole number."
            return Denial(400, "invalid_value", message, param=name)
        n = max(n, value)
    if values.get("priority") is not None and not may_set_priority:
        del values["priority"]
        body, is_plain = _dump(values), True
    hides_usage = _hides_usage(values, path)
    if hides_usage:
        body = _ask_for_usage(body, values, is_plain=is_plain)
    return WorkRequest(
        body,
        n=n,
        prompts=_prompts(values),
        prompt_tokens=guess,
        max_tokens=_max_tokens(values),
        hides_usage=hides_usage,
    )


def _parse(body: bytes) -> tuple[Any, bool]:
    """Return the value, None where there is none, and whether the text is plain JSON in UTF-8."""
    try:
        return orjson.loads(body), True
    except ValueError:
        try:
            return json.loads(body), False
        except (ValueError, RecursionError):
            return None, False


def _dump(values: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(values)
    except TypeError:  # an integer of more than 64 bits, a lone surrogate
        return json.dumps(values).encode()


def _prompts(values: dict[str, Any]) -> int:
    """Return the number of prompts: of ``/v1/completions``, and of a batch of conversations."""
    prompts = 1
    for name in ("prompt", "prompt_embeds"):
        value = values.get(name)
        if isinstance(value, list) and value and not isinstance(value[0], int):
            prompts = max(prompts, len(value))
    messages = values.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], list):
        prompts = max(prompts, len(messages))
    return prompts


def _max_tokens(values: dict[str, Any]) -> int | None:
    for name in _MAX_TOKENS:
        value = values.get(name)
        if type(value) is int and value > 0:
            return value
    return None


def _hides_usage(values: dict[str, Any], path: str) -> bool:
    """Return whether vLLM would not tell the usage of this stream without being asked."""
    if path not in _USAGE_ROUTES or values.get("stream") is not True:
        return False
    options = values.get("stream_options")
    return options is None or (isinstance(options, dict) and not options.get("include_usage"))


def _ask_for_usage(body: bytes, values: dict[str, Any], *, is_plain: bool) -> bytes:
    if is_plain and "stream_options" not in values:
        return b"%b,%b" % (body.rstrip()[:-1], _USAGE)  # the rest stays as it is
    values["stream_options"] = {**(values.get("stream_options") or {}), "include_usage": True}
    return _dump(values)
