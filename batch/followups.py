"""What a row is asked after an answer that is not whole: to go on, again with more room, again
without the loop.

Pure functions over request and response bodies; `answer_plan` decides which is used when.
"""

from collections.abc import Mapping
from typing import Any

from ..api.reasoning import Continuation
from ..json_types import JsonObject
from .quality import answer_of
from .request import TOKEN_LIMITS

LARGER = 4
"""Times the tokens that a cut answer gets the second time."""

PENALTY = 1.5
"""`presence_penalty` against a loop: the most that Qwen's model card recommends."""

_COMPLETION_TOKENS = 16  # of /v1/completions where a request names none: OpenAI's and vLLM's

_TEMPERATURE = 0.7  # for another answer of a request that would repeat its first one


def continued(
    body: JsonObject, response: JsonObject, *, can_continue: bool = True
) -> JsonObject | None:
    """Return the request that goes on with the text of a cut answer; None where none can.

    A prompt of `/v1/completions` is gone on with by any server, a chat by one that
    `can_continue`. There must be one choice with text: a thought that was cut can't be handed back
    through a chat template. The grammar of a choice is that of the rest of the words that begin so;
    any other grammar starts at the beginning of a text, so such an answer is asked again as a
    whole.
    """
    choices = response.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    if isinstance(body.get("prompt"), str):
        return _continued_prompt(body, response, choices[0])
    if not can_continue or "messages" not in body:
        return None
    answer = answer_of(choices[0])
    text = answer.content
    if not text or body.get("logprobs") or body.get("tools"):
        return None
    rest = _rest_of_grammar(body, text)
    if rest is None:
        return None
    message: JsonObject = {"role": "assistant", "content": text}
    if answer.reasoning:  # two names of one field, for old and new templates
        message |= {"reasoning": answer.reasoning, "reasoning_content": answer.reasoning}
    return {
        **body,
        **rest,
        **(_larger_budget(body, response) or {}),
        "messages": [*body["messages"], message],
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


def _continued_prompt(
    body: JsonObject, response: JsonObject, choice: Mapping[str, Any]
) -> JsonObject | None:
    """Return the request whose prompt has the text of a cut answer at its end.

    A line of the results has lost the tags around a thought, so that such a text can't go on.
    """
    text = choice.get("text")
    if not isinstance(text, str):
        answer = answer_of(choice)
        text = None if answer.reasoning else answer.content
    if not text or body.get("logprobs") is not None or body.get("echo") or body.get("suffix"):
        return None
    rest = _rest_of_grammar(body, text)
    if rest is None:
        return None
    budget = _larger_budget(body, response) or {}
    return {**body, **rest, **budget, "prompt": body["prompt"] + text}


def _rest_of_grammar(body: JsonObject, text: str) -> JsonObject | None:
    """Return the keys that constrain the rest of the answer as the whole was; None if none can."""
    form = body.get("response_format")
    if isinstance(form, Mapping) and form.get("type") not in (None, "text"):
        return None
    structured = body.get("structured_outputs")
    if structured is None:
        return {}
    choices = structured.get("choice") if isinstance(structured, Mapping) else None
    if not isinstance(choices, list):
        return None
    rests = [word[len(text) :] for word in choices if word.startswith(text) and word != text]
    return {"structured_outputs": {"choice": rests}} if rests else None


def joined(response: JsonObject, rest: JsonObject) -> JsonObject:
    """Return the response whose text goes on with that of `rest`; the tokens are those of both."""
    choice, following = response["choices"][0], rest["choices"][0]
    if isinstance(following.get("text"), str):  # of completions
        text = choice["text"] if "text" in choice else answer_of(choice).content
        content: JsonObject = {"text": (text or "") + following["text"]}
    else:
        splitter = Continuation()
        splitter.feed(following.get("message") or {})
        message = {**choice["message"]}
        message["content"] = (message.get("content") or "") + (splitter.answer.content or "")
        content = {"message": message}
    usage = {**(response.get("usage") or {})}
    more = rest.get("usage")
    if isinstance(more, Mapping):
        completion = _count(usage, "completion_tokens") + _count(more, "completion_tokens")
        usage["completion_tokens"] = completion
        usage["total_tokens"] = _count(usage, "prompt_tokens") + completion
    reason = {
        key: following.get(key) for key in ("finish_reason", "stop_reason") if key in following
    }
    return {**response, "choices": [{**choice, **content, **reason}], "usage": usage}


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def larger(body: JsonObject, response: JsonObject) -> JsonObject | None:
    """Return the request with `LARGER` times the tokens of the cut `response`; None where the
    context is the limit."""
    budget = _larger_budget(body, response)
    return None if budget is None else {**body, **budget}


def _larger_budget(body: JsonObject, response: JsonObject) -> JsonObject | None:
    for name in TOKEN_LIMITS:
        if isinstance(body.get(name), int):
            return {name: LARGER * body[name]}
    if "prompt" not in body:
        return None
    usage = response.get("usage")
    tokens = _count(usage, "completion_tokens") if isinstance(usage, Mapping) else 0
    return {"max_tokens": LARGER * max(tokens, _COMPLETION_TOKENS)}


def penalized(body: JsonObject) -> JsonObject:
    """Return the request with a penalty on what it has said already."""
    penalty = body.get("presence_penalty")
    is_set = isinstance(penalty, int | float) and penalty >= PENALTY
    return {**body, "presence_penalty": 2.0 if is_set else PENALTY}


def resampled(body: JsonObject) -> JsonObject:
    """Return the request so that another answer is possible: as it is, unless it is repeatable."""
    changed = dict(body)
    if isinstance(body.get("seed"), int):
        changed["seed"] = body["seed"] + 1
    if body.get("temperature") == 0:
        changed["temperature"] = _TEMPERATURE
    return changed
