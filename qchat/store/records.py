"""The values that the store returns. Times are seconds since 1970, exact to a millisecond."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..json_types import JsonObject
from ..message_state import MessageState

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation without its messages.

    `id` is ten lower-case letters and digits. `named` says that a person chose the title.
    `deleted` is when it was deleted, None otherwise. `settings` are the sampling parameters and
    the thinking switch, as the caller writes them. `leaf` is the last message of the path shown,
    None where there is none. `messages` counts those of all branches.
    """

    id: str
    title: str
    named: bool
    created: float
    updated: float
    pinned: bool
    archived: bool
    deleted: float | None
    system: str | None
    server: str | None
    model: str | None
    settings: JsonObject
    draft: str
    leaf: int | None
    messages: int


@dataclass(frozen=True, slots=True)
class Node:
    """A message without its text: what a view needs to lay out a long conversation.

    `chars` and `lines` are of the content, `reasoning_chars` of the reasoning. `sibling` counts
    from 0 among `siblings` messages with the same parent, oldest first.
    """

    id: int
    parent: int | None
    role: str
    state: MessageState
    created: float
    chars: int
    lines: int
    reasoning_chars: int
    sibling: int
    siblings: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message.

    `extra` holds the other keys of the chat API's message: ``tool_calls``, ``tool_call_id``,
    ``name``; where the content was a list of parts, ``content`` in it is that list and `content`
    here its text. `used` is what the answer was asked with (server, sampling, system prompt);
    `usage` the server's count of tokens; `timings` may have ``first_token_seconds``,
    ``total_seconds``, ``reasoning_seconds``, ``reasoning_tokens``.
    """

    id: int
    conversation: str
    parent: int | None
    role: str
    content: str
    reasoning: str | None
    state: MessageState
    created: float
    error: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    extra: JsonObject = field(default_factory=dict)
    used: JsonObject = field(default_factory=dict)
    usage: JsonObject = field(default_factory=dict)
    timings: JsonObject = field(default_factory=dict)

    def for_api(self) -> JsonObject:
        """The message as the chat API takes it; reasoning is not sent back."""
        extra: Mapping[str, Any] = self.extra
        content: Any = self.content
        if not content and extra.get("tool_calls"):
            content = None
        return {"role": self.role, "content": content, **extra}


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a search found something.

    `message` is None where the title was hit. `snippet` is one safe line; `marks` are the places
    in it to be marked, as (start, end) in characters, in order and apart; it may be empty.
    """

    conversation: str
    title: str
    archived: bool
    message: int | None
    role: str | None
    created: float
    snippet: str
    marks: tuple[tuple[int, int], ...]
