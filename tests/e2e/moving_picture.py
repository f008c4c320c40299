"""Makes the moving picture of README.md: the real chat and a real batch, with the demo model.

    qchat serve demo --detach
    python -m tests.e2e.moving_picture [--base-url URL]

Writes examples/moving.svg, whose frames are moved by CSS; it runs no script and loads nothing.
"""

import argparse
import asyncio
import io
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.text import Text

from qchat.message_state import MessageState
from qchat.store import open_store

from ..tui.chat_app import last_state
from ..tui.waiting import wait_until
from .pictures import FOLDER, chat, lines_of, self_contained, terminal_output

SIZE: Final = (90, 24)
LIMIT: Final = 500_000
"""Bytes that a page can be expected to load for it."""
QUESTION: Final = "Write a Fibonacci function in Python"
TABLE: Final = "Compare Qwen3 models in a table"
_PARTS: Final = (0.3, 0.7)  # of a batch's output


class Frame(NamedTuple):
    """A picture, and how long it is shown."""

    svg: str
    seconds: float


async def chat_frames(url: str, folder: Path) -> list[Frame]:
    """A question as it is typed, its answer as it comes, and another one."""
    frames: list[Frame] = []
    with open_store(folder) as store:
        app = chat(url, store, "dark", thinking=False)

        def keep(seconds: float) -> None:
            frames.append(Frame(app.export_screenshot(title="qchat tui"), seconds))

        async with app.run_test(size=SIZE) as pilot:
            await wait_until(lambda: app.parts.monitor.reachable, 60)
            await wait_until(lambda: app.parts.welcome.display and app.parts.welcome.text.is_ready)
            await pilot.pause()
            keep(2.0)
            for question in (QUESTION, TABLE):
                step = len(question) // 2 + 1
                for at in range(0, len(question), step):
                    app.composer.put(question[at : at + step])
                    await pilot.pause()
                    keep(0.35)
                count = len(app.transcript.messages)
                await pilot.press("enter")
                await wait_until(lambda n=count: len(app.transcript.messages) == n + 2, 60)
                for size in (60, 220):
                    await wait_until(
                        lambda n=size: (
                            len(app.transcript.messages[-1].text) >= n
                            or last_state(app) is MessageState.COMPLETE
                        ),
                        60,
                    )
                    await pilot.pause()
                    keep(0.5)
                await wait_until(lambda: last_state(app) is MessageState.COMPLETE, 60)
                await pilot.pause()
                keep(3.0)
    return frames


def batch_frames(url: str, folder: Path) -> list[Frame]:
    """A batch as it goes on."""
    name = "questions.jsonl"
    shutil.copy(FOLDER / name, folder / name)
    arguments = ["batch", name, "--base-url", url]
    output = b"".join(terminal_output(["-m", "qchat", *arguments], folder, SIZE))
    command = Text("$ " + " ".join(["qchat", *arguments]))
    frames = [Frame(_terminal([command]), 1.5)]
    for part in _PARTS:
        end = output.rfind(b"\n", 0, int(len(output) * part)) + 1
        if end:
            frames.append(Frame(_terminal([command, *lines_of(output[:end])]), 0.8))
    return [*frames, Frame(_terminal([command, *lines_of(output)]), 4.0)]


def _terminal(lines: list[Text]) -> str:
    columns, rows = SIZE
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    wrapped = [part for line in lines for part in line.wrap(console, columns)]
    for line in [*wrapped, *[Text()] * rows][:rows]:
        console.print(line)
    return console.export_svg(title="qchat batch")


def joined(frames: list[Frame]) -> str:
    """Return one picture that shows the frames in turn, for ever; where nothing may move, the
    last one."""
    total = sum(frame.seconds for frame in frames)
    first = self_contained(frames[0].svg)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', first)
    assert box is not None
    style, pictures, at = [".frame { visibility: hidden }"], [], 0.0
    for number, frame in enumerate(frames):
        begin, end = 100 * at / total, 100 * (at + frame.seconds) / total
        at += frame.seconds
        style.append(
            f"@keyframes k{number} {{ 0% {{ visibility: {'visible' if not number else 'hidden'} }} "
            f"{begin:.3f}% {{ visibility: visible }} {end:.3f}% {{ visibility: hidden }} }} "
            f"#f{number} {{ animation: k{number} {total:.2f}s step-end infinite }}"
        )
        # Equal frames have equal ids, of which a browser would use the hidden ones.
        svg = re.sub(r"terminal-\d+", f"t{number}", self_contained(frame.svg))
        pictures.append(f'<g class="frame" id="f{number}">{svg}</g>')
    still = ".frame { animation: none !important }"
    style.append(
        f"@media (prefers-reduced-motion: reduce) {{ {still} "
        f"#f{len(frames) - 1} {{ visibility: visible }} }}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {box[1]} {box[2]}">'
        f"<style>{' '.join(style)}</style>{''.join(pictures)}</svg>\n"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    url = parser.parse_args().base_url
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = [*asyncio.run(chat_frames(url, folder / "store")), *batch_frames(url, folder)]
    picture = joined(frames)
    assert len(picture.encode()) < LIMIT, len(picture)
    (FOLDER / "moving.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
