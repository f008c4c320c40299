"""The order of feeding: those that may take long first, within a bounded look ahead.

Measured with 2,000 rows of 4 to 60 tokens on the demo model, medians of five alternating rounds:
7% less time with a look ahead of 1,024 rows, 9% with all rows sorted, as fewer places stay empty at
the end. Grouping rows by a shared system prompt (400 prompts of 300 words, 4 rows each) gave 4%,
and 1% with a KV cache too small for them all: left out.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import count

from ..json_types import JsonObject
from .request import Request

AHEAD = 1024
"""Rows that are read ahead."""

LONG_PROMPT = 20_000
"""Characters from which on a row is not held back, so that what is held stays small."""


def longest_first(rows: Iterable[Request], ahead: int = AHEAD) -> Iterator[Request]:
    """The rows, of those read ahead always the one with the most tokens allowed; in their own order
    where that is the same for all. A row that sets no limit counts as the longest."""
    order = count()
    held: list[tuple[float, int, Request]] = []
    for row in rows:
        if not _is_small(row.body):
            yield row
            continue
        heapq.heappush(held, (-_most(row.body), next(order), row))
        if len(held) > ahead:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def _most(body: JsonObject) -> float:
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    return most if isinstance(most, int) else float("inf")


def _is_small(body: JsonObject) -> bool:
    """Whether the prompt is text, and not too much of it; a part of a message may be a picture."""
    messages = body.get("messages")
    texts = (
        [message.get("content") or "" for message in messages]
        if isinstance(messages, list)
        else [body.get("prompt")]
    )
    length = 0
    for text in texts:
        if not isinstance(text, str):
            return False
        length += len(text)
    return length < LONG_PROMPT
