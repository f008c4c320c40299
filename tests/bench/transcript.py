"""The transcript beside a chat of one `Markdown` widget per message.

    python -m tests.bench.transcript [--exchanges N] [--theirs N] [--seconds N]

The app runs headless, with a compositor and a driver that discards its output; times run in the
event loop from the call to the end of the repaint that it causes, without `Pilot.press`. A frame
is 16.6 ms (60 per second). The Markdown chat gets fewer exchanges: as many would take minutes.
"""

import argparse
import asyncio
import gc
import os
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TEXTUAL_FPS", "240")  # as `qchat tui` sets it, before Textual is imported

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Markdown, TextArea

from qchat.message_state import MessageState
from qchat.tui.garbage_collection import GarbageCollection
from qchat.tui.transcript.message import Message
from qchat.tui.transcript.transcript import Transcript

from . import figures
from .texts import ANSWER, FRAME

SIZE = (120, 40)


def conversation(exchanges: int) -> list[Message]:
    """Questions and answers of about 300 characters."""
    pair = [Message("user", "What is it?"), Message("assistant", ANSWER)]
    return pair * exchanges


class Ours(App[None]):
    """The transcript, and a text area."""

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield Transcript()
        yield TextArea()


class Theirs(App[None]):
    """A Markdown widget per message."""

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield VerticalScroll()
        yield TextArea()


async def painted(app: App[Any]) -> None:
    """Wait until the next repaint is done."""
    done = asyncio.Event()
    app.screen.call_after_refresh(done.set)
    await done.wait()


async def append_ours(exchanges: int, rounds: int) -> list[float]:
    """Seconds per chunk added to the last answer."""
    app = Ours()
    async with app.run_test(size=SIZE):
        transcript = app.query_one(Transcript)
        transcript.load(conversation(exchanges))
        index = transcript.append(Message("assistant", state=MessageState.STREAMING))
        times = []
        for _round in range(rounds):
            await painted(app)
            began = time.perf_counter()
            transcript.stream(index, "some more words of the answer\n\n")
            transcript.flush()
            await painted(app)
            times.append(time.perf_counter() - began)
        return times


async def append_theirs(exchanges: int, rounds: int) -> list[float]:
    """The same with `Markdown.append`."""
    app = Theirs()
    async with app.run_test(size=SIZE):
        scroll = app.query_one(VerticalScroll)
        widgets = [Markdown(message.text) for message in conversation(exchanges)]
        await scroll.mount_all(widgets)
        last = Markdown("")
        await scroll.mount(last)
        scroll.anchor()
        times = []
        for _round in range(rounds):
            await painted(app)
            began = time.perf_counter()
            await last.append("some more words of the answer\n\n")
            await painted(app)
            times.append(time.perf_counter() - began)
        return times


async def opening_ours(count: int) -> float:
    """Seconds from `load` to the painted screen for `count` messages."""
    app = Ours()
    messages = conversation(count // 2)
    async with app.run_test(size=SIZE):
        transcript = app.query_one(Transcript)
        await painted(app)
        began = time.perf_counter()
        transcript.load(messages)
        await painted(app)
        return time.perf_counter() - began


async def opening_theirs(count: int) -> float:
    """The same for widgets."""
    app = Theirs()
    async with app.run_test(size=SIZE):
        await painted(app)
        began = time.perf_counter()
        widgets = [Markdown(message.text) for message in conversation(count // 2)]
        await app.query_one(VerticalScroll).mount_all(widgets)
        await painted(app)
        return time.perf_counter() - began


STREAMS: dict[str, tuple[str, str]] = {
    "list": ("", "- a **point** of the list with a few words\n"),
    "fence": ("```python\n", "    value = compute(1, 'two')  # why\n"),
    "table": ("| a | b | c |\n|---|---|---|\n", "| one cell | `two` | three words here |\n"),
}


@dataclass
class Streamed:
    """The cost of a stream: share of a core, seconds per key, MiB of growth, seconds of lag."""

    cpu: float
    keys: list[float]
    grown: float
    lag: float = 0.0


async def fed(
    app: App[Any], feed: Callable[[str], Awaitable[None]], line: str, rate: float, seconds: float
) -> Streamed:
    """Feed `rate` tokens of four characters per second, and type ten letters per second.

    A key is timed from its event to the end of the repaint.
    """
    area = app.query_one(TextArea)
    keys: list[float] = []
    sent = 0
    grown, cpu, began = resident(), time.process_time(), time.perf_counter()
    last_key = began
    while (now := time.perf_counter()) - began < seconds:
        due = int((now - began) * rate) - sent
        if due > 0:
            at = range(sent, sent + due)
            await feed("".join(line[4 * n % len(line) :][:4].ljust(4, line[0]) for n in at))
            sent += due
        if now - last_key > 0.1:
            last_key = now
            key_began = time.perf_counter()
            area.insert("x")
            await painted(app)
            keys.append(time.perf_counter() - key_began)
        await asyncio.sleep(max(1 / rate, 0.01))
    share = (time.process_time() - cpu) / (time.perf_counter() - began)
    return Streamed(share, keys, resident() - grown)


def resident() -> float:
    """The resident memory of the process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def streaming_ours(kind: str, exchanges: int, rate: float, seconds: float) -> Streamed:
    """Stream into the transcript; the lag is the maximum age of text not yet painted."""
    head, line = STREAMS[kind]
    app = Ours()
    async with app.run_test(size=SIZE):
        transcript = app.query_one(Transcript)
        transcript.load(conversation(exchanges))
        index = transcript.append(Message("assistant", state=MessageState.STREAMING))
        transcript.stream(index, head)
        transcript.flush()
        await painted(app)
        oldest: float | None = None
        worst = 0.0
        original = transcript.flush

        def flush() -> None:
            nonlocal oldest
            began, oldest = oldest, None
            original()

            def note() -> None:
                nonlocal worst
                if began is not None:
                    worst = max(worst, time.perf_counter() - began)

            app.screen.call_after_refresh(note)

        async def feed(text: str) -> None:
            nonlocal oldest
            oldest = oldest or time.perf_counter()
            transcript.stream(index, text)

        transcript.flush = flush  # type: ignore[method-assign]
        streamed = await fed(app, feed, line * 100, rate, seconds)
        streamed.lag = worst
        return streamed


async def streaming_theirs(kind: str, exchanges: int, rate: float, seconds: float) -> Streamed:
    """The same through `Markdown.get_stream`."""
    head, line = STREAMS[kind]
    app = Theirs()
    async with app.run_test(size=SIZE):
        scroll = app.query_one(VerticalScroll)
        await scroll.mount_all([Markdown(message.text) for message in conversation(exchanges)])
        last = Markdown(head)
        await scroll.mount(last)
        scroll.anchor()
        stream = Markdown.get_stream(last)
        try:
            return await fed(app, stream.write, line * 100, rate, seconds)
        finally:
            await stream.stop()


async def idle(seconds: float) -> float:
    """The share of a core that an idle app takes."""
    app = Ours()
    async with app.run_test(size=SIZE):
        app.query_one(Transcript).load(conversation(1000))
        await asyncio.sleep(1.0)
        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        return (time.process_time() - cpu) / (time.perf_counter() - began)


def slowest(keys: list[float]) -> float:
    """The 95th percentile, in frames."""
    return statistics.quantiles(keys, n=20)[-1] / FRAME


def ran(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Run an app to its end, with the garbage of earlier ones collected before."""

    async def whole() -> Any:
        return await function(*args)

    gc.collect()
    collector = GarbageCollection()
    collector.freeze()  # as in the chat
    try:
        return asyncio.run(whole())
    finally:
        collector.close()


def main() -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=1000)
    parser.add_argument("--theirs", type=int, default=40, help="exchanges of the Markdown chat")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each fast stream")
    parser.add_argument("--streams", default="list,fence,table", help="the kinds of fast streams")
    options = parser.parse_args()
    many, few = options.exchanges, options.theirs
    results: list[figures.Figure] = []

    def add(name: str, value: float, target: float, unit: str = "x") -> None:
        results.append(figures.Figure(name, value, target, unit, less=True))

    chunk = statistics.median(ran(append_ours, many, 30))
    add(f"a chunk after {many:,} exchanges / a frame", chunk / FRAME, 1.2)
    add("drawing a conversation of 10,000 messages", ran(opening_ours, 10_000) * 1e3, 500, "ms")
    for kind in filter(None, options.streams.split(",")):
        fast: Streamed = ran(streaming_ours, kind, many, 1000.0, options.seconds)
        print(f"1,000 tokens/s in one {kind}: CPU {fast.cpu:.0%} of a core", flush=True)
        add(f"1,000 tokens/s in one {kind}: worst lag", fast.lag * 1e3, 150, "ms")
        add(f"1,000 tokens/s in one {kind}: memory grown", fast.grown, 64, "MiB")
    slow: Streamed = ran(streaming_ours, "list", many, 100.0, 10.0)
    add("100 tokens/s: CPU of the transcript", slow.cpu * 100, 40, "%")
    add("typing meanwhile, 95% / a frame", slowest(slow.keys), 1.0)
    add("CPU at rest, transcript alone", ran(idle, 3.0) * 100, 1.0, "%")
    beside(few)
    return figures.end(results)


def beside(exchanges: int) -> None:
    """Print the same figures of the Markdown chat."""
    print(f"after {exchanges} exchanges:{'':15}ours      Markdown")

    def line(what: str, ours: float, theirs: float, unit: str) -> None:
        print(f"  {what:24} {ours:8.2f}  {theirs:12.2f} {unit}", flush=True)

    times = [ran(append_ours, exchanges, 10), ran(append_theirs, exchanges, 10)]
    line("a chunk", *(statistics.median(each) * 1e3 for each in times), "ms")
    opened = ran(opening_ours, 2 * exchanges), ran(opening_theirs, 2 * exchanges)
    line("opening", *(each * 1e3 for each in opened), "ms")
    for kind in STREAMS:
        both = [
            ran(stream, kind, exchanges, 100.0, 4.0)
            for stream in (streaming_ours, streaming_theirs)
        ]
        line(f"100 tokens/s, a {kind}", *(each.cpu * 100 for each in both), "% of a core")
        line("  typing meanwhile, 95%", *(slowest(each.keys) for each in both), "frames")


if __name__ == "__main__":
    sys.exit(main())
