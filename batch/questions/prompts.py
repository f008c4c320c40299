"""The requests of one question: what the model reads, and what is asked of the engine.

All questions of a row begin with the same messages, so that an engine with a prefix cache reads
them once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...json_types import JsonObject
from .types import LABELS

ALTERNATIVES = 20
"""Tokens whose probabilities a server gives at most (OpenAI's limit and vLLM's default)."""

EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
"""The beginning of an answer without a thought, for models that have no switch for it."""

_ROW_KEYS = ("questions", "instruction", "swap")
_SAMPLING = (
    *("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty"),
    *("repetition_penalty", "stop", "seed", "n", "max_completion_tokens"),
)
"""Parameters of a row that change no probability of the first token, or must not."""


def labelled(options: Sequence[str], *, is_reversed: bool) -> dict[str, str]:
    """Return the options by their letters."""
    ordered = list(reversed(options)) if is_reversed else options
    return dict(zip(LABELS, ordered, strict=False))


def question_body(
    row: JsonObject,
    question: Mapping[str, Any],
    *,
    is_reversed: bool = False,
    has_switch: bool = True,
    has_empty_thought: bool = False,
) -> JsonObject:
    """Return the request body for a question of the row with this body.

    One token is asked for, greedily, with its alternatives. With `has_switch`, thinking is switched
    off by the chat template; with `has_empty_thought`, the answer begins after an empty thought.
    """
    labels = labelled(question["options"], is_reversed=is_reversed)
    lines = [f"{label}. {option}" for label, option in labels.items()]
    text = "\n".join((question["ask"], *lines, "", row["instruction"]))
    body = {key: value for key, value in row.items() if key not in (*_ROW_KEYS, *_SAMPLING)}
    body |= {
        "messages": _with_question(row["messages"], text),
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": ALTERNATIVES,
    }
    switches = {**(row.get("chat_template_kwargs") or {}), "enable_thinking": False}
    body.pop("chat_template_kwargs", None)
    if has_switch:
        body["chat_template_kwargs"] = switches
    if has_empty_thought:
        body["messages"] = [*body["messages"], {"role": "assistant", "content": EMPTY_THOUGHT}]
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body


def constrained(body: JsonObject, count: int) -> JsonObject:
    """Return the request with nothing but the letters of `count` options allowed (vLLM): so each
    of them has its probability, however unlikely all of them are."""
    most = min(max(count, 1), ALTERNATIVES)
    return {
        **body,
        "structured_outputs": {"choice": list(LABELS[:count])},
        "top_logprobs": most,
        "return_token_ids": True,
    }


def with_token_ids(body: JsonObject, ids: Sequence[int]) -> JsonObject:
    """Return the request with the probabilities of these tokens in the place of the likeliest ones'
    (vLLM from 0.32 on; older ones ignore it)."""
    return {**body, "logprob_token_ids": list(ids)}


def _with_question(messages: Sequence[JsonObject], text: str) -> list[JsonObject]:
    last = messages[-1]
    if last.get("role") == "user" and isinstance(last.get("content"), str):
        return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{text}"}]
    return [*messages, {"role": "user", "content": text}]
