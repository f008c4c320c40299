"""Editing that something comes into: of a message, and in the person's own editor."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.message_state import MessageState
from qchat.store import open_store
from qchat.tui.composer import external_editor as editor
from qchat.tui.composer.chips import Draft

from ..faults import Running, running
from .chat_app import answered, ask, filled, last_state, texts, toasts, type_in, versions, window
from .screens import screen
from .store_faults import blocked_store, failing
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.mark.parametrize("case", ["other", "quit", "kill"])
async def test_an_interrupted_edit_is_an_edit_still(
    tmp_path: Path, server: Running, case: str
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        await ask(app, pilot, "one", "two")
        key = app.conversation.id
        assert key is not None
        await pilot.press("alt+q")
        await wait_until(lambda: app.composer.text == "two")
        await pilot.press("!")
        if case == "quit":
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
        elif case == "kill":
            store = app.conversation.repository.store  # this much is there after kill -9
            await wait_until(lambda: "two!" in store.conversations.get(key).draft)
            app.conversation.abandon()
            app.exit()
        else:
            await pilot.press("ctrl+n")
            await wait_until(lambda: app.conversation.id is None)
            assert not app.parts.message_actions.is_editing and "Editing" not in screen(app)
            await ask(app, pilot, "three")
            assert texts(app) == ["three", "echo: three"]  # that one was no edit
    async with window(tmp_path, server.base_url) as (app, pilot):
        await app.conversation.show(key)
        await wait_until(lambda: "Editing a question" in screen(app))
        assert app.composer.text == "two!"
        await pilot.press("enter")
        await answered(app, 4)
        assert texts(app)[2:] == ["two!", "echo: two!"] and versions(app)[2] == (2, 2)
        assert not app.parts.message_actions.is_editing
        await app.conversation.show(None)
        await app.conversation.show(key)
        assert not app.parts.message_actions.is_editing and app.composer.text == ""


async def test_an_edited_answer_that_could_not_be_sent_is_an_edit_still(
    tmp_path: Path, server: Running
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        await ask(app, pilot, "one")
        key = app.conversation.id
        await pilot.press("alt+a")
        await wait_until(lambda: app.composer.text == "echo: one")
        with failing(app.conversation.repository.store.messages, "add"):
            await pilot.press("x", "enter")
            await wait_until(lambda: "disk is full" in toasts(app))
        await app.conversation.show(None)
        await app.conversation.show(key)
        await wait_until(lambda: "Editing an answer" in screen(app))
        assert app.composer.text == "echo: onex"
        app.composer.text = ""  # nothing is left of it
        await app.conversation.show(None)
        await app.conversation.show(key)
        assert not app.parts.message_actions.is_editing


async def test_an_edit_that_is_sent_during_an_answer_stays_in_the_composer(
    tmp_path: Path, server: Running
) -> None:
    question = "x [[answer:rate=50;length=4000]]"
    async with window(tmp_path, server.base_url) as (app, pilot):
        await type_in(app, question)
        await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
        await pilot.press("ctrl+c")
        await wait_until(lambda: not app.conversation.busy)
        await pilot.press("alt+q")
        await wait_until(lambda: app.composer.text == question)
        await pilot.press("ctrl+r")
        await wait_until(lambda: last_state(app) is MessageState.STREAMING)
        await pilot.press("home", "y", "enter")
        await wait_until(lambda: "An answer is pending" in toasts(app))
        assert app.composer.text == f"y{question}" and "Editing a question" in screen(app)
        await pilot.press("ctrl+c")
        await wait_until(lambda: not app.conversation.busy)
        await pilot.press("enter")
        await wait_until(lambda: texts(app)[:1] == [f"y{question}"])
        assert app.composer.text == ""


def test_what_a_draft_is_another_version_of_is_stored_with_it() -> None:
    draft = Draft("two!", (), 7)
    assert Draft.parsed(draft.dumped()) == draft


@pytest.mark.parametrize("edits", ["[]", '"x"', "1" + "0" * 30])
async def test_a_draft_that_names_no_message_is_a_draft(tmp_path: Path, edits: str) -> None:
    with open_store(tmp_path) as store:
        draft = f'\x1e{{"text": "mine", "chips": [], "edits": {edits}}}'
        store.conversations.create(title="t", draft=draft)
    async with window(tmp_path, go_on=True) as (app, _pilot):
        assert app.composer.text == "mine" and not app.parts.message_actions.is_editing


class Editor:
    """In place of the person's editor, which has a terminal of its own."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.texts_edited: list[str] = []
        self.closed = asyncio.Event()
        patch.setattr(editor, "edit_text", self._edit_text)

    async def _edit_text(self, _app: object, text: str) -> str:
        self.texts_edited.append(text)
        await self.closed.wait()
        return text.upper()


async def test_the_editor_waits_for_the_conversation_that_is_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = filled(tmp_path, "one", "two")
    with open_store(tmp_path) as store:
        store.conversations.set_draft(one, "of one")
    async with window(tmp_path, go_on=True) as (app, pilot):
        other = Editor(monkeypatch)
        await pilot.press(*"of two")
        with blocked_store(app):
            app.spawn(app.conversation.show(one))
            await pilot.press("alt+e")
            await pilot.pause()
            assert not other.texts_edited
        await wait_until(lambda: other.texts_edited)
        other.closed.set()
        await wait_until(lambda: app.composer.text == "OF ONE")
        await app.conversation.show(two)
        assert other.texts_edited == ["of one"] and app.composer.text == "of two"


async def test_what_comes_back_into_the_field_while_the_editor_is_open_stays(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        other = Editor(monkeypatch)
        await type_in(app, "x [[answer:rate=50;length=4000]]")
        await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
        await type_in(app, "two")
        await wait_until(lambda: app.conversation.drafts.queue)
        await pilot.press(*"rest", "alt+e")
        await wait_until(lambda: other.texts_edited)
        app.conversation.stop()
        await wait_until(lambda: app.composer.text == "two\n\nrest")
        other.closed.set()
        await wait_until(lambda: app.composer.text == "two\n\nREST")
