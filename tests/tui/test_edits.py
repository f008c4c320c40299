"""Editing that something comes into: of a message, and in the person's own editor."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.store import open_store
from qchat.tui.composer import external_editor as editor
from qchat.tui.composer.chips import Draft

from ..faults import Running, running
from .chat_app import answered, ask, filled, texts, toasts, type_in, versions, window
from .held import failing, held
from .screens import screen
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.mark.parametrize("way", ["other", "quit", "kill"])
async def test_an_interrupted_edit_is_an_edit_still(
    tmp_path: Path, server: Running, way: str
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        await ask(app, pilot, "one", "two")
        key = app.conversation.key
        assert key is not None
        await pilot.press("alt+q")
        await wait_until(lambda: app.composer.text == "two")
        await pilot.press("!")
        if way == "quit":
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
        elif way == "kill":
            store = app.conversation.keeper.store  # this much is there after kill -9
            await wait_until(lambda: "two!" in store.conversations.get(key).draft)
            app.conversation.abandon()
            app.exit()
        else:
            await pilot.press("ctrl+n")
            await wait_until(lambda: app.conversation.key is None)
            assert not app.talk.edits and "Editing" not in screen(app)
            await ask(app, pilot, "three")
            assert texts(app) == ["three", "echo: three"]  # that one was no edit
    async with window(tmp_path, server.base_url) as (app, pilot):
        await app.conversation.show(key)
        await wait_until(lambda: "Editing a question" in screen(app))
        assert app.composer.text == "two!"
        await pilot.press("enter")
        await answered(app, 4)
        assert texts(app)[2:] == ["two!", "echo: two!"] and versions(app)[2] == (2, 2)
        assert not app.talk.edits
        await app.conversation.show(None)
        await app.conversation.show(key)
        assert not app.talk.edits and app.composer.text == ""


async def test_an_edited_answer_that_could_not_be_sent_is_an_edit_still(
    tmp_path: Path, server: Running
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        await ask(app, pilot, "one")
        key = app.conversation.key
        await pilot.press("alt+a")
        await wait_until(lambda: app.composer.text == "echo: one")
        with failing(app.conversation.keeper.store.messages, "add"):
            await pilot.press("x", "enter")
            await wait_until(lambda: "disk is full" in toasts(app))
        await app.conversation.show(None)
        await app.conversation.show(key)
        await wait_until(lambda: "Editing an answer" in screen(app))
        assert app.composer.text == "echo: onex"
        app.composer.text = ""  # nothing is left of it
        await app.conversation.show(None)
        await app.conversation.show(key)
        assert not app.talk.edits


def test_what_a_draft_is_another_version_of_is_stored_with_it() -> None:
    draft = Draft("two!", (), 7)
    assert Draft.parsed(draft.dumped()) == draft


@pytest.mark.parametrize("edits", ["[]", '"x"', "1" + "0" * 30])
async def test_a_draft_that_names_no_message_is_a_draft(tmp_path: Path, edits: str) -> None:
    with open_store(tmp_path) as store:
        draft = f'\x1e{{"text": "mine", "chips": [], "edits": {edits}}}'
        store.conversations.create(title="t", draft=draft)
    async with window(tmp_path, go_on=True) as (app, _pilot):
        assert app.composer.text == "mine" and not app.talk.edits


class Editor:
    """In place of the person's editor, which has a terminal of its own."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.given: list[str] = []
        self.closed = asyncio.Event()
        patch.setattr(editor, "edit_text", self._elsewhere)

    async def _elsewhere(self, _app: object, text: str) -> str:
        self.given.append(text)
        await self.closed.wait()
        return text.upper()


async def test_the_editor_waits_for_the_conversation_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = filled(tmp_path, "one", "two")
    with open_store(tmp_path) as store:
        store.conversations.set_draft(one, "of one")
    async with window(tmp_path, go_on=True) as (app, pilot):
        other = Editor(monkeypatch)
        await pilot.press(*"of two")
        with held(app):
            app.spawn(app.conversation.show(one))
            await pilot.press("alt+e")
            await pilot.pause()
            assert not other.given
        await wait_until(lambda: other.given)
        other.closed.set()
        await wait_until(lambda: app.composer.text == "OF ONE")
        await app.conversation.show(two)
        assert other.given == ["of one"] and app.composer.text == "of two"


async def test_what_comes_back_into_the_field_while_the_editor_is_open_stays(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        other = Editor(monkeypatch)
        await type_in(app, "x [[answer:rate=50;length=4000]]")
        await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
        await type_in(app, "two")
        await wait_until(lambda: app.conversation.waiting)
        await pilot.press(*"rest", "alt+e")
        await wait_until(lambda: other.given)
        app.conversation.stop()
        await wait_until(lambda: app.composer.text == "two\n\nrest")
        other.closed.set()
        await wait_until(lambda: app.composer.text == "two\n\nREST")
