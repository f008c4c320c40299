"""Chat messages as rows have them."""

from typing import Any

import orjson

from ...i18n import _
from .lines import BadLineError

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def check_messages(messages: Any) -> None:
    """Raise `BadLineError` unless this is a list of chat messages; the server checks the rest."""
    if not isinstance(messages, list) or not messages:
        raise BadLineError(_("'messages' must be a list with at least one message"))
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            text = _("'messages[{i}]' must be an object, not {type}")
            raise BadLineError(text.format(i=index, type=type_name(message)))
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            text = _("'messages[{i}].role' is {role}; it must be one of {known}")
            raise BadLineError(
                text.format(
                    i=index, role=orjson.dumps(role).decode(), known=", ".join(sorted(ROLES))
                )
            )
        content = message.get("content")
        if not isinstance(content, str | list | None):
            text = _("'messages[{i}].content' must be a string or a list, not {type}")
            raise BadLineError(text.format(i=index, type=type_name(content)))
        if content is None and role != "assistant":
            raise BadLineError(_("'messages[{i}].content' is missing").format(i=index))


def checked_prompt(text: str) -> str:
    """Return a prompt. Raises `BadLineError` for one of white space alone."""
    if not text.strip():
        raise BadLineError(_("the prompt is empty"))
    return text


def type_name(value: Any) -> str:
    """Return the JSON name of a value's type."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
