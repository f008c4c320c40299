"""Thoughts that no parser tells from the answer, and whose end was cut off.

Some chat templates write ``<think>`` into the prompt. Where the server has no parser, an answer is
then ``…</think>answer``, and one that is cut before the ``</think>`` looks like an answer. What it
is can be told by the model's other answers, also by those in the results already: see
`stored_thoughts`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..json_types import JsonObject
from .quality import answer_of
from .request import Request

_OPEN, _CLOSE = "<think>", "</think>"

ThoughtKey = tuple[str, str]
"""A model, and the setting of its thinking switch."""


@dataclass(slots=True)
class ThoughtForms:
    """How each model's whole answers began: with a thought that was not opened, or without one.

    A model counts separately with each setting of its thinking switch.
    """

    _unopened: Counter[ThoughtKey] = field(default_factory=Counter)
    _plain: Counter[ThoughtKey] = field(default_factory=Counter)

    def read(self, request: Request, body: JsonObject) -> JsonObject:
        """Learn from a response; return it with the texts that are cut thoughts as reasoning."""
        choices = body.get("choices")
        if not isinstance(choices, list):
            return body
        key = thought_key(request.body)
        for choice in choices:
            if choice.get("finish_reason") != "length" and _bare_text(choice):
                self.count(key, is_unopened=_is_unopened(choice))
        if not self.are_unopened(key):
            return body
        return {**body, "choices": [_with_thought(choice) for choice in choices]}

    def count(self, key: ThoughtKey, *, is_unopened: bool) -> None:
        """Count a whole answer of a model, by `thought_key`."""
        (self._unopened if is_unopened else self._plain)[key] += 1

    def are_unopened(self, key: ThoughtKey) -> bool:
        """Whether most whole answers of a model began with a thought that was not opened."""
        return self._unopened[key] > self._plain[key]

    @property
    def any_unopened(self) -> bool:
        """Whether those of any model did."""
        return any(map(self.are_unopened, list(self._unopened)))


def has_unopened_thought(body: JsonObject) -> bool:
    """Whether a response has a whole answer that began with a thought which was not opened."""
    choices = body.get("choices")
    return isinstance(choices, list) and any(map(_is_unopened, choices))


def thought_key(body: Mapping[str, Any]) -> ThoughtKey:
    """Return what a request's model and its thinking switch are counted by."""
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


def _is_unopened(choice: Mapping[str, Any]) -> bool:
    if choice.get("finish_reason") == "length" or _CLOSE not in _bare_text(choice):
        return False
    return answer_of(choice).reasoning is not None


def _with_thought(choice: JsonObject) -> JsonObject:
    text = _bare_text(choice)
    if choice.get("finish_reason") != "length" or not text or _CLOSE in text:
        return choice
    return {**choice, "message": {**choice["message"], "content": None, "reasoning": text}}
