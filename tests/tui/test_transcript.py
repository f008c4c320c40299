"""The transcript in a running app: following, places, selection, jumps, small windows."""

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from qchat.message_state import MessageState
from qchat.tui.transcript.layout import Position
from qchat.tui.transcript.message import Message
from qchat.tui.transcript.transcript import Transcript

from .waiting import wait_until


class TranscriptApp(App[None]):
    """A transcript alone."""

    def __init__(self, messages: list[Message]) -> None:
        super().__init__()
        self.initial_messages = messages
        self.copied: list[str] = []

    def compose(self) -> ComposeResult:
        yield Transcript()

    def on_mount(self) -> None:
        self.transcript.load(self.initial_messages)
        self.transcript.focus()

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    def on_transcript_copied(self, event: Transcript.Copied) -> None:
        self.copied.append(event.text)


def screen(app: TranscriptApp) -> list[str]:
    widget = app.transcript
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]


def long_talk(count: int = 60) -> list[Message]:
    return [
        Message("user", f"question {i}") if i % 2 == 0 else Message("assistant", f"answer {i}\n\nx")
        for i in range(count)
    ]


async def settled(pilot: Pilot[None]) -> None:
    await pilot.pause()
    await pilot.pause()


async def test_a_screen_as_text() -> None:
    messages = [
        Message("user", "Was *ist* das?\nJa."),
        Message(
            "assistant",
            "# Title\nSome **words**.\n\n- a\n  1. b\n\n```py\nx = 1\n```",
            reasoning="hm",
            thought_seconds=3.21,
            thought_tokens=1234,
            note="demo · 43.2 tok/s",
        ),
        Message("user", "more"),
        Message("assistant", "part", state=MessageState.STOPPED),
        Message("assistant", "", state=MessageState.ERROR, error="It can't be reached."),
    ]
    app = TranscriptApp(messages)
    async with app.run_test(size=(40, 32)) as pilot:
        await settled(pilot)
        assert screen(app) == [
            "",
            "  ▌ Was *ist* das?",
            "  ▌ Ja.",
            "",
            "  ▸ Thought · 3.2 s · 1,234 tokens",
            "",
            "  Title",
            "  Some words.",
            "",
            "  • a",
            "    1. b",
            "",
            "    py",
            "    x = 1",
            "",
            "  demo · 43.2 tok/s",
            "",
            "  ▌ more",
            "",
            "  part",
            "",
            "  ■ Stopped",
            "",
            "  ✗ It can't be reached.",
            *[""] * 8,
        ]


async def test_it_follows_the_end_until_the_reader_scrolls_up() -> None:
    app = TranscriptApp(long_talk())
    async with app.run_test(size=(40, 10)) as pilot:
        await settled(pilot)
        transcript = app.transcript
        index = transcript.append(Message("assistant", state=MessageState.STREAMING))
        transcript.stream(index, "streamed words")
        await wait_until(lambda: any("streamed words" in line for line in screen(app)))
        await pilot.press("pageup")
        await settled(pilot)
        before = screen(app)
        assert not transcript.auto_scroll
        for number in range(30):
            transcript.stream(index, f"line {number}\n\n")
        transcript.flush()
        await settled(pilot)
        after = screen(app)
        assert after[:-1] == before[:-1]
        assert "new text below" in after[-1]
        await pilot.press("end")
        await settled(pilot)
        assert transcript.auto_scroll and any("line 29" in line for line in screen(app))
        assert not any("new text below" in line for line in screen(app))


async def test_it_follows_the_end_through_every_size() -> None:
    talk = [Message("assistant", f"w{i} " * (7 * i + 1)) for i in range(60)]
    app = TranscriptApp(talk)
    async with app.run_test(size=(80, 12)) as pilot:
        await settled(pilot)
        index = app.transcript.append(Message("assistant", state=MessageState.STREAMING))
        sizes = [(80, 30), (80, 50), (80, 11), (120, 40), (31, 9), (100, 60), (60, 20), (61, 28)]
        for number, size in enumerate(sizes):
            await pilot.resize_terminal(*size)
            app.transcript.stream(index, f"part {number}\n\n")
            await settled(pilot)
            app.transcript.flush()
            await settled(pilot)
            assert app.transcript.auto_scroll
            assert any(f"part {number}" in line for line in screen(app)[-3:]), (size, screen(app))


async def test_a_new_width_keeps_the_place() -> None:
    app = TranscriptApp([Message("assistant", f"w{i} " * 40) for i in range(100)])
    async with app.run_test(size=(80, 12)) as pilot:
        await settled(pilot)
        for _page in range(12):
            await pilot.press("pageup")
        await settled(pilot)
        top = next(line.split()[0] for line in screen(app) if line.strip())
        for width in (30, 120, 80):
            await pilot.resize_terminal(width, 12)
            await settled(pilot)
            assert any(top in line for line in screen(app)[:3]), (width, top, screen(app))


async def test_ten_thousand_messages_open_at_the_end() -> None:
    app = TranscriptApp(long_talk(10_000))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert any("answer 9999" in line for line in screen(app))
        await pilot.press("home")
        await settled(pilot)
        assert any("question 0" in line for line in screen(app))


async def test_hostile_text_is_made_safe_across_chunks() -> None:
    app = TranscriptApp([])
    async with app.run_test(size=(40, 10)) as pilot:
        await settled(pilot)
        index = app.transcript.append(Message("assistant", state=MessageState.STREAMING))
        for chunk in ("a\x1b", "]52;c;eA==", "\x07b [red]m[/red]\x9b31m\x00"):
            app.transcript.stream(index, chunk)
        app.transcript.flush()
        await settled(pilot)
        text = "".join(screen(app))
        assert "ab [red]m[/red]" in text
        assert not {"\x1b", "\x07", "\x00", "\x9b"} & set(text)


async def test_what_is_selected_is_the_source() -> None:
    long = "some **bold** words that are " * 6
    app = TranscriptApp(
        [Message("user", "question"), Message("assistant", long + "\n\n- one\n- two")]
    )
    async with app.run_test(size=(40, 24)) as pilot:
        await settled(pilot)
        lines = screen(app)
        first = next(y for y, line in enumerate(lines) if "some bold" in line)
        last = next(y for y, line in enumerate(lines) if "two" in line)
        await pilot.mouse_down(Transcript, offset=(2, first))
        await pilot.hover(Transcript, offset=(2 + len("some bold w"), first))
        await pilot.mouse_up(Transcript, offset=(2 + len("some bold w"), first))
        assert app.transcript.selected == "some bold wo"
        await pilot.mouse_down(Transcript, offset=(7, first))
        await pilot.hover(Transcript, offset=(39, last))
        await pilot.mouse_up(Transcript, offset=(39, last))
        expected = long.replace("**", "").strip()
        assert app.transcript.selected == expected[5:] + "\n\n- one\n- two"
        await pilot.mouse_down(Transcript, offset=(38, last))
        await pilot.hover(Transcript, offset=(0, 0))
        await pilot.mouse_up(Transcript, offset=(0, 0))
        assert app.transcript.selected == f"question\n\n{long}\n\n- one\n- two"
        await pilot.press("escape")
        assert app.transcript.selected == ""


async def test_two_clicks_take_a_word_and_three_a_block() -> None:
    app = TranscriptApp([Message("assistant", "two *words* here")])
    async with app.run_test(size=(40, 6)) as pilot:
        await settled(pilot)
        y = next(y for y, line in enumerate(screen(app)) if "two" in line)
        await pilot.click(Transcript, offset=(7, y), times=2)
        assert app.transcript.selected == "words"
        await pilot.press("escape")
        await pilot.click(Transcript, offset=(7, y), times=3)
        assert app.transcript.selected == "two *words* here"


async def test_jumps_and_copies() -> None:
    code = "```py\n" + "x = 1\n" * 100 + "```"
    app = TranscriptApp([*long_talk(20), Message("assistant", f"a\n\n{code}\n\nb"), *long_talk(20)])
    async with app.run_test(size=(60, 10)) as pilot:
        await settled(pilot)
        await pilot.press("p")
        await settled(pilot)
        assert "question 16" in "".join(screen(app)[:3])
        await pilot.press("p")
        await settled(pilot)
        assert "answer 15" in "".join(screen(app)[:3])
        await pilot.press("{")
        await settled(pilot)
        assert screen(app)[1] == "›   py" or screen(app)[0] == "›   py", screen(app)
        await pilot.press("c")
        await settled(pilot)
        assert app.copied == ["\n".join(["x = 1"] * 100)]
        await pilot.press("y")
        await settled(pilot)
        assert app.copied[1] == f"a\n\n{code}\n\nb"


async def test_thinking_opens_by_key_and_by_click() -> None:
    app = TranscriptApp([Message("assistant", "answer", reasoning="because\nso")])
    async with app.run_test(size=(40, 12)) as pilot:
        await settled(pilot)
        assert "  ▎ because" not in screen(app)
        await pilot.press("t")
        await settled(pilot)
        assert "  ▎ because" in screen(app) and "  ▎ so" in screen(app)
        y = next(y for y, line in enumerate(screen(app)) if "Thought" in line)
        await pilot.click(Transcript, offset=(5, y))
        await settled(pilot)
        assert "  ▎ because" not in screen(app)


@pytest.mark.parametrize("size", [(80, 1), (1, 1), (3, 5), (12, 2), (300, 60)])
async def test_no_window_is_too_small(size: tuple[int, int]) -> None:
    app = TranscriptApp(
        [Message("user", "你好" * 50), Message("assistant", "|a|b|\n|-|-|\n|1|2|\n" * 9)]
    )
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        index = app.transcript.append(Message("assistant", state=MessageState.STREAMING))
        for key in ("up", "pageup", "home", "n", "p", "}", "t", "end"):
            app.transcript.stream(index, "- **text** 你\n", "think\n")
            await pilot.press(key)
        app.transcript.flush()
        await settled(pilot)
        screen(app)


async def test_a_change_of_theme_redraws() -> None:
    app = TranscriptApp([Message("user", "q"), Message("assistant", "[a](http://b)")])
    async with app.run_test(size=(40, 6)) as pilot:
        await settled(pilot)
        before = {s.style for y in range(6) for s in app.transcript.render_line(y)}
        app.theme = "textual-light"
        await settled(pilot)
        after = {s.style for y in range(6) for s in app.transcript.render_line(y)}
        assert before != after


async def test_an_empty_message_can_be_jumped_to() -> None:
    app = TranscriptApp([Message("user", "a"), Message("user", ""), Message("assistant", "b")])
    async with app.run_test(size=(60, 10)) as pilot:
        await settled(pilot)
        for index in range(3):
            app.transcript.cursor = (index, 1)
            await pilot.press("p", "c", "n", "n")
        assert app.copied == []


async def test_copied_code_is_as_it_was_written() -> None:
    code = "all: prog\n\tcc -o prog\n\n" + "long = " + "'word' " * 4_000 + "\nend\n\n" + "y\n" * 80
    nested = "".join(f"  {line}\n" if line else "\n" for line in code.split("\n")[:-1])
    messages = [
        Message("assistant", f"```make\n{code}```"),
        Message("assistant", f"- item\n  ```make\n{nested}  ```"),
    ]
    app = TranscriptApp(messages)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot)
        for _time in range(2):
            await pilot.press("{", "c")
        await settled(pilot)
        assert app.copied == [code.removesuffix("\n")] * 2


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("line", ["word " * 4_000 + "end", "x" * 18_000])
async def test_a_long_line_is_copied_as_one(role: str, line: str) -> None:
    app = TranscriptApp([Message(role, line)])
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot)
        transcript = app.transcript
        end = Position(0, 1_000_000, 0)  # after the last block
        transcript.selection = (Position(0, 1, 0, 0), end)
        assert transcript.selected == line
        transcript.selection = (Position(0, 1, 0, 4), end)
        assert transcript.selected == line[2 if role == "user" else 4 :]


@pytest.mark.parametrize("how", ["begins", "replaced"])
async def test_what_is_marked_in_thinking_is_let_go_when_it_folds(how: str) -> None:
    thought = "I wonder\n" * 40
    streaming = Message("assistant", reasoning=thought, state=MessageState.STREAMING)
    app = TranscriptApp([Message("user", "q"), streaming])
    async with app.run_test(size=(60, 30)) as pilot:
        await settled(pilot)
        transcript = app.transcript
        marks = (Position(1, 2, 0, 2), Position(1, 3, 1, 5))
        transcript.selection, transcript.cursor = marks, (1, 2)
        transcript.stream(1, reasoning="and more\n")
        transcript.flush()
        assert transcript.selected.startswith("I wonder") and transcript.cursor == (1, 2)
        if how == "begins":
            transcript.stream(1, "The answer\n\n")
            transcript.flush()
        else:
            transcript.replace(1, Message("assistant", "The answer", reasoning="else"))
        assert transcript.selection is None and transcript.cursor is None
        shift = 2 if how == "begins" else 1
        transcript.selection = (Position(1, shift, 0, 0), Position(1, shift, 1, 10))
        transcript.stream(1, "goes on")
        transcript.flush()
        assert transcript.selection is not None
