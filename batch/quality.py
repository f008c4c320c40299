"""What an answered row is worth: whole, cut off, empty, or stuck in a loop."""

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from ..api.reasoning import Answer, split_reasoning, split_text
from ..json_types import JsonObject


class Quality(enum.StrEnum):
    """The quality of an answer; of several choices, the worst counts (the last named here)."""

    OK = "ok"
    EMPTY = "empty"  # neither text nor a tool call
    CUT = "cut"  # max_tokens or the context ended it
    LOOPED = "looped"  # it repeats itself without end


INVALID = "invalid"
"""Counted with the qualities: rows whose answer does not have the form that was asked for. They
have failed, and stand in the errors file with the text they gave."""

COUNTED = (Quality.CUT.value, Quality.EMPTY.value, Quality.LOOPED.value, INVALID)
"""What a summary counts, besides rows that are answered well or failed otherwise."""

_ORDER = tuple(Quality)

_LOOP_REPEATS, _LOOP_LENGTH = 6, 300
"""How often, and over how many characters, the end of a cut text must repeat itself to be a loop;
what is looked for has at most `_MAX_PERIOD` characters."""
_MAX_PERIOD = 400

_BY_FINISH = {"length": Quality.CUT, "repetition": Quality.LOOPED}


def answer_of(choice: Mapping[str, Any]) -> Answer:
    """Return the text and the reasoning of a choice, of either endpoint; None of both where it has
    something else in their place (in results that another program wrote)."""
    text = choice.get("text")
    if isinstance(text, str):
        return split_text(text)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        return Answer(None, None)
    try:
        return split_reasoning(message)
    except TypeError:
        return Answer(None, None)


def quality_of(body: JsonObject) -> Quality:
    """Return the quality of a response body; that of an endpoint without choices is OK."""
    choices = body.get("choices")
    if choices is None and isinstance(body.get("output"), list):
        return _quality_of_response(body)
    if not isinstance(choices, list):
        return Quality.OK
    return _worst(_quality_of_choice(choice) for choice in choices if isinstance(choice, Mapping))


def finish_of_response(body: JsonObject) -> str:
    """Return how an answer of `/v1/responses` ended, as the `finish_reason` of a chat would say;
    one that is incomplete for no reason that is given was cut."""
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if reason == "max_output_tokens" or (not reason and body.get("status") == "incomplete"):
        return "length"
    return str(reason or "stop")


def _quality_of_response(body: JsonObject) -> Quality:
    """Return the quality of an answer of `/v1/responses`."""
    if finish_of_response(body) == "length":
        return Quality.CUT
    items = body.get("output")
    items = [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
    has_call = any(str(item.get("type")).endswith("_call") for item in items)
    parts = [item.get("content") for item in items if item.get("type") != "reasoning"]
    texts = [
        part.get("text") or part.get("refusal")
        for content in parts
        for part in (content if isinstance(content, list) else ())
        if isinstance(part, Mapping)
    ]
    return Quality.OK if has_call or any(texts) else Quality.EMPTY


def quality_of_record(record: JsonObject, prefix: str) -> Quality:
    """Return the quality of the answer in a line of the results file, as parsed."""
    mark = record.get(prefix + "_qchat")
    if isinstance(mark, Mapping):
        name = mark.get("quality")
        if name in _ORDER:
            return Quality(name)
        return _quality_of_columns(record, prefix)
    response = record.get("response")
    body = response.get("body") if isinstance(response, Mapping) else None
    return quality_of(body) if isinstance(body, dict) else Quality.OK


def _quality_of_columns(record: JsonObject, prefix: str) -> Quality:
    """Return the quality by the columns alone, as versions before 0.2 wrote no other."""
    reasons, outputs = record.get(prefix + "finish_reason"), record.get(prefix + "output")
    if not isinstance(reasons, list):
        reasons, outputs = [reasons], [outputs]
    outputs = outputs if isinstance(outputs, list) else []
    empty = not record.get(prefix + "tool_calls") and not all(outputs)
    return _worst(
        [Quality.EMPTY if empty else Quality.OK]
        + [_BY_FINISH.get(str(reason), Quality.OK) for reason in reasons]
    )


def _quality_of_choice(choice: Mapping[str, Any]) -> Quality:
    quality = _BY_FINISH.get(str(choice.get("finish_reason")), Quality.OK)
    if quality is Quality.LOOPED:
        return quality
    answer = answer_of(choice)
    if quality is Quality.CUT:
        text = answer.content or answer.reasoning or ""
        return Quality.LOOPED if ends_in_loop(text) else Quality.CUT
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    has_more = any(map(message.get, ("tool_calls", "function_call", "refusal", "audio")))
    has_text = answer.content is not None and answer.content.strip() != ""
    return Quality.OK if has_text or has_more else Quality.EMPTY


def ends_in_loop(text: str) -> bool:
    """Return whether the end of a text is one piece, `_MAX_PERIOD` characters at most, over and
    over."""
    end = text[-_MAX_PERIOD * _LOOP_REPEATS :]
    for period in range(1, min(_MAX_PERIOD, len(end) // _LOOP_REPEATS) + 1):
        length = max(period * _LOOP_REPEATS, _LOOP_LENGTH)
        # A text repeats itself with this period where it equals itself, moved by it.
        if len(end) >= length and end[-length:-period] == end[-length + period :]:
            return True
    return False


def _worst(qualities: Iterable[Quality]) -> Quality:
    return max(qualities, key=_ORDER.index, default=Quality.OK)
