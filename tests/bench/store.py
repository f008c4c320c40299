"""The store: searching 100,000 messages, and opening a conversation of 10,000.

    python -m tests.bench.store [MESSAGES]

Every figure is the median of alternating rounds, beside a baseline: a search beside `LIKE` over
the same rows, opening a conversation beside reading all its texts.
Targets: each search within 50 ms, opening within 0.5 s, a checkpoint within 16.6 ms (one frame).
"""

import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qchat.store import MessageState, Store, open_store, parse_messages

from . import figures

ROUNDS = 9
LONG = 10_000  # messages of the long conversation
SEARCH_SECONDS = 0.05
OPEN_SECONDS = 0.5
CHECKPOINT_SECONDS = 0.0166

_CHINESE = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可"
    "主发年动同工也能下过子说产种面而方后多定行学法所民得经"
)
_ENGLISH = (
    "the",
    "of",
    "a",
    "model",
    "answer",
    "token",
    "cache",
    "server",
    "light",
    "word",
    "reason",
)
RARE = {"图谱": 40, "photosynthesis": 40, "蓝色": 500}  # how many messages hold them
QUERIES = (
    "图谱",
    "photosynthesis",
    "蓝色",
    "的",
    "the",
    "photosyn",
    "the 图谱",
    "不存在的词",
    "zzz",
    "mo",
    "的一是",
    "the of a",
)


def text(rng: random.Random, number: int) -> str:
    """About 300 characters, half of them Chinese."""
    chinese = "".join(rng.choices(_CHINESE, k=150))
    return f"{number} {chinese} {' '.join(rng.choices(_ENGLISH, k=25))}"


def fill(store: Store, count: int) -> str:
    """Store one long conversation, and others of 100 messages; return the long one's id."""
    rng = random.Random(1)
    texts = [text(rng, n) for n in range(count)]
    for word, times in RARE.items():
        for n in rng.sample(range(count), min(times, count)):
            texts[n] += f" {word} "
    sizes = [LONG] + [100] * ((count - LONG) // 100) if count > LONG else [count]
    parsed, at = [], 0
    for size in sizes:
        part = texts[at : at + size]
        at += size
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": t} for n, t in enumerate(part)]
        parsed.append(parse_messages({"messages": messages}))
    return store.load(parsed).added[0]


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def compared(ours: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds of `ours`, and the median ratio to `other`, run alternately."""
    pairs = [(timed(ours), timed(other)) for _round in range(ROUNDS)]
    return statistics.median(a for a, _b in pairs), statistics.median(a / b for a, b in pairs)


def main() -> int:
    """Fill, measure, print; 1 where a target was missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        began = time.perf_counter()
        chat = fill(store, count)
        seconds = time.perf_counter() - began
        size = store.path.stat().st_size / 2**20
        print(f"{count:,} messages imported in {seconds:.1f} s; the file has {size:.0f} MiB")
        plain = sqlite3.connect(store.path)
        for query in QUERIES:
            like = f"%{query}%"
            took, ratio = compared(
                lambda q=query: store.search(q),  # type: ignore[misc]
                lambda q=like: plain.execute(  # type: ignore[misc]
                    "SELECT id FROM messages WHERE content LIKE ? ORDER BY id DESC LIMIT 50", (q,)
                ).fetchall(),
            )
            slowest = max(slowest, took)
            hits = len(store.search(query))
            print(f"search {query!r:18} {hits:3} hits {took * 1000:7.2f} ms  {ratio:6.2f} x LIKE")

        def opened() -> None:
            path = store.messages.path(chat)
            store.messages.bodies(node.id for node in path[-20:])

        opening, ratio = compared(
            opened, lambda: store.messages.bodies(n.id for n in store.messages.path(chat))
        )
        print(f"open {LONG:,} messages: {opening * 1000:.0f} ms, {ratio:.2f} x with all texts")
        answer = store.messages.begin(chat)
        long = "word 字 " * 5_000
        checkpoint, ratio = compared(
            lambda: store.messages.checkpoint(answer.id, long),
            lambda: store.messages.checkpoint(answer.id, "short"),
        )
        print(f"checkpoint of {len(long):,} characters: {checkpoint * 1000:.1f} ms", end=", ")
        print(f"{ratio:.1f} x a word")
        took, _ratio = compared(lambda: store.messages.add(chat, "user", "q"), lambda: None)
        store.messages.finish(answer.id, MessageState.COMPLETE, "end")
        print(f"store a question: {took * 1000:.1f} ms")
        plain.close()
    return figures.end(
        [
            figures.Figure(
                f"search over {count:,} messages, the slowest",
                slowest * 1000,
                SEARCH_SECONDS * 1000,
                "ms",
                less=True,
            ),
            figures.Figure(
                f"store: reading {LONG:,} messages to open them",
                opening * 1000,
                OPEN_SECONDS * 1000,
                "ms",
                less=True,
            ),
            figures.Figure(
                "store: a checkpoint", checkpoint * 1000, CHECKPOINT_SECONDS * 1000, "ms", less=True
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
