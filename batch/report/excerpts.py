"""The beginnings of prompts and answers, as plain text."""

from typing import Any

import orjson

from ...json_types import JsonObject
from ..inputs.reserved_columns import ANSWER_COLUMNS, YIELDING_COLUMNS
from ..journal.records import prompt_of

EXCERPT = 1500
"""Characters of a prompt or an answer on the page."""


def prompt_of_columns(record: JsonObject, prefix: str) -> Any:
    """Return what a row asked, by the columns it came with."""
    kept = record.get(prefix + "prompt")
    if kept is not None:
        return kept
    messages = record.get("messages")
    if isinstance(messages, list):
        return prompt_of({"messages": messages})
    own = {prefix + name for name in (*ANSWER_COLUMNS, *YIELDING_COLUMNS)}
    return {key: value for key, value in record.items() if key not in own and key != "custom_id"}


def excerpt(value: Any, limit: int = EXCERPT) -> str:
    """Return the beginning of a text, or of a value as JSON; a message is its role and text."""
    if value is None:
        return ""
    if isinstance(value, list) and value and all(_is_message(item) for item in value):
        value = "\n\n".join(f"[{item['role']}] {_content(item.get('content'))}" for item in value)
    elif (
        isinstance(value, list)
        and len(value) > 8
        and all(isinstance(item, float | int) for item in value[:100])
    ):
        numbers = ", ".join(f"{item:.4g}" for item in value[:8])
        value = f"[{numbers}, … {len(value):,}]"
    elif isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        value = "\n".join(f"{key}: {item[:limit]}" for key, item in list(value.items())[:100])
    elif not isinstance(value, str):
        value = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
    text = str(value)
    return text if len(text) <= limit else text[:limit] + " …"


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def _content(content: Any) -> str:
    if isinstance(content, list):
        texts = [
            str(part.get("text", f"({part.get('type')})"))
            for part in content
            if isinstance(part, dict)
        ]
        return "\n".join(texts)
    return "" if content is None else str(content)
