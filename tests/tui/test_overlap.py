"""Things that overlap: a slow or failing store, keys in a hurry, two windows. Nothing is lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qchat.api.endpoint import Endpoint
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import TuiSettings
from qchat.store import open_store
from qchat.store.opening import door
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions

from ..faults import Running, running
from .chat_app import (
    answered,
    ask,
    drafts,
    filled,
    last_state,
    stored,
    texts,
    toasts,
    type_in,
    versions,
    window,
)
from .screens import screen
from .store_faults import blocked_store, failing
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


# -- a question on its way into the store --------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
async def test_quitting_right_after_enter_keeps_the_question(
    tmp_path: Path, server: Running, begun: bool
) -> None:
    if begun:
        filled(tmp_path, "one")
    server.reset_log()
    async with window(tmp_path, server.base_url, go_on=begun) as (app, pilot):
        with blocked_store(app) as go:
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            await pilot.press(*"rest", "ctrl+q", "x")
            go.set()
            await wait_until(lambda: not app.is_running)
    assert stored(tmp_path)[-1] == ("user", "mine", None, MessageState.COMPLETE)
    assert [draft for draft in drafts(tmp_path) if draft] == ["restx"]
    assert not [record for record in server.log.records if record.prompt == "mine"]


async def test_enter_after_quitting_asks_nothing(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"mine")
        with blocked_store(app) as go:
            app.parts.quit_handler.quit()
            await type_in(app, "mine")
            await pilot.pause()
            go.set()
            await wait_until(lambda: not app.is_running)
    assert drafts(tmp_path) == ["mine"]


async def test_a_draft_that_cannot_be_saved_keeps_the_window_open_once(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"mine")
        with failing(app.conversation.repository.store, "remember"):
            await pilot.press("ctrl+q")
            await wait_until(lambda: "Ctrl+Q again" in toasts(app))
            assert app.is_running and app.composer.text == "mine"
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
    assert app.return_value == 3 and "disk is full" in str(app.failure)


@pytest.mark.parametrize("where", ["store", "answer"])
async def test_a_question_that_fails_comes_back_before_what_was_typed_meanwhile(
    tmp_path: Path, server: Running, where: str
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        messages = app.conversation.repository.store.messages
        with failing(messages, "add" if where == "store" else "begin"):
            with blocked_store(app):
                await pilot.press(*"mine", "enter")
                await wait_until(lambda: not app.composer.text)
                await pilot.press(*"next")
            await wait_until(lambda: "disk is full" in toasts(app))
            await wait_until(lambda: not app.conversation.busy)
        if where == "store":
            assert app.composer.text == "mine\n\nnext" and texts(app) == []
            assert app.conversation.repository.store.conversations.list() == []
        else:  # it is in the store: only its answer failed
            assert app.composer.text == "next" and texts(app) == ["mine"]
            await pilot.press("ctrl+r")
            await answered(app, 2)


async def test_a_stop_while_the_question_is_stored_asks_nothing(
    tmp_path: Path, server: Running
) -> None:
    server.reset_log()
    async with window(tmp_path, server.base_url) as (app, pilot):
        with blocked_store(app):
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            await pilot.press("ctrl+c")
        await wait_until(lambda: texts(app) == ["mine"] and not app.conversation.busy)
        assert not [record for record in server.log.records if record.prompt == "mine"]
        await wait_until(lambda: "Ctrl+R sends it" in toasts(app))
        await pilot.press("ctrl+r")  # a stop is for one question
        await answered(app, 2)


async def test_a_stop_before_an_answer_is_continued_leaves_it_as_it_was(
    tmp_path: Path, server: Running
) -> None:
    with open_store(tmp_path) as store:
        key = store.conversations.create(title="t").id
        store.messages.add(key, "user", "one")
        answer = store.messages.begin(key).id
        store.messages.finish(answer, MessageState.STOPPED, "It begins")
    async with window(tmp_path, server.base_url, go_on=True) as (app, pilot):
        with blocked_store(app):
            await pilot.press("alt+g")
            await wait_until(lambda: app.conversation.busy)
            await pilot.press("ctrl+c")
        await wait_until(lambda: not app.conversation.busy)
        assert (texts(app)[1], last_state(app)) == ("It begins", MessageState.STOPPED)
    assert stored(tmp_path)[1] == ("assistant", "It begins", None, MessageState.STOPPED)


# -- two windows ---------------------------------------------------------------------------


async def test_each_window_goes_on_its_own_branch(tmp_path: Path, server: Running) -> None:
    server.reset_log()
    async with window(tmp_path, server.base_url) as (app, pilot):
        await ask(app, pilot, "one")
        key = app.conversation.id
        assert key is not None
        with open_store(tmp_path) as other:
            other.messages.add(key, "user", "from the other window")
            theirs = other.messages.add(key, "assistant", "its answer").id
            await ask(app, pilot, "two")
            assert texts(app) == ["one", "echo: one", "two", "echo: two"]
            assert versions(app) == [None, None, (2, 2), None]
            with blocked_store(app):
                await pilot.press("ctrl+r")
                await pilot.pause()
                other.messages.show(theirs)  # between the key and what it does
            await wait_until(lambda: versions(app)[-1] == (2, 2))
            await answered(app, 4)
            assert texts(app)[2:] == ["two", "echo: two"]
    bodies = [record.body for record in server.log.records if record.prompt == "two"]
    assert [len(body["messages"]) for body in bodies if body] == [3, 3]  # type: ignore[arg-type]


async def test_an_answer_that_comes_in_another_window(tmp_path: Path, server: Running) -> None:
    with open_store(tmp_path) as other:
        key = other.conversations.create(title="t").id
        other.messages.add(key, "user", "one")
        answer = other.messages.begin(key).id
        other.messages.checkpoint(answer, "It begins")
        async with window(tmp_path, server.base_url, go_on=True) as (app, pilot):
            assert texts(app) == ["one", "It begins"] and last_state(app) is MessageState.STREAMING
            await pilot.press("ctrl+c")
            await wait_until(lambda: "again to quit" in toasts(app))  # nothing of its own comes
            await pilot.press("alt+g")
            await wait_until(lambda: "still being written" in toasts(app))
            await type_in(app, "two")
            await wait_until(lambda: texts(app)[2:] == ["two", "echo: two"])
            await wait_until(lambda: not app.conversation.busy)
            other.messages.finish(answer, MessageState.COMPLETE, "It begins and ends")
            await app.conversation.show(None)
            await app.conversation.show(key)
            assert texts(app) == ["one", "It begins and ends", "two", "echo: two"]


@pytest.mark.parametrize("purged", [False, True])
async def test_a_question_into_a_conversation_that_is_gone_stays_in_the_field(
    tmp_path: Path, server: Running, purged: bool
) -> None:
    (key,) = filled(tmp_path, "one")
    async with window(tmp_path, server.base_url, go_on=True) as (app, pilot):
        with open_store(tmp_path) as other:
            other.conversations.delete(key)
            if purged:
                other.conversations.purge()
        await pilot.press(*"mine", "enter")
        error_message = "There is no conversation" if purged else f"qchat chats restore {key}"
        await wait_until(lambda: error_message in toasts(app) and not app.conversation.busy)
        assert app.composer.text == "mine" and texts(app) == ["question of one"]
        await pilot.press("ctrl+r")
        await wait_until(lambda: not app.conversation.busy)
        assert texts(app) == ["question of one"]


# -- deleting and bringing back ------------------------------------------------------------


async def test_a_conversation_deleted_while_its_question_is_stored(
    tmp_path: Path, server: Running
) -> None:
    server.reset_log()
    (key,) = filled(tmp_path, "one")
    async with window(tmp_path, server.base_url, go_on=True) as (app, pilot):
        with blocked_store(app):
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            app.spawn(app.parts.conversation_actions.delete())
            await pilot.pause()
        await wait_until(lambda: "Deleted" in toasts(app) and app.conversation.id is None)
        await wait_until(lambda: not app.conversation.busy)
        assert app.conversation.pending_answer is None and not app.conversation.is_answering(key)
        store = app.conversation.repository.store
        assert [node.role for node in store.messages.path(key)] == ["user", "user"]
    assert not [record for record in server.log.records if record.prompt == "mine"]


async def test_two_quick_undoings_undo_two(tmp_path: Path) -> None:
    one, two, three = filled(tmp_path, "one", "two", "three")
    async with window(tmp_path) as (app, _pilot):
        store = app.conversation.repository.store
        for key in (one, two):
            await app.conversation.show(key)
            await app.parts.conversation_actions.delete()
        with blocked_store(app):
            for _n in range(3):
                app.spawn(app.parts.conversation_actions.restore())
        await wait_until(lambda: "Nothing was deleted in this window" in toasts(app))
        await wait_until(lambda: len(store.conversations.list()) == 3)
        await app.conversation.show(three)
        await app.parts.message_actions.drop()
        with blocked_store(app):
            app.spawn(app.parts.message_actions.undo())
            app.spawn(app.parts.message_actions.undo())
        await wait_until(lambda: "There is nothing to undo" in toasts(app))
        await wait_until(lambda: texts(app) == ["question of three"])


async def test_an_undo_that_failed_can_be_repeated(tmp_path: Path) -> None:
    (key,) = filled(tmp_path, "one")
    async with window(tmp_path) as (app, pilot):
        await app.conversation.show(key)
        await pilot.press("ctrl+delete")
        await wait_until(lambda: texts(app) == [])
        with failing(app.conversation.repository.store.messages, "set_leaf"):
            await pilot.press("alt+z")
            await wait_until(lambda: "disk is full" in toasts(app))
        await pilot.press("alt+z")
        await wait_until(lambda: texts(app) == ["question of one"])


# -- opening -------------------------------------------------------------------------------


async def test_while_another_qchat_opens_the_store_one_writes_and_nothing_is_lost(
    tmp_path: Path, server: Running
) -> None:
    start = LaunchOptions(
        Endpoint(server.base_url), None, Sampling(), None, False, "", TuiSettings(titles=False)
    )
    with ExitStack() as stack:
        app = ChatApp(lambda: stack.enter_context(open_store(tmp_path)), start)
        async with app.run_test(size=(80, 24)) as pilot:
            with door(tmp_path):
                await pilot.press(*"mine", "enter", "ctrl+q")
                await wait_until(lambda: "still being opened" in toasts(app))
                assert app.composer.text == "mine" and not app.conversation.is_open
            await answered(app, 2)
            assert texts(app) == ["mine", "echo: mine"] and app.composer.text == ""
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
            assert app.return_value == 0 and app.failure is None


# -- what else goes wrong ------------------------------------------------------------------


async def test_a_fault_of_qchats_own_is_a_sentence_and_the_chat_goes_on(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):

        def broken(*_args: object) -> None:
            raise KeyError("of \x1b[31mred")

        with monkeypatch.context() as patch:
            patch.setattr(app.conversation.repository, "questions", broken)
            await pilot.press(*"mine", "up")
            await wait_until(lambda: "KeyError" in toasts(app))
            patch.setattr(app.parts.conversation_actions, "toggle_list", broken)
            await pilot.press("ctrl+l")
        assert "the chat goes on" in toasts(app) and "\x1b" not in toasts(app)
        assert isinstance(app.fault, KeyError) and app.composer.text == "mine"
        await pilot.press("enter")
        await answered(app, 2)


async def test_a_working_directory_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone := tmp_path / "gone").mkdir()
    (gone / "notes").write_text("x")
    monkeypatch.chdir(gone)
    async with window(tmp_path / "data") as (app, pilot):
        await pilot.press(*"@no")
        await wait_until(lambda: "notes" in screen(app))
        (gone / "notes").unlink()
        gone.rmdir()
        await pilot.press("tab")
        await wait_until(lambda: "No such file" in toasts(app))
        await pilot.press("x")
        await wait_until(lambda: "notes" not in screen(app))
        assert app.composer.text == "@nox" and app.fault is None


async def test_a_failed_answer_says_how_to_ask_again_after_a_restart(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        key = store.conversations.create(title="t").id
        store.messages.add(key, "user", "one")
        answer = store.messages.begin(key).id
        store.messages.finish(answer, MessageState.ERROR, "", error="It broke off.")
    async with window(tmp_path, go_on=True) as (app, _pilot):
        await wait_until(lambda: "Ctrl+R retries" in screen(app))


async def test_what_was_set_before_a_conversation_began_is_there_again(
    tmp_path: Path, server: Running
) -> None:
    (key,) = filled(tmp_path, "one")
    async with window(tmp_path, server.base_url) as (app, _pilot):
        await type_in(app, "/set temperature 0.5")
        await wait_until(lambda: app.parts.settings.current.sampling.temperature == 0.5)
        await app.conversation.show(key)
        assert app.parts.settings.current.sampling.temperature is None
        await app.conversation.show(None)
        assert app.parts.settings.current.sampling.temperature == 0.5
        await ask(app, _pilot, "two")
        await app.conversation.show(None)
        assert app.parts.settings.current.sampling.temperature is None
