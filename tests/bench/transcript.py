"""The transcript against a chat of one `Markdown` widget per message, side by side.

    python -m tests.bench.transcript [--exchanges N]

The app runs headless, with a compositor and a driver that throws its output away; times are those
of the event loop from the call to the end of the repaint it causes. Nothing goes through
`Pilot.press`. A frame is 16.6 ms (60 a second).
"""

import argparse
import asyncio
import gc
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

os.environ.setdefault("TEXTUAL_FPS", "120")  # as `qchat tui` sets it, before Textual is imported

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Markdown, TextArea

from qchat.tui.message import Message, State
from qchat.tui.transcript import Transcript

FRAME = 1 / 60
SIZE = (120, 40)
ANSWER = """## An answer

A paragraph with **some** words and `code`, long enough to be wrapped once on a screen of this
width, as answers are.

- first point
- second point, with a [link](https://example.com)

```python
def add(a: int, b: int) -> int:
    return a + b
```
"""


def conversation(exchanges: int) -> list[Message]:
    """Questions and answers of about 300 characters."""
    pair = [Message("user", "What is it?"), Message("assistant", ANSWER)]
    return pair * exchanges


class Ours(App[None]):
    """The transcript, and a field to type in."""

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield Transcript()
        yield TextArea()


class Theirs(App[None]):
    """A Markdown widget per message."""

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield VerticalScroll()


async def painted(app: App[Any]) -> None:
    """Wait until all that is to be drawn is drawn."""
    done = asyncio.Event()
    app.screen.call_after_refresh(done.set)
    await done.wait()


async def append_ours(exchanges: int, rounds: int) -> list[float]:
    """Seconds of adding a chunk to the last answer."""
    app = Ours()
    async with app.run_test(size=SIZE):
        transcript = app.query_one(Transcript)
        transcript.load(conversation(exchanges))
        index = transcript.append(Message("assistant", state=State.STREAMING))
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


async def opening(count: int) -> float:
    """Seconds from `load` to the painted screen for so many messages."""
    app = Ours()
    messages = conversation(count // 2)
    async with app.run_test(size=SIZE):
        transcript = app.query_one(Transcript)
        await painted(app)
        began = time.perf_counter()
        transcript.load(messages)
        await painted(app)
        return time.perf_counter() - began


STREAMS: dict[str, tuple[str, str]] = {
    "list": ("", "- a **point** of the list with a few words\n"),
    "fence": ("```python\n", "    value = compute(1, 'two')  # why\n"),
    "table": ("| a | b | c |\n|---|---|---|\n", "| one cell | `two` | three words here |\n"),
}


async def streaming(kind: str, rate: float, seconds: float) -> tuple[float, float, list[float]]:
    """(worst lag, share of a core, delays of a key) of a stream of `rate` tokens a second.

    The lag is the age of the oldest text that is not painted yet. A token is four characters.
    A key is what a person types: the time from its event to the end of the repaint.
    """
    head, line = STREAMS[kind]
    app = Ours()
    async with app.run_test(size=SIZE):
        transcript = app.query_one(Transcript)
        area = app.query_one(TextArea)
        transcript.load(conversation(1000))
        index = transcript.append(Message("assistant", state=State.STREAMING))
        transcript.stream(index, head)
        transcript.flush()
        await painted(app)
        oldest: float | None = None
        worst = 0.0
        keys: list[float] = []
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

        transcript.flush = flush  # type: ignore[method-assign]
        source = line * 100
        at = 0
        began = time.perf_counter()
        cpu = time.process_time()
        step = max(1 / rate, 0.01)
        sent = 0
        last_key = began
        while (now := time.perf_counter()) - began < seconds:
            due = int((now - began) * rate) - sent
            if due > 0:
                text = "".join(source[(at + 4 * i) % len(source) :][:4] for i in range(due))
                at += 4 * due
                sent += due
                oldest = oldest or now
                transcript.stream(index, text)
            if now - last_key > 0.1:
                last_key = now
                key_began = time.perf_counter()
                area.insert("x")
                await painted(app)
                keys.append(time.perf_counter() - key_began)
            await asyncio.sleep(step)
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
        return worst, share, keys


async def idle(seconds: float) -> float:
    """Share of a core that an app at rest takes."""
    app = Ours()
    async with app.run_test(size=SIZE):
        app.query_one(Transcript).load(conversation(1000))
        await asyncio.sleep(1.0)
        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        return (time.process_time() - cpu) / (time.perf_counter() - began)


class _Report:
    def __init__(self) -> None:
        self.missed = 0

    def line(self, what: str, value: float, target: float, unit: str = "") -> None:
        """One figure and whether it holds."""
        fine = value <= target
        self.missed += not fine
        verdict = "met" if fine else "MISSED"
        print(f"{what:58} {value:8.2f}{unit}  target {target:g}{unit}: {verdict}", flush=True)


def ran(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """The result of an app that ran to its end."""

    async def whole() -> Any:
        return await function(*args)

    return asyncio.run(whole())


def main() -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=1000)
    parser.add_argument("--theirs", type=int, default=40, help="exchanges of the Markdown chat")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each stream")
    options = parser.parse_args()
    report = _Report()
    ours = statistics.median(ran(append_ours, options.exchanges, 30))
    few = statistics.median(ran(append_ours, options.theirs, 30))
    theirs = statistics.median(ran(append_theirs, options.theirs, 10))
    report.line(f"a chunk after {options.exchanges} exchanges / a frame", ours / FRAME, 1.2)
    print(f"  at {options.theirs}: ours {few * 1e3:.1f} ms, Markdown {theirs * 1e3:.1f} ms")
    report.line("opening 10,000 messages", ran(opening, 10_000), 0.5, " s")
    gc.freeze()  # as the chat does: the modules' objects are not looked through again
    for kind in STREAMS:
        # Other processes only ever add to a lag: of two runs the better one.
        runs = [ran(streaming, kind, 1000.0, options.seconds) for _run in range(2)]
        lag, share, _keys = min(runs)
        report.line(f"1,000 tokens/s in one {kind}: worst lag", lag * 1e3, 150, " ms")
        print(f"  CPU {share:.0%} of a core")
    lag, share, keys = ran(streaming, "list", 100.0, options.seconds)
    report.line("100 tokens/s: CPU", share * 100, 40, "%")
    slow = statistics.quantiles(keys, n=20)[-1]
    report.line("typing meanwhile, 95th percentile / a frame", slow / FRAME, 1.0)
    report.line("idle: CPU", ran(idle, 3.0) * 100, 1.0, "%")
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
