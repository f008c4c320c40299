"""The list of conversations: by date, keys and mouse, renaming, deleting with undo, two windows."""

import time
from pathlib import Path

import pytest
from textual.strip import Strip

from qchat.store import StoredConversation, open_store
from qchat.tui.screens.confirmation import Confirmation
from qchat.tui.widgets import sidebar
from qchat.tui.widgets.sidebar import headings
from qchat.tui.window import StateChanged

from .chat_app import NOWHERE, chat, filled, keymap, listed, texts
from .screens import screen
from .waiting import wait_until


def conversation(updated: float, pinned: bool = False) -> StoredConversation:
    return StoredConversation(
        "id", "t", False, 0, updated, pinned, False, None, None, None, None, {}, "", None, 0
    )


def test_headings_follow_the_calendar() -> None:
    now = time.mktime((2026, 3, 2, 0, 30, 0, 0, 0, -1))  # half past midnight
    minutes = [10, 40, 24 * 60 + 29, 24 * 60 + 31, 7 * 24 * 60, 8 * 24 * 60]
    conversations = [
        conversation(now - 9e9, pinned=True),
        *(conversation(now - 60 * m) for m in minutes),
    ]
    assert headings(conversations, now) == {
        0: "Pinned",
        1: "Today",
        2: "Yesterday",
        4: "Last 7 days",
        6: "Older",
    }
    assert headings([], now) == {}


async def test_open_with_keys_and_drafts_stay(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two", "three")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: texts(app) == ["question of three"])
            await pilot.press(*"draft", "ctrl+l")
            await wait_until(lambda: listed(app) == ["three", "two", "one"])
            assert app.parts.sidebar.has_class("-over") and app.parts.sidebar.in_use
            await pilot.press("down", "down", "up", "enter")
            await wait_until(lambda: texts(app) == ["question of two"])
            assert (
                not app.parts.sidebar.display and app.composer.has_focus and app.composer.text == ""
            )
            await pilot.press("ctrl+l", "home", "enter")
            await wait_until(lambda: texts(app) == ["question of three"])
            assert app.composer.text == "draft"
            await pilot.press("ctrl+l", "escape")
            assert not app.parts.sidebar.display and app.composer.has_focus


async def test_the_keys_of_the_list_are_visible_while_it_has_the_focus(tmp_path: Path) -> None:
    filled(tmp_path, "one")
    keys = keymap(tmp_path, 'list_pin = "t"\nlist_restore = ""')
    with chat(tmp_path, NOWHERE, keys=keys) as app:
        async with app.run_test(size=(120, 24)) as pilot:
            await wait_until(lambda: listed(app) == ["one"])
            assert "R rename" not in screen(app)
            await pilot.press("ctrl+l")
            await wait_until(lambda: "Enter opens · R rename" in screen(app))
            assert "T pin" in screen(app) and "Delete remove" in screen(app)
            assert "restore" not in screen(app) and "V archived" in screen(app)
            await pilot.press("v")
            await wait_until(lambda: "V all others" in screen(app))
            await pilot.press("v")
            await pilot.press("escape")
            await wait_until(lambda: "R rename" not in screen(app))
            await pilot.resize_terminal(40, 9)
            await pilot.press("ctrl+l")
            await wait_until(lambda: app.parts.sidebar.in_use)
            await pilot.pause()
            assert "R rename" not in screen(app) and "one" in screen(app)


async def test_open_with_the_mouse_on_a_wide_screen(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two")
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=(120, 24)) as pilot:
            await wait_until(lambda: listed(app) == ["two", "one"])
            assert app.parts.sidebar.display and app.composer.has_focus
            await wait_until(
                lambda: app.parts.writing_area.region.x >= app.parts.sidebar.region.right > 0
            )
            await pilot.click(app.parts.sidebar.list, offset=(3, 0))  # a heading
            await pilot.click(app.parts.sidebar.list, offset=(3, 2))
            await wait_until(lambda: texts(app) == ["question of one"])
            assert app.parts.sidebar.display
            await pilot.resize_terminal(80, 24)
            await wait_until(lambda: not app.parts.sidebar.display)
            await pilot.resize_terminal(120, 24)
            await wait_until(lambda: app.parts.sidebar.display)


async def test_the_current_conversation_stands_out(tmp_path: Path) -> None:
    one, two = filled(tmp_path, "one", "two")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(120, 24)) as pilot:
            await wait_until(lambda: listed(app) == ["two", "one"])

            def standing_out() -> list[str]:
                items = app.parts.sidebar.list.items
                return [c.id for n, c in enumerate(items) if app.parts.sidebar.list.look(n)]

            for key in (two, one):
                await app.conversation.show(key)
                assert standing_out() == [key]
            await pilot.press("ctrl+n")
            await wait_until(lambda: app.conversation.id is None)
            assert standing_out() == []
            await app.conversation.show(one)
            await pilot.press("ctrl+l")
            await wait_until(lambda: app.parts.sidebar.list.has_focus)
            assert standing_out() == [one]  # the keys begin where one is
            await pilot.press("up")
            assert standing_out() == [two]


async def test_put_away_is_remembered(tmp_path: Path) -> None:
    filled(tmp_path, "one")
    for docked in (True, False):
        with chat(tmp_path, NOWHERE) as app:
            async with app.run_test(size=(120, 24)) as pilot:
                await wait_until(lambda: app.parts.sidebar.is_attached and app.conversation.is_open)
                await wait_until(lambda w=docked: app.parts.sidebar.display is w)
                if docked:
                    await pilot.press("ctrl+l", "ctrl+l")
                    assert not app.parts.sidebar.display
                    await pilot.press("ctrl+q")
                    await wait_until(lambda: not app.is_running)


async def test_pin_rename_archive_and_back(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two", "three")
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await pilot.press("ctrl+l")
            await wait_until(lambda: len(listed(app)) == 3)
            await pilot.press("end", "p")
            await wait_until(lambda: listed(app) == ["one", "three", "two"])
            assert app.parts.sidebar.list.chosen is not None
            assert app.parts.sidebar.list.chosen.title == "one"
            await pilot.press("r", *"[b]x", "enter")
            await wait_until(lambda: listed(app)[0] == "[b]x")
            await pilot.press("r", *"zzz", "escape")
            assert app.parts.sidebar.list.has_focus
            await pilot.press("p")
            await wait_until(lambda: listed(app) == ["three", "two", "[b]x"])
            await pilot.press("home", "ctrl+x")
            await wait_until(lambda: listed(app) == ["two", "[b]x"])
            await pilot.press("v")
            await wait_until(lambda: listed(app) == ["three"])
            await pilot.press("ctrl+x")
            await wait_until(lambda: listed(app) == [])
            await pilot.press("v")
            await wait_until(lambda: listed(app) == ["three", "two", "[b]x"])


async def test_delete_and_undo(tmp_path: Path) -> None:
    ids = filled(tmp_path, "one", "two")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: texts(app) == ["question of two"])
            await pilot.press("ctrl+l")
            await wait_until(lambda: len(listed(app)) == 2)
            await pilot.press("delete")
            await wait_until(lambda: listed(app) == ["one"])
            assert app.conversation.id is None and texts(app) == []
            await pilot.press("delete")
            await wait_until(lambda: listed(app) == [])
            store = app.conversation.repository.store
            assert [c.id for c in store.conversations.list(deleted=True)] == ids[::-1]
            await pilot.press("u")
            await wait_until(lambda: listed(app) == ["one"])
            await pilot.press("u")
            await wait_until(lambda: listed(app) == ["two", "one"])
            await pilot.press("u")
            await wait_until(lambda: "chats restore" in [*app._notifications][-1].message)


async def test_commands_act_on_the_current_conversation(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: texts(app) == ["question of two"])
            for command in ("/rename  Another name ", "/pin", "/archive"):
                app.composer.text = command
                await pilot.press("enter")
                await wait_until(lambda: app.composer.text == "")
            store = app.conversation.repository.store
            await wait_until(lambda: store.conversations.list(archived=True))
            (renamed,) = store.conversations.list(archived=True)
            assert (renamed.title, renamed.named, renamed.pinned) == ("Another name", True, True)
            app.composer.text = "/delete"
            await pilot.press("enter")
            await wait_until(lambda: isinstance(app.screen, Confirmation))
            await pilot.press("delete")
            await wait_until(lambda: texts(app) == [])
            await pilot.press(*"/pin", "enter")
            await wait_until(lambda: "is empty" in [*app._notifications][-1].message)


async def test_another_window_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidebar, "_FOLLOW_SECONDS", 0.05)
    filled(tmp_path, "one")
    with chat(tmp_path, NOWHERE) as app, open_store(tmp_path) as other:
        async with app.run_test(size=(120, 24)):
            await wait_until(lambda: listed(app) == ["one"])
            made = other.conversations.create(title="from elsewhere")
            await wait_until(lambda: listed(app) == ["from elsewhere", "one"])
            other.conversations.delete(made.id)
            await wait_until(lambda: listed(app) == ["one"])


async def test_a_title_that_is_cut_says_so(tmp_path: Path) -> None:
    filled(tmp_path, *(f"{number} a title that is far too long" for number in range(30)))
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=(120, 10)) as pilot:
            await wait_until(lambda: len(listed(app)) == 30)
            await pilot.pause()
            line = screen(app).splitlines()[1]
            assert line.startswith("  29 a title that is far too ") and "…" in line[:31]


@pytest.mark.parametrize("size", [(100, 1), (10, 4), (1, 1)])
async def test_tiny_windows(tmp_path: Path, size: tuple[int, int]) -> None:
    filled(tmp_path, "one", "二二二二二二二二二二二二二二")
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=size) as pilot:
            await wait_until(lambda: app.conversation.is_open and app.parts.sidebar.is_attached)
            if not app.parts.sidebar.display:
                await pilot.press("ctrl+l")
            await wait_until(lambda: len(listed(app)) == 2)
            await pilot.press("ctrl+l", "ctrl+l", "down", "r", "escape", "pagedown", "escape")
            for key in ("ctrl+f", "f1", "ctrl+p"):
                await pilot.press(key)
                await pilot.press("x", "escape")
            await wait_until(lambda: len(app.screen_stack) == 1)


async def test_what_stays_as_it_was_is_not_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is drawn is sent over the line, and the server is looked at every few seconds."""
    one, _two = filled(tmp_path, "one", "two")
    drawn: list[int] = []
    render_line = sidebar.ConversationList.render_line

    def render(self: sidebar.ConversationList, y: int) -> Strip:
        drawn.append(y)
        return render_line(self, y)

    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(120, 24)) as pilot:
            await wait_until(lambda: listed(app) == ["two", "one"])
            await pilot.pause()
            monkeypatch.setattr(sidebar.ConversationList, "render_line", render)
            app.post_message(StateChanged())
            await app.parts.sidebar.read()
            await pilot.pause()
            assert drawn == []
            await app.conversation.show(one)
            await wait_until(lambda: drawn)
            await pilot.pause()
            drawn.clear()
            app.parts.sidebar.list.put(app.parts.sidebar.list.items[1:], {})
            await wait_until(lambda: drawn)
