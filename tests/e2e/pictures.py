"""Takes the pictures for README.md: the real app, and what the demo model really answers.

    qchat serve demo --detach
    python -m tests.e2e.pictures [--base-url URL]

Writes examples/chat.svg, chat-search.svg, chat-light.svg and demo.svg.
"""

import argparse
import asyncio
import html
import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from qchat.api.endpoint import Endpoint
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import TuiSettings
from qchat.store import Store, open_store
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions

from ..tui.chat_app import last_state, listed, type_in
from ..tui.screens import screen
from ..tui.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "examples"
SIZE = (110, 30)
BATCH_SIZE = (100, 28)
CURSOR_UP = "\x1b[1A"
CELL = 12.2  # how wide rich draws a letter
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
QUESTIONS = (
    "什么是区块链技术？",
    "Explain the seasons with emoji",
    "Write FizzBuzz in Python",
    "Which sampling parameters should I use with Qwen3?",
    "Compare Qwen3 models in a table",
    "Show me the quadratic formula",
)
SECOND = "Write a Fibonacci function in Python"
THOUGHT = "What is 17 times 24?"


def keep(app: ChatApp, name: str) -> None:
    """Write the app's screen as a picture."""
    write(app.export_screenshot(title="qchat tui"), name)


def write(svg: str, name: str) -> None:
    """Write a picture."""
    (FOLDER / f"{name}.svg").write_text(self_contained(svg), encoding="utf-8")


def self_contained(svg: str) -> str:
    """Return a picture that loads no font from another host."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    svg = re.sub(r'textLength="[^"]*"([^>]*)>([^<]*)<', _measured, svg)
    return svg.replace("Fira Code, monospace", FONT)


def _measured(found: re.Match[str]) -> str:
    # Rich gives a Chinese character the width of a letter.
    wide = cell_len(html.unescape(found[2])) * CELL
    return f'textLength="{wide:.1f}"{found[1]}>{found[2]}<'


async def ask(app: ChatApp, question: str) -> None:
    """Ask, and wait for the whole answer."""
    before = len(app.transcript.messages)
    await type_in(app, question)
    await wait_until(lambda: len(app.transcript.messages) == before + 2, 60)
    await wait_until(lambda: last_state(app) is MessageState.COMPLETE, 60)


def chat(url: str, store: Store, theme: str, *, thinking: bool) -> ChatApp:
    """The app, which answers the same each time."""
    sampling = Sampling(temperature=0, thinking=thinking)
    return ChatApp(
        lambda: store,
        LaunchOptions(
            Endpoint(url, name="demo"), None, sampling, None, False, "", TuiSettings(theme=theme)
        ),
    )


async def conversation_and_search(app: ChatApp) -> None:
    """A conversation with some others beside it, and a search."""
    async with app.run_test(size=SIZE) as pilot:
        await wait_until(lambda: app.parts.monitor.reachable, 60)
        for question in QUESTIONS:
            await type_in(app, "/new")
            await wait_until(lambda: not app.transcript.messages)
            await ask(app, question)
        await ask(app, SECOND)
        await pilot.pause(1.0)  # the title comes after the answer
        keep(app, "chat")
        await pilot.press("ctrl+f", *"python")
        await pilot.pause(1.0)
        keep(app, "chat-search")


async def thinking(app: ChatApp) -> None:
    """An answer that was thought about."""
    async with app.run_test(size=SIZE) as pilot:
        await wait_until(lambda: app.parts.monitor.reachable, 60)
        await ask(app, THOUGHT)
        await wait_until(lambda: THOUGHT in listed(app))
        await pilot.press("ctrl+t")
        await wait_until(lambda: "17 times 20" in screen(app))
        await pilot.pause()
        keep(app, "chat-light")


async def take(url: str, folder: Path) -> None:
    """All of them."""
    with open_store(folder) as store:
        await conversation_and_search(chat(url, store, "dark", thinking=False))
        await thinking(chat(url, store, "light", thinking=True))


def batch(folder: Path) -> None:
    """A batch, and the beginning of its answers."""
    questions = folder / "examples" / "questions.jsonl"
    questions.parent.mkdir()
    shutil.copy(FOLDER / questions.name, questions)
    runs = (
        ("qchat batch examples/questions.jsonl --model demo", ["-m", "qchat", "batch"]),
        (
            "python examples/show_answers.py examples/questions.results.jsonl",
            [str(FOLDER / "show_answers.py")],
        ),
    )
    columns, rows = BATCH_SIZE
    lines: list[Text] = []
    for command, program in runs:
        arguments = command.split()[2:]
        lines += [Text(f"$ {command}"), *terminal_lines([*program, *arguments], folder)]
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    for line in lines[:rows]:
        console.print(line, soft_wrap=True)
    write(console.export_svg(title="qchat batch"), "demo")


def terminal_lines(arguments: list[str], folder: Path) -> list[Text]:
    """What a Python program leaves on a terminal of `BATCH_SIZE`, line by line."""
    return lines_of(b"".join(terminal_output(arguments, folder, BATCH_SIZE)))


def terminal_output(arguments: list[str], folder: Path, size: tuple[int, int]) -> list[bytes]:
    """What a Python program writes on a terminal of some columns and rows, as it comes."""
    columns, rows = size
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (rows, columns))
    environ = {**os.environ, "TERM": "xterm", "QCHAT_HOME": str(folder / "home")}
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=environ, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        output: list[bytes] = []
        while True:
            try:
                output.append(os.read(ours, 65536))
            except OSError:  # Linux reports the end of a terminal as EIO
                break
    os.close(ours)
    assert process.returncode == 0, b"".join(output).decode()
    return output


def lines_of(output: bytes) -> list[Text]:
    """The lines of a terminal after this output, whose progress wrote over itself."""
    lines: list[Text] = []
    for line in output.decode().replace("\r\n", "\n").removesuffix("\n").split("\n"):
        # Progress writes over itself, after a carriage return or one line up; it is not kept.
        del lines[len(lines) - line.count(CURSOR_UP) :]
        lines.append(Text.from_ansi(line.rpartition("\r")[2]))
    return lines


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(take(parser.parse_args().base_url, Path(folder)))
        batch(Path(folder))


if __name__ == "__main__":
    main()
