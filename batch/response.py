"""Judge a response body by its endpoint's rule, whichever engine it came from: an answer, or why it
is none.

An answer may be empty: vLLM sends ``content: null`` with a ``finish_reason`` where a stop string
came at once or `max_tokens` ended it before any text.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..errors import Code, Failure, error_message, from_status
from ..i18n import _
from ..json_types import JsonObject
from ..sanitize import one_line
from .request import (
    CHAT,
    COMPLETIONS,
    DECISIONS,
    EMBEDDINGS,
    RERANK,
    RESPONSES,
    SCORE,
    SYSTEMONE,
)

_CONTENT_ALTERNATIVES = (
    *("tool_calls", "function_call", "refusal", "audio"),
    *("reasoning", "reasoning_content"),
)

_MAX_WORDS = 300
"""Characters of what a server says in no known form that are reported."""

_UNFINISHED = {"queued", "in_progress"}
"""Statuses of an answer of `/v1/responses` that is still being made."""

_STATUS_BY_WORD: Mapping[str, int] = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 402,
    "overloaded_error": 503,
    "server_error": 500,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
}
"""Statuses of OpenAI's and Anthropic's names of errors, for a body that came with status 200."""


def judge(body: Any, endpoint: str) -> Failure | None:
    """Return why the decoded body of a response with status 200 is no answer; None if it is one."""
    if isinstance(body, str) and body:
        return _bad(_("The server answered: {message}").format(message=one_line(body)[:_MAX_WORDS]))
    if not isinstance(body, dict):
        return _bad(_("The server's answer is JSON, but not an object."))
    if body.get("error") and not body.get("choices"):
        return _failure_of_error(body)
    if endpoint == RESPONSES:
        return _problem_of_response(body)
    if endpoint in (DECISIONS, SYSTEMONE):
        decisions = body.get("answers", body.get("decisions"))
        return None if decisions and isinstance(decisions, dict | list) else _lacks(body, "answers")
    key, problem_of = _ITEMS[endpoint]
    items = body.get(key)
    if not isinstance(items, list) or not items:
        return _lacks(body, key)
    return next((problem for item in items if (problem := problem_of(item)) is not None), None)


def _failure_of_error(body: JsonObject) -> Failure:
    """Return the failure that an error in a body of status 200 means, in the server's words."""
    error = body["error"]
    code = error.get("code") if isinstance(error, Mapping) else None
    kind = error.get("type") if isinstance(error, Mapping) else None
    for word in (code, kind):
        status = _STATUS_BY_WORD.get(str(word))
        if isinstance(word, int | str) and str(word).isdecimal() and 400 <= int(word) <= 599:
            status = int(word)
        if status is not None:
            return from_status(status, body)
    message = error_message(body) or one_line(str(error))[:_MAX_WORDS]
    return _bad(_("The server answered: {message}").format(message=message))


def _lacks(body: JsonObject, key: str) -> Failure:
    if message := error_message(body):  # such as FastAPI's `detail`
        return _bad(_("The server answered: {message}").format(message=message))
    text = _("The server's answer has no '{key}'; is this an OpenAI-compatible server?")
    return _bad(text.format(key=key))


def _problem_of_response(body: JsonObject) -> Failure | None:
    """Return why a body is no answer of `/v1/responses`: one that was not made to its end."""
    if not isinstance(body.get("output"), list):
        return _lacks(body, "output")
    status = body.get("status")
    if status in _UNFINISHED:
        text = _(
            "The server makes this answer in the background (status '{status}'); leave out "
            "'background'."
        )
        return Failure(Code.UNSUPPORTED, text.format(status=status), 200)
    if status == "cancelled":  # as vLLM ends all when it is stopped
        return Failure(Code.OVERLOADED, _("The engine aborted the answer."), 200)
    if status == "failed":
        return _bad(_("The server could not make the answer, and does not say why."))
    return None


def _problem_of_embedding(item: Any) -> Failure | None:
    vector = item.get("embedding") if isinstance(item, dict) else None
    if vector and isinstance(vector, list | str):  # numbers, or their bytes in base64
        return None
    return _bad(_("The server's answer has an item without '{key}'.").format(key="embedding"))


def _problem_of_number(item: Any, key: str) -> Failure | None:
    if isinstance(item, dict) and isinstance(item.get(key), int | float):
        return None
    return _bad(_("The server's answer has an item without '{key}'.").format(key=key))


def _problem_of_choice(choice: Any) -> Failure | None:
    if not isinstance(choice, dict):
        return _bad(_("The server's answer has a choice without a message."))
    if choice.get("finish_reason") == "abort":  # as vLLM ends all when it is stopped
        return Failure(Code.OVERLOADED, _("The engine aborted the answer."), 200)
    is_finished = isinstance(choice.get("finish_reason"), str)
    if isinstance(choice.get("text"), str) or ("text" in choice and is_finished):
        return None  # of the completions endpoint
    message = choice.get("message")
    if not isinstance(message, dict):
        return _bad(_("The server's answer has a choice without a message."))
    for key in ("content", "reasoning", "reasoning_content"):
        if not _is_text(message.get(key), parts=key == "content"):
            return _bad(_("The server's answer has a '{key}' that is not text.").format(key=key))
    has_content = message.get("content") is not None or any(map(message.get, _CONTENT_ALTERNATIVES))
    return None if is_finished or has_content else _bad(_("The server's answer is empty."))


_ITEMS: Mapping[str, tuple[str, Callable[[Any], Failure | None]]] = {
    CHAT: ("choices", _problem_of_choice),
    COMPLETIONS: ("choices", _problem_of_choice),
    EMBEDDINGS: ("data", _problem_of_embedding),
    SCORE: ("data", partial(_problem_of_number, key="score")),
    RERANK: ("results", partial(_problem_of_number, key="relevance_score")),
}
"""Where an endpoint's answers stand in its body, and what is wrong with one of them."""


def _is_text(value: Any, *, parts: bool) -> bool:
    if parts and isinstance(value, list):
        return all(
            isinstance(part, dict) and isinstance(part.get("text"), str | None) for part in value
        )
    return isinstance(value, str | None)


def _bad(message: str) -> Failure:
    return Failure(Code.BAD_RESPONSE, message, 200)
