"""Lists of layers, shorter to write."""

from collections.abc import Sequence
from typing import Any

FULL, LINEAR, SLIDING = "full_attention", "linear_attention", "sliding_attention"


def repeat(pattern: Sequence[Any], count: int) -> list[Any]:
    """Return the first `count` items of `pattern`, repeated for ever."""
    return [pattern[index % len(pattern)] for index in range(count)]
