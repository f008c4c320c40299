"""Keys that do no harm: every key of the widgets is decided upon, and none takes another's."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, TextArea

from qchat.tui.actions.field_keys import COMPOSER_KEYS, LINE_KEYS, FieldKey
from qchat.tui.actions.keymap import Keymap, shown
from qchat.tui.actions.table import ACTIONS, SLASHES
from qchat.tui.app import ChatApp
from qchat.tui.screens.confirmation import Confirmation
from qchat.tui.widgets.sidebar import ConversationList

from .chat_app import filled, listed, toasts, type_in, window
from .waiting import wait_until

PREFIXES = ("ctrl+a", "ctrl+b")
"""The keys that screen and tmux take for themselves."""

UNUSED = {
    # The window's actions have these.
    *("pageup", "pagedown", "f6", "f7", "ctrl+c", "ctrl+z", "ctrl+y"),
    *("ctrl+a", "ctrl+shift+a"),  # screen's prefix, and its neighbour
    *("super+x", "super+c", "super+z", "super+y", "super+backspace"),  # the window manager's
    *("ctrl+pageup", "ctrl+pagedown"),  # nothing scrolls sideways
}
"""Keys of Textual's fields that do not work in qchat's."""


def keys_of(bindings: Iterable[BindingType]) -> set[str]:
    texts = (one.key if isinstance(one, Binding) else one[0] for one in bindings)
    return {key.strip() for text in texts for key in text.split(",")}


def listed_keys(keys: Iterable[FieldKey]) -> set[str]:
    return {key for one in keys for key in one.keys.split(",")}


@pytest.mark.parametrize(("widget", "keys"), [(TextArea, COMPOSER_KEYS), (Input, LINE_KEYS)])
def test_every_key_that_textual_brings_is_decided_upon(
    widget: type[TextArea] | type[Input], keys: Iterable[FieldKey]
) -> None:
    theirs, ours = keys_of(widget.BINDINGS), listed_keys(keys)
    assert theirs - ours - UNUSED == set()
    assert not ours & UNUSED
    assert all(callable(getattr(widget, f"action_{key.action.partition('(')[0]}")) for key in keys)


async def test_no_widget_has_a_key_that_is_not_listed(tmp_path: Path) -> None:
    def bound(widget: object) -> set[str]:
        return set(widget._bindings.key_to_bindings)  # type: ignore[attr-defined]

    async with window(tmp_path) as (app, _pilot):
        assert bound(app.composer) == listed_keys(COMPOSER_KEYS)
        assert bound(app) == {binding.key for binding in Keymap().bindings()}
        scrolling = keys_of(ScrollableContainer.BINDINGS)
        assert not bound(app.transcript) & (
            scrolling
            - {"up", "down", "home", "end"}
            - {
                "pageup",
                "pagedown",
            }
        )
        for widget in (*app.screen.walk_children(), app.screen):
            assert not bound(widget) & set(PREFIXES), widget
        # A screen's own: Tab, Shift+Tab, and Ctrl+C, which the window's action precedes.
        assert keys_of(Screen.BINDINGS) == {"tab", "shift+tab", "ctrl+c", "super+c"}


async def test_the_palette_leaves_the_prefixes_alone(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press("ctrl+p")
        await wait_until(lambda: app.screen.query(Input))
        for field in app.screen.query(Input):
            assert not set(field._bindings.key_to_bindings) & set(PREFIXES)


def test_no_action_has_a_key_of_a_field_or_a_prefix() -> None:
    keys = {binding.key for binding in Keymap().bindings()}
    assert not keys & set(PREFIXES)
    assert not keys & (listed_keys(COMPOSER_KEYS) | listed_keys(LINE_KEYS))


def test_the_keys_of_the_composer_are_in_the_help() -> None:
    text = Keymap().help_text()
    for key in COMPOSER_KEYS:
        assert f"| {key.about} |" in text
    assert "Alt+D, Alt+Delete" in text


def test_a_key_is_shown_by_its_character() -> None:
    labels = {
        "ctrl+underscore": "Ctrl+_",
        "alt+minus": "Alt+-",
        "ctrl+n": "Ctrl+N",
        "pageup": "PgUp",
        "delete": "Delete",
        "ctrl+space": "Ctrl+Space",
        "f1": "F1",
    }
    assert {key: shown(key) for key in labels} == labels
    assert r"| Ctrl+\_, Alt+U |" in Keymap().help_text()  # the backslash is Markdown


def test_every_action_has_a_command() -> None:
    for action in ACTIONS.values():
        assert action.slash, action.name
        assert action.slash in SLASHES
        if action.place:  # a key of the list does what the window's command does
            assert not SLASHES[action.slash].place


async def with_list(app: ChatApp, pilot: Pilot[int], count: int) -> ConversationList:
    """Show the list of conversations beside the field, which keeps the focus."""
    await pilot.resize_terminal(120, 30)
    await pilot.press("ctrl+l")
    await wait_until(lambda: len(listed(app)) == count)
    await pilot.press("escape")
    await wait_until(lambda: app.focused is app.composer)
    return app.parts.sidebar.list


async def test_what_was_typed_after_a_completion_harms_no_conversation(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two", "three")
    async with window(tmp_path) as (app, pilot):
        await with_list(app, pilot, 3)
        await pilot.press(*"/exp", "tab", *"add", "space", "a", "space", *"draft")
        assert app.composer.text == "/export add a draft"
        assert app.focused is app.composer
        table = app.conversation.repository.store.conversations
        assert [one.title for one in table.list()] == ["three", "two", "one"]


async def test_prose_in_the_list_deletes_and_archives_nothing(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two", "three")
    async with window(tmp_path) as (app, pilot):
        await with_list(app, pilot, 3)
        await pilot.press("ctrl+l")
        await wait_until(lambda: app.parts.sidebar.in_use)
        await pilot.press(*"add", "space", "a", "space", *"dad")
        table = app.conversation.repository.store.conversations
        assert len(table.list()) == 3 and not table.list(deleted=True)
        await pilot.press("delete")
        await wait_until(lambda: len(table.list(deleted=True)) == 1)
        await pilot.press("u")
        await wait_until(lambda: len(table.list()) == 3)
        await pilot.press("ctrl+x")
        await wait_until(lambda: len(table.list()) == 2)


async def test_tab_leaves_an_empty_field_alone(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"text", "tab", "tab")
        assert app.focused is app.composer and app.composer.text == "text"
        await pilot.press("ctrl+u", "tab")
        await wait_until(lambda: app.focused is not app.composer)


async def test_deleting_by_a_command_asks(tmp_path: Path) -> None:
    filled(tmp_path, "one")
    async with window(tmp_path, go_on=True) as (app, pilot):
        table = app.conversation.repository.store.conversations
        for key, deleted in (("enter", 0), ("escape", 0), ("y", 1)):
            await type_in(app, "/delete")
            await wait_until(lambda: isinstance(app.screen, Confirmation))
            await pilot.press(key)
            if key == "enter":
                assert isinstance(app.screen, Confirmation)
                await pilot.press("n")
            await wait_until(lambda: not isinstance(app.screen, Confirmation))
            await wait_until(lambda n=deleted: len(table.list(deleted=True)) == n)
        await wait_until(lambda: "Deleted: one" in toasts(app))


async def test_undo_is_a_key_of_its_own(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"one", "space", *"two", "ctrl+w")
        assert app.composer.text == "one "
        await pilot.press("alt+u")
        assert app.composer.text == "one two"
        await pilot.press("ctrl+y")
        assert app.composer.text == "one "
        await pilot.press("ctrl+underscore")
        assert app.composer.text == "one two"


async def test_where_no_shell_is_there_is_no_suspending(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press("ctrl+z")
        await wait_until(lambda: "suspended" in toasts(app) or "no shell" in toasts(app))
        assert app.is_running


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a🇩🇪", "a"),
        ("👨‍👩‍👧", ""),
        ("x👍🏽", "x"),
        ("e\u0301", ""),
        ("中文", "中"),
        ("☁\ufe0f", ""),
        ("🇩🇪🇫🇷", "🇩🇪"),
    ],
)
async def test_backspace_deletes_what_a_person_sees_as_one(
    tmp_path: Path, text: str, left: str
) -> None:
    async with window(tmp_path) as (app, pilot):
        app.composer.text = text
        app.composer.move_cursor(app.composer.document.end)
        await pilot.press("left", "right", "backspace")
        assert app.composer.text == left
        app.composer.text = text
        app.composer.move_cursor((0, len(left)))
        await pilot.press("delete")
        assert app.composer.text == left
