"""The order in which rows are sent: long answers first, within a bounded look ahead.

Measured with 2,000 rows of 4 to 60 tokens on the demo model, medians of five alternating rounds:
7% less time with a look ahead of 1,024 rows, 9% with all rows sorted, as fewer slots stay empty at
the end. Grouping rows by a shared system prompt (400 prompts of 300 words, 4 rows each) gave 4%,
and 1% with a KV cache too small for them all: left out.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import count

from ..json_types import JsonObject
from .request import Request

LOOKAHEAD = 1024
"""Rows that are read ahead."""

LONG_PROMPT = 20_000
"""Characters from which on a row is not buffered, so that the buffer stays small."""


def longest_first(rows: Iterable[Request], lookahead: int = LOOKAHEAD) -> Iterator[Request]:
    """Yield, of the rows read ahead, the one with the highest token limit next.

    Rows of equal limits stay in their order. A row without a limit counts as the longest.
    """
    order = count()
    heap: list[tuple[float, int, Request]] = []
    for row in rows:
        if not _is_small(row.body):
            yield row
            continue
        heapq.heappush(heap, (-_token_limit(row.body), next(order), row))
        if len(heap) > lookahead:
            yield heapq.heappop(heap)[2]
    while heap:
        yield heapq.heappop(heap)[2]


def _token_limit(body: JsonObject) -> float:
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return limit if isinstance(limit, int) else float("inf")


def _is_small(body: JsonObject) -> bool:
    """Whether the prompt is a short text; a part of a message may be a picture."""
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
