"""The editing of a message that is interrupted: it is still one afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.store import open_store
from qchat.tui.chips import Draft

from ..faults import Running, running
from .held import failing
from .screens import screen
from .test_app import texts
from .test_overlap import window
from .test_talk import answered, ask, toasts, versions
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
