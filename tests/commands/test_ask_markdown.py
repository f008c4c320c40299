"""`qchat ask` on a terminal: Markdown is drawn as it arrives, and nowhere else."""

import io
import os
import pty
import random
import re
import subprocess
from pathlib import Path

import pytest
from rich.color import ColorSystem

from qchat.commands.ask_markdown import MarkdownPrinter, palette_for
from qchat.tui.markdown import plain_lines
from qchat.tui.markdown.palette import DARK, LIGHT, NO_COLOR

from .ask_command import AskCommand, environment

TEXT = """# 标题 one

Some **bold** and `code`, with a [link](http://127.0.0.1/).

- a
- b **c**

| a | b |
|---|---|
| 1 | 二 |

```python
def f():
    return 1
```

The end.
"""


def shown(output: str) -> list[str]:
    """The lines that a terminal of any height shows after this output."""
    lines, row = [""], 0
    output = re.sub(r"\x1b\]8;.*?\x1b\\", "", output)  # links
    for token in re.split(r"(\x1b\[\d*[A-Za-z]|\x1b\[[\d;]*m|\n|\r)", output):
        if token == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif token.endswith("A") and token.startswith("\x1b["):
            row -= int(token[2:-1])
        elif token == "\x1b[J":
            del lines[row:]
            lines.append("")
        elif not token.startswith("\x1b") and token != "\r":
            assert not token or not lines[row].strip() or token == token.lstrip("\n")
            lines[row] += token
    assert lines[-1] == ""
    return [line.rstrip() for line in lines[:-1]]


@pytest.mark.parametrize("seed", range(6))
def test_what_stays_is_the_whole_answer_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qchat.commands.ask_markdown._REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "12")
    out, rest = io.StringIO(), TEXT
    printer = MarkdownPrinter(out, NO_COLOR, ColorSystem.STANDARD)
    cut = random.Random(seed)
    while rest:
        size = cut.randint(1, 9)
        printer.write(rest[:size])
        rest = rest[size:]
    printer.finish()
    assert shown(out.getvalue()) == plain_lines(TEXT, 60)


def test_the_open_block_is_never_higher_than_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qchat.commands.ask_markdown._REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    out = io.StringIO()
    printer = MarkdownPrinter(out, NO_COLOR, ColorSystem.STANDARD)
    for _number in range(60):
        printer.write("- a long point of a list that never ends\n")
    ups = [int(n) for n in re.findall(r"\x1b\[(\d+)A", out.getvalue())]
    assert ups and max(ups) <= 8


def test_the_palette_suits_the_background(tmp_path: Path) -> None:
    file = tmp_path / "background"
    assert palette_for({"COLORFGBG": "15;0"}, file) is DARK
    assert palette_for({"COLORFGBG": "0;default;15"}, file) is LIGHT
    unknown = palette_for({}, file)
    assert unknown not in (DARK, LIGHT)
    file.write_text("light\n")
    assert palette_for({}, file) is LIGHT
    assert palette_for({"NO_COLOR": "1"}, file) is NO_COLOR


def output_of(ask: AskCommand, *arguments: str, **environ: str) -> str:
    """What `qchat ask` writes to a terminal."""
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        ask.command(*arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(ask.home, **environ),
    )
    os.close(theirs)
    output = b""
    try:
        while data := os.read(ours, 4096):
            output += data
    except OSError:
        pass  # Linux says EIO where the other side has closed
    os.close(ours)
    assert asking.wait(timeout=60) == 0, output
    return output.decode()


@pytest.mark.parametrize(
    ("arguments", "term", "drawn"),
    [((), "xterm-256color", True), (("--plain",), "xterm", False), ((), "dumb", False)],
)
def test_on_a_terminal(ask: AskCommand, arguments: tuple[str, ...], term: str, drawn: bool) -> None:
    output = output_of(ask, "some **bold** text", *arguments, TERM=term)
    assert ("**bold**" not in output) is drawn
    assert ("\x1b[1mbold" in output) is drawn
    assert "bold" in output


def test_in_a_pipe_the_text_stays_as_it_is(ask: AskCommand) -> None:
    done = ask("some **bold** text")
    assert b"**bold**" in done.stdout and b"\x1b" not in done.stdout
