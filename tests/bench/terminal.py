"""What the chat sends to its terminal, in bytes: while an answer streams, and until a key is seen.

    python -m tests.bench.terminal

Bytes, not times: a busy machine sends the same. A screen of 110 by 34, 120 characters a second.
"""

import sys

from ..tui.slow_line import bytes_until_echo
from ..tui.terminal_bytes import SECONDS, count
from . import figures

_LINE = 30_000  # bytes a second


def main() -> int:
    """Measure, and print the figures."""
    results = [
        figures.Figure("bytes a second of a stream", count("stream") / SECONDS, 6_000, "B", True),
        figures.Figure("the same, scrolling", count("scroll") / SECONDS, 10_000, "B", True),
    ]
    echo = 1_000 * max(bytes_until_echo(answers=True)) / _LINE
    results.append(figures.Figure("a key is seen at 30 KB/s after", echo, 300, "ms", True))
    return figures.end(results)


if __name__ == "__main__":
    sys.exit(main())
