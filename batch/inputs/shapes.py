"""Rows in the shapes of data sets, as rows in the shapes of requests.

ShareGPT (`conversations`), TRL (`prompt` as a list of messages) and fine-tuning data, whose
messages end with the answer of an assistant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...i18n import _
from .lines import BadLineError

ROLES_BY_SPEAKER = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
"""Who speaks in ShareGPT's `from`, as roles of chat messages."""


@dataclass(slots=True)
class ShapeCounts:
    """How many rows of a kind were read that a person should know of; `missing` are the columns
    of the template that none of them had, None before the first row."""

    assistant_last: int = 0
    skipped: int = 0
    missing: frozenset[str] | None = None

    def as_json(self) -> dict[str, int]:
        """Return the counts."""
        return {"assistant_last": self.assistant_last, "skipped": self.skipped}


def as_request_row(value: Any, counts: ShapeCounts, *, drop_last_assistant: bool = False) -> Any:
    """Return the row with its conversation under `messages`; other rows as they are.

    With `drop_last_assistant`, a last message of an assistant is left out. Raises `BadLineError`
    for a conversation that can't be read.
    """
    if not isinstance(value, dict):
        return value
    row = value
    if not row.keys() & {"messages", "prompt", "body"}:
        for column in ("conversations", "conversation"):
            if isinstance(row.get(column), list):
                rest = {key: item for key, item in row.items() if key != column}
                row = {**rest, "messages": [_turn(turn, column) for turn in row[column]]}
                break
    elif "messages" not in row and _are_messages(row.get("prompt")):
        rest = {key: item for key, item in row.items() if key != "prompt"}
        row = {**rest, "messages": row["prompt"]}
    messages: Any = row.get("messages")
    if "body" not in row and _are_messages(messages) and messages[-1].get("role") == "assistant":
        if drop_last_assistant and len(messages) > 1:
            return {**row, "messages": messages[:-1]}
        counts.assistant_last += 1
    return row


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[-1], dict)


def _turn(turn: Any, column: str) -> Mapping[str, Any]:
    if not isinstance(turn, dict):
        raise BadLineError(_("'{column}' must be a list of objects").format(column=column))
    if "role" in turn:
        return turn
    speaker = turn.get("from")
    role = ROLES_BY_SPEAKER.get(speaker) if isinstance(speaker, str) else None
    if role is None or not isinstance(turn.get("value"), str):
        text = _("a turn of '{column}' has no 'value', or its 'from' is none of {names}")
        raise BadLineError(text.format(column=column, names=", ".join(ROLES_BY_SPEAKER)))
    return {"role": role, "content": turn["value"]}
