"""The screen of a conversation that has not begun."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual import events

from qchat.tui.app import ChatApp
from qchat.tui.markdown import DARK
from qchat.tui.widgets.welcome import Choice, ChoiceKind, WelcomeText, welcome_rows

from ..faults.running import Running, running
from .chat_app import NOWHERE, chat, filled, texts, toasts, type_in
from .screens import screen
from .waiting import wait_until

TEXT = WelcomeText(
    "●",
    (
        "lab · 模型 · 40,960 tokens of context",
        "Another sentence that is long enough to be wrapped.",
    ),
    (
        Choice(ChoiceKind.QUESTION, "Write a Fibonacci function in Python"),
        Choice(ChoiceKind.CONVERSATION, "知识图谱是什么？" * 9, "id", "2026-03-02 12:00"),
    ),
)


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as result:
        yield result


@pytest.mark.parametrize("width", [12, 20, 36, 76, 100])
@pytest.mark.parametrize("rows", [1, 5, 9, 30])
def test_it_fits(width: int, rows: int) -> None:
    shown = welcome_rows(TEXT, DARK, width, rows, 1)
    assert all(cell_len(row.line.text) <= width for row in shown)
    choices = [row.choice for row in shown if row.choice is not None]
    assert choices == [0, 1][: len(choices)]  # the least important goes first
    if rows == 30:
        assert choices == [0, 1]
    elif choices:
        assert len(shown) <= rows


def _key(character: str) -> str:
    return {" ": "space", "'": "apostrophe"}.get(character, character)


async def ready(app: ChatApp, text: str) -> None:
    await wait_until(lambda: text in screen(app))


async def test_an_example_is_put_into_the_composer_and_not_sent(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ready(app, "Show me the quadratic formula")
            await pilot.press("down", "down", "enter")
            await wait_until(lambda: app.composer.text == "Show me the quadratic formula")
            assert app.composer.has_focus and texts(app) == []
            app.parts.welcome.focus()
            await pilot.press("1")
            await wait_until(lambda: "Send or clear the text" in toasts(app))
            app.composer.text = ""
            app.parts.welcome.focus()
            await pilot.press("a", "b")
            await wait_until(lambda: app.composer.text == "ab")


async def test_what_is_written_or_pasted_on_it_goes_to_the_composer(
    tmp_path: Path, server: Running
) -> None:
    filled(tmp_path, "earlier")
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ready(app, "4  earlier")
            await pilot.press("down")
            await wait_until(lambda: app.parts.welcome.has_focus)
            for character in "at 4 or 1 o'clock":  # faster than anything is handled
                app.post_message(events.Key(_key(character), character))
            await wait_until(lambda: app.composer.text == "at 4 or 1 o'clock")
            await pilot.pause()
            assert app.composer.has_focus and texts(app) == []
            app.composer.text = ""
            app.parts.welcome.focus()
            await wait_until(lambda: app.parts.welcome.has_focus)
            app.post_message(events.Paste("4 words from elsewhere"))
            app.post_message(events.Key("exclamation_mark", "!"))
            await wait_until(lambda: app.composer.text == "4 words from elsewhere!")
            assert app.composer.has_focus


async def test_a_paste_in_the_transcript_goes_to_the_composer(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)):
            await ready(app, "Try")
            await type_in(app, "hello")
            await ready(app, "echo: hello")
            app.transcript.focus()
            await wait_until(lambda: app.transcript.has_focus)
            app.post_message(events.Paste("more"))
            await wait_until(lambda: app.composer.text == "more")


async def test_it_goes_with_the_first_question_and_comes_with_a_new_conversation(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)):
            await ready(app, "Try")
            await type_in(app, "hello")
            await ready(app, "echo: hello")
            assert "Try" not in screen(app)
            await type_in(app, "/new")
            await ready(app, "Try")
            await ready(app, "4  hello")  # the conversation that has begun


async def test_the_last_conversations_are_offered_unless_they_are_listed(tmp_path: Path) -> None:
    filled(tmp_path, "oldest", "older", "newer", "newest")
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ready(app, "Start a server on this machine")
            await ready(app, "4  older")
            assert "oldest" not in screen(app)
            await pilot.press("down", "2")
            await wait_until(lambda: texts(app) == ["question of newest"])
            assert app.composer.has_focus
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=(120, 24)) as pilot:
            await ready(app, "Start a server on this machine")
            await ready(app, "Today")
            await wait_until(lambda: "Continue" not in screen(app))
