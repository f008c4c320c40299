"""What is copied of an answer: code wherever it stands, and parts of tables."""

import pytest
from textual.app import App, ComposeResult

from qchat.message_state import MessageState
from qchat.tui.markdown import plain_lines
from qchat.tui.transcript.layout import Position
from qchat.tui.transcript.message import Message
from qchat.tui.transcript.transcript import Transcript

from .waiting import wait_until


class AnswerApp(App[None]):
    """A transcript with one answer, and what is copied of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self.copied: list[str] = []

    def compose(self) -> ComposeResult:
        yield Transcript()

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    def on_mount(self) -> None:
        self.transcript.load([Message("assistant", self._text)])
        self.transcript.focus()

    def on_transcript_copied(self, event: Transcript.Copied) -> None:
        self.copied.append(event.text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("> quoted:\n>\n> ```py\n> if x:\n>     y\n> ```\n>\n> end", "if x:\n    y"),
        ("> > ```\n> > deep\n> > ```", "deep"),
        (">     by indentation\n>\n>       more", "by indentation\n\n  more"),
        ("text\n\n    a = 1\n\n\n        b\n    c\n\nmore", "a = 1\n\n\n    b\nc"),
        ("\tby a tab\n", "by a tab"),
        ("1. item\n\n   ```sh\n   ls\n     -l\n   ```", "ls\n  -l"),
    ],
)
async def test_c_copies_code_wherever_it_stands(text: str, code: str) -> None:
    app = AnswerApp(text)
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("c")
        await wait_until(lambda: app.copied)
        assert app.copied == [code]
        app.copied.clear()
        await pilot.press("home", "right_curly_bracket")
        assert app.transcript.cursor is not None
        await pilot.press("c")
        await wait_until(lambda: app.copied == [code])


async def test_without_code_c_copies_nothing() -> None:
    app = AnswerApp("> just    wide\n\n- a\n    - b\n\ntext")
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("c")
        await pilot.pause()
        assert app.copied == []


TABLE = "| name | n |\n|:---|---:|\n| **a** | 1 |\n| `b` | 2 |\n| c and more words | 3 |"


def rows_of(app: AnswerApp) -> list[str]:
    widget = app.transcript
    return [widget.render_line(y).text for y in range(widget.size.height)]


@pytest.mark.parametrize(
    ("first", "last", "copied"),
    [
        ("a", "b", "| name | n |\n|:---|---:|\n| **a** | 1 |\n| `b` | 2 |"),
        ("name", "a", "| name | n |\n|:---|---:|\n| **a** | 1 |"),
        ("b", "c and more", "| name | n |\n|:---|---:|\n| `b` | 2 |\n| c and more words | 3 |"),
    ],
)
@pytest.mark.parametrize("width", [60, 20])
async def test_rows_of_a_table_are_copied_as_markdown(
    first: str, last: str, copied: str, width: int
) -> None:
    app = AnswerApp(TABLE)
    async with app.run_test(size=(width, 30)) as pilot:
        await pilot.pause()
        drawn = [line.strip() for line in rows_of(app)]
        start = next(y for y, line in enumerate(drawn) if line.startswith(first))
        stop = next(y for y, line in enumerate(drawn) if line.startswith(last.split()[0]))
        await pilot.mouse_down(app.transcript, offset=(3, start))
        await pilot.hover(app.transcript, offset=(7, stop))
        await pilot.mouse_up(app.transcript, offset=(7, stop))
        assert app.transcript.selected == copied


async def test_a_word_of_a_cell_is_copied_as_it_is() -> None:
    app = AnswerApp(TABLE)
    async with app.run_test(size=(60, 30)) as pilot:
        await pilot.pause()
        line = next(n for n, text in enumerate(rows_of(app)) if "c and more" in text)
        block = app.transcript._layout.position_at(line)
        app.transcript.selection = (
            Position(block.message, block.block, block.line, 2),
            Position(block.message, block.block, block.line, 10),
        )
        assert app.transcript.selected == "and more"


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("As shown[^1].\n\n[^1]: By them.", ["As shown¹.", "", "¹ By them."]),
        ("Said[^a b] or [^x].\n\n[^x]: n", ["Said[^a b] or [x].", "", "[x] n"]),
        ("A class [^1] without a note", ["A class [^1] without a note"]),
        ("`[^1]`\n\n[^1]: n", ["[^1]", "", "¹ n"]),
        ("<details>\n<summary>More</summary>\n\n**x**\n\n</details>", ["▾ More", "", "x"]),
        ('<details open>\n<summary class="s"><b>M</b>\n</summary>\ny\n</details>', ["▾ M", "y"]),
        ("<div>kept</div>", ["<div>kept</div>"]),
    ],
)
def test_footnotes_and_details(text: str, drawn: list[str]) -> None:
    assert plain_lines(text, 60) == drawn


async def test_a_note_that_comes_later_is_known_in_the_end() -> None:
    app = AnswerApp("")
    async with app.run_test(size=(60, 24)) as pilot:
        transcript = app.transcript
        index = transcript.append(Message("assistant", state=MessageState.STREAMING))
        for part in ("As shown[^1].\n\n", "more\n\n", "[^1]: By them."):
            transcript.stream(index, part)
            transcript.flush()
            await pilot.pause()
        text = transcript.messages[index].text
        transcript.replace(index, Message("assistant", text))
        await pilot.pause()
        assert any("As shown¹." in line for line in rows_of(app))
