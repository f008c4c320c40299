"""The field where one writes: chips, names of files, earlier questions, Enter."""

import os
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.app import App, ComposeResult

from qchat.settings import TuiSettings
from qchat.tui.composer import composer
from qchat.tui.composer.chips import Draft
from qchat.tui.composer.completion_list import CompletionList
from qchat.tui.composer.composer import Composer
from qchat.tui.composer.line_input import LineInput, run_key_bindings

from .waiting import wait_until

LONG = "\n".join(f"line {n}" for n in range(212))
LABEL = "[pasted 212 lines]"


class Desk(App[None]):
    """A composer alone, and what came of it."""

    def __init__(self, options: TuiSettings | None = None, questions: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._options = options
        self._questions = questions
        self.sent: list[str] = []
        self.notes: list[str] = []

    def compose(self) -> ComposeResult:
        yield CompletionList()
        yield Composer(options=self._options)

    @property
    def field(self) -> Composer:
        return self.query_one(Composer)

    @property
    def completions(self) -> list[str]:
        return self.query_one(CompletionList).options

    def notify(self, message: str, **options: Any) -> None:
        """Record what is notified."""
        self.notes.append(message)
        super().notify(message, **options)

    def on_composer_sent(self, event: Composer.Sent) -> None:
        self.sent.append(event.text)
        self.field.take()

    def on_composer_older(self) -> None:
        self.field.walk(list(self._questions))


def paste(desk: Desk, text: str) -> None:
    desk.field.post_message(events.Paste(text))


async def test_a_large_paste_is_a_chip_and_goes_out_whole() -> None:
    desk = Desk()
    async with desk.run_test() as pilot:
        await pilot.press(*"see")
        paste(desk, " small\r\ntext")
        await wait_until(lambda: desk.field.text == "see small\ntext")
        paste(desk, LONG.replace("\n", "\r"))
        await wait_until(lambda: desk.field.text == f"see small\ntext{LABEL}")
        paste(desk, LONG)
        await wait_until(lambda: desk.field.text.endswith(f"{LABEL}[pasted 212 lines #2]"))
        await pilot.press("enter")
        await wait_until(lambda: desk.sent)
        assert desk.sent == [f"see small\ntext{LONG}{LONG}"]
        assert desk.field.text == "" and not desk.field.draft.chips


@pytest.mark.parametrize(("lines", "end"), [(300, "\n"), (300, ""), (11, "\n")])
async def test_the_line_end_of_the_last_line_begins_no_other(lines: int, end: str) -> None:
    desk = Desk()
    async with desk.run_test():
        paste(desk, "\n".join("x" * lines) + end)
        await wait_until(lambda: desk.field.text == f"[pasted {lines} lines]")
        desk.field.draft = Draft()
        paste(desk, "x\n" * 10)
        await wait_until(lambda: desk.field.text == "x\n" * 10)


async def test_a_chip_is_one_letter_for_the_cursor() -> None:
    desk = Desk()
    async with desk.run_test() as pilot:
        await pilot.press("a")
        paste(desk, LONG)
        await wait_until(lambda: desk.field.text == f"a{LABEL}")
        await pilot.press("b", "left", "left")
        assert desk.field.cursor_location == (0, 1)
        await pilot.press("right")
        assert desk.field.cursor_location == (0, 1 + len(LABEL))
        await pilot.press("ctrl+left", "x")  # a word to the left would be within it
        assert desk.field.text == f"ax{LABEL}b"
        await pilot.press("right", "ctrl+w")
        assert desk.field.text == "axb"
        desk.field.undo()
        assert desk.field.text == f"ax{LABEL}b"
        await pilot.press("home", "right", "right", "right", "backspace")
        assert desk.field.text == "axb"


async def test_a_chip_unfolds() -> None:
    desk = Desk()
    async with desk.run_test() as pilot:
        paste(desk, "x" * 1001)
        await wait_until(lambda: desk.field.text == "[pasted 1,001 characters]")
        desk.field.unfold()
        assert desk.field.text == "x" * 1001
        desk.field.unfold()  # nothing is folded
        await pilot.press("enter")
        await wait_until(lambda: desk.sent == ["x" * 1001])


async def test_a_draft_keeps_its_chips() -> None:
    desk = Desk()
    async with desk.run_test() as pilot:
        paste(desk, LONG)
        await wait_until(lambda: desk.field.text == LABEL)
        await pilot.press("?")
        draft = desk.field.draft
    again = Draft.parsed(draft.dumped())
    assert again == draft
    desk = Desk()
    async with desk.run_test() as pilot:
        desk.field.draft = again
        assert desk.field.text == f"{LABEL}?"
        await pilot.press("enter")
        await wait_until(lambda: desk.sent == [f"{LONG}?"])


@pytest.mark.parametrize("stored", ["", "plain", "\x1e", "\x1e{}", '\x1e{"text": 3}', "[pasted 2]"])
def test_any_stored_text_is_a_draft(stored: str) -> None:
    draft = Draft.parsed(stored)
    assert draft == Draft(stored) and Draft.parsed(draft.dumped()) == draft


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("print('```')\n```` x\n")
    (tmp_path / "notes.txt").write_text("first\r\nsecond")
    (tmp_path / "note.bin").write_bytes(b"a\0b")
    (tmp_path / ".hidden").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_files_are_completed_and_attached(folder: Path) -> None:
    desk = Desk()
    async with desk.run_test() as pilot:
        await pilot.press(*"see @no")
        await wait_until(lambda: desk.completions == ["note.bin", "notes.txt"])
        await pilot.press("down", "tab")
        assert desk.field.text == "see [@notes.txt 12 B] "
        await pilot.press(*"and @SR")
        await wait_until(lambda: desk.completions == ["SR"] or desk.completions == ["src/"])
        await pilot.press("enter")
        await wait_until(lambda: desk.completions == ["src/app.py"])
        await pilot.press("tab", *"!", "enter")
        await wait_until(lambda: desk.sent)
        assert desk.sent == [
            "see `notes.txt` and `src/app.py` !\n\n`notes.txt`:\n\n```txt\nfirst\nsecond\n```\n\n"
            "`src/app.py`:\n\n`````py\nprint('```')\n```` x\n`````"
        ]


async def test_names_go_on_in_a_folder_with_spaces(folder: Path) -> None:
    inner = folder / "my notes" / "of may"
    inner.mkdir(parents=True)
    (inner / "day one.txt").write_text("x")
    desk = Desk()
    async with desk.run_test() as pilot:
        await pilot.press(*"see @my", "space", *"@my")
        await wait_until(lambda: desk.completions == ["my notes/"])
        await pilot.press("tab")
        await wait_until(lambda: desk.completions == ["my notes/of may/"])
        await pilot.press("tab")
        await wait_until(lambda: desk.completions == ["my notes/of may/day one.txt"])
        await pilot.press(*"da")
        await wait_until(lambda: desk.completions == ["my notes/of may/day one.txt"])
        await pilot.press("tab")
        assert desk.field.text == "see @my [@my notes/of may/day one.txt 1 B] "
        await pilot.press(*"@notes.")
        await wait_until(lambda: desk.completions == ["notes.txt"])


async def test_only_a_chip_takes_a_file_along(folder: Path) -> None:
    desk = Desk()
    async with desk.run_test() as pilot:
        paste(desk, "a@b.c @notes.txt @types/node ")
        await wait_until(lambda: desk.field.text)
        await pilot.press(*"@notes.txt")
        await wait_until(lambda: desk.completions == ["notes.txt"])
        await pilot.press("enter", "enter")
        await wait_until(lambda: desk.sent)
        assert desk.sent == [
            "a@b.c @notes.txt @types/node `notes.txt` \n\n`notes.txt`:\n\n"
            "```txt\nfirst\nsecond\n```"
        ]


async def test_what_cannot_be_attached_is_a_sentence_and_the_text_stays(folder: Path) -> None:
    (folder / "big").write_text("x" * 2049)
    (folder / "latin").write_bytes(b"caf\xe9")
    (folder / "none.png").touch()
    os.mkfifo(folder / "pipe")
    desk = Desk(TuiSettings(attach_kib=2))
    async with desk.run_test() as pilot:
        for name, text in [
            ("note.bin", "not text"),
            ("big", "2.0 KiB"),
            ("latin", "UTF-8"),
            ("none.png", "empty file"),
        ]:
            desk.field.write(f"see @{name}")
            await wait_until(lambda name=name: desk.completions == [name])
            await pilot.press("tab")
            await wait_until(lambda text=text: any(text in note for note in desk.notes))
            assert desk.field.text == f"see @{name}"
        with pytest.raises(Exception, match="not a regular file"):
            desk.field.chips.attach(folder / "pipe", "pipe", 10)
        with pytest.raises(Exception, match="No such file"):
            desk.field.chips.attach(folder / "gone", "gone", 10)
        assert desk.sent == []


async def test_a_file_is_read_when_it_is_sent(folder: Path) -> None:
    desk = Desk()
    async with desk.run_test() as pilot:
        await pilot.press(*"@notes")
        await wait_until(lambda: desk.completions)
        await pilot.press("tab")
        (folder / "notes.txt").write_text("newer")
        await pilot.press("enter")
        await wait_until(lambda: desk.sent and "newer" in desk.sent[0])
        await pilot.press(*"@notes")
        await wait_until(lambda: desk.completions)
        await pilot.press("tab")
        (folder / "notes.txt").unlink()
        await pilot.press("enter")
        await wait_until(lambda: any("No such file" in note for note in desk.notes))
        assert desk.field.text.startswith("[@notes.txt") and len(desk.sent) == 1


async def test_earlier_questions_and_back_to_what_was_being_written() -> None:
    desk = Desk(questions=("newest", "two\nlines", LONG, "newest", "oldest"))
    async with desk.run_test() as pilot:
        paste(desk, LONG)
        await wait_until(lambda: desk.field.text == LABEL)
        recalled = []
        for _n in range(5):
            await pilot.press("up")
            await pilot.pause()
            recalled.append(desk.field.text)
        assert recalled == ["newest", "two\nlines", LABEL, "oldest", "oldest"]
        await pilot.press("down", "down")
        assert desk.field.text == "two\nlines" and desk.field.cursor_location == (1, 5)
        await pilot.press("down")
        assert desk.field.text == "newest"
        await pilot.press("down", "down")
        assert desk.field.text == LABEL and desk.field.draft.chips[0].text == LONG
        await pilot.press("up")
        await wait_until(lambda: desk.field.text == "newest")
        await pilot.press("!", "up")
        await wait_until(lambda: desk.field.text == "newest")
        await pilot.press("down")
        assert desk.field.text == "newest!"  # what was changed is what is being written


@pytest.mark.parametrize(
    ("enter", "sends", "begins"),
    [
        ("send", ["enter"], ["ctrl+j", "ctrl+enter", "alt+enter", "shift+enter"]),
        ("newline", ["ctrl+j", "ctrl+enter", "alt+enter"], ["enter", "shift+enter"]),
    ],
)
async def test_what_enter_does(enter: str, sends: list[str], begins: list[str]) -> None:
    desk = Desk(TuiSettings(enter=enter))
    async with desk.run_test() as pilot:
        for key in sends:
            for line in begins:
                await pilot.press("a", line)
            await pilot.press("b", key)
            await wait_until(lambda: desk.sent)
            assert desk.sent.pop() == "a\n" * len(begins) + "b"


async def test_keys_that_arrive_together_keep_their_order() -> None:
    desk = Desk()
    async with desk.run_test():
        for key in ("a", "b", "c", "backspace", "d", "left", "left", "x", "home", "y", "end", "z"):
            desk.post_message(events.Key(key, key if len(key) == 1 else None))
        await wait_until(lambda: "z" in desk.field.text)
        assert desk.field.text == "yaxbdz"


@pytest.mark.parametrize(
    ("enter", "key", "end"), [("send", "enter", "\r"), ("newline", "ctrl+j", "\n")]
)
async def test_a_paste_without_brackets_is_not_sent_line_by_line(
    enter: str, key: str, end: str
) -> None:
    desk = Desk(TuiSettings(enter=enter))
    async with desk.run_test():
        for character in f"one{end}two":
            name = key if character == end else character
            desk.field.post_message(events.Key(name, character))
        await wait_until(lambda: desk.field.text == "one\ntwo")
        assert desk.sent == []
        for name, character in (("x", "x"), (key, end)):
            desk.field.post_message(events.Key(name, character))
        await wait_until(lambda: desk.sent == ["one\ntwox"])


async def test_bindings_that_textual_renamed_cost_only_the_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Renamed(LineInput):
        """An input without the private attribute."""

        def __getattribute__(self, name: str) -> Any:
            if name == "_bindings":
                raise AttributeError("no _bindings")
            return super().__getattribute__(name)

    for _time in range(2):
        await run_key_bindings(Renamed.__new__(Renamed), events.Key("left", None))
    assert [record.message for record in caplog.records] == [
        "keys may be handled out of order: no _bindings"
    ]


async def test_the_cursor_rests_where_nothing_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each blink is sent over the line."""
    monkeypatch.setattr(composer, "BLINK_SECONDS", 0.2)
    desk = Desk()
    async with desk.run_test() as pilot:
        await wait_until(lambda: not desk.field.cursor_blink)
        await pilot.press("a")
        assert desk.field.cursor_blink and desk.field.text == "a"
        await wait_until(lambda: not desk.field.cursor_blink)
