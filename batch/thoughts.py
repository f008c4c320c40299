"""Thoughts that no parser tells from the answer, and whose end was cut off.

Some chat templates write ``<think>`` into the prompt. Where the server has no parser, an answer is
then ``…</think>answer``, and one that is cut before the ``</think>`` looks like an answer. What it
is can be told by the model's other answers.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..json_types import JsonObject
from .quality import answer_of
from .request import Request

_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(slots=True)
class ThoughtForms:
    """How each model's whole answers began: with a thought that was not opened, or without one.

    A model counts separately with each setting of its thinking switch.
    """

    _unopened: Counter[tuple[str, str]] = field(default_factory=Counter)
    _plain: Counter[tuple[str, str]] = field(default_factory=Counter)

    def read(self, request: Request, body: JsonObject) -> JsonObject:
        """Learn from a response; return it with the texts that are cut thoughts as reasoning."""
        choices = body.get("choices")
        if not isinstance(choices, list):
            return body
        key = _key(request.body)
        for choice in choices:
            if choice.get("finish_reason") != "length" and (text := _bare_text(choice)):
                is_unopened = _CLOSE in text and answer_of(choice).reasoning is not None
                (self._unopened if is_unopened else self._plain)[key] += 1
        if self._unopened[key] <= self._plain[key]:
            return body
        return {**body, "choices": [_with_thought(choice) for choice in choices]}


def _key(body: JsonObject) -> tuple[str, str]:
    arguments = body.get("chat_template_kwargs")
    switch = arguments.get("enable_thinking") if isinstance(arguments, Mapping) else None
    return str(body.get("model")), str(switch)


def _bare_text(choice: Mapping[str, Any]) -> str:
    """Return the text of a choice whose reasoning, if there is any, stands in it; '' for others."""
    message = choice.get("message")
    if not isinstance(message, Mapping):
        return ""
    if message.get("reasoning") or message.get("reasoning_content"):
        return ""
    text = message.get("content")
    return text if isinstance(text, str) and not text.lstrip().startswith(_OPEN) else ""


def _with_thought(choice: JsonObject) -> JsonObject:
    text = _bare_text(choice)
    if choice.get("finish_reason") != "length" or not text or _CLOSE in text:
        return choice
    return {**choice, "message": {**choice["message"], "content": None, "reasoning": text}}
