"""Things that overlap: a slow or failing store, keys in a hurry, two windows. Nothing is lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qchat.api.endpoint import Endpoint
from qchat.sampling import Sampling
from qchat.settings import TuiSettings
from qchat.store import MessageState as StoreState
from qchat.store import open_store
from qchat.store.opening import door
from qchat.tui.app import ChatApp
from qchat.tui.composer.completion_list import CompletionList
from qchat.tui.launch import LaunchOptions
from qchat.tui.transcript.message import AnswerState

from ..faults import Running, running
from .chat_app import (
    answered,
    ask,
    filled,
    last_state,
    stored,
    texts,
    toasts,
    type_in,
    versions,
    window,
)
from .held import failing, held
from .screens import screen
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


def drafts(folder: Path) -> list[str]:
    """Those of the conversations, the latest first, and of the one that has not begun."""
    with open_store(folder) as store:
        return [c.draft for c in store.conversations.list()] + [store.recall("draft")]


# -- a question on its way into the store --------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
async def test_quitting_right_after_enter_keeps_the_question(
    tmp_path: Path, server: Running, begun: bool
) -> None:
    if begun:
        filled(tmp_path, "one")
    server.reset_log()
    async with window(tmp_path, server.base_url, go_on=begun) as (app, pilot):
        with held(app) as go:
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            await pilot.press(*"rest", "ctrl+q", "x")
            go.set()
            await wait_until(lambda: not app.is_running)
    assert stored(tmp_path)[-1] == ("user", "mine", None, StoreState.COMPLETE)
    assert [draft for draft in drafts(tmp_path) if draft] == ["restx"]
    assert not [record for record in server.log.records if record.prompt == "mine"]


async def test_enter_after_quitting_asks_nothing(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"mine")
        with held(app) as go:
            app.leaving.leave()
            await type_in(app, "mine")
            await pilot.pause()
            go.set()
            await wait_until(lambda: not app.is_running)
    assert drafts(tmp_path) == ["mine"]


async def test_a_draft_that_cannot_be_kept_holds_the_window_once(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"mine")
        with failing(app.conversation.keeper.store, "remember"):
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
        messages = app.conversation.keeper.store.messages
        with failing(messages, "add" if where == "store" else "begin"):
            with held(app):
                await pilot.press(*"mine", "enter")
                await wait_until(lambda: not app.composer.text)
                await pilot.press(*"next")
            await wait_until(lambda: "disk is full" in toasts(app))
            await wait_until(lambda: not app.conversation.busy)
        if where == "store":
            assert app.composer.text == "mine\n\nnext" and texts(app) == []
            assert app.conversation.keeper.store.conversations.list() == []
        else:  # it is in the store: only its answer failed
            assert app.composer.text == "next" and texts(app) == ["mine"]
            await pilot.press("ctrl+r")
            await answered(app, 2)


async def test_a_stop_while_the_question_is_stored_asks_nothing(
    tmp_path: Path, server: Running
) -> None:
    server.reset_log()
    async with window(tmp_path, server.base_url) as (app, pilot):
        with held(app):
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            await pilot.press("ctrl+c")
        await wait_until(lambda: texts(app) == ["mine"] and not app.conversation.busy)
        assert not [record for record in server.log.records if record.prompt == "mine"]
        assert "Ctrl+R asks it" in toasts(app)
        await pilot.press("ctrl+r")  # a stop is for one question
        await answered(app, 2)


async def test_a_stop_while_an_answer_is_taken_up_again_leaves_it_as_it_was(
    tmp_path: Path, server: Running
) -> None:
    with open_store(tmp_path) as store:
        key = store.conversations.create(title="t").id
        store.messages.add(key, "user", "one")
        answer = store.messages.begin(key).id
        store.messages.finish(answer, StoreState.STOPPED, "It begins")
    async with window(tmp_path, server.base_url, go_on=True) as (app, pilot):
        with held(app):
            await pilot.press("alt+g")
            await wait_until(lambda: app.conversation.busy)
            await pilot.press("ctrl+c")
        await wait_until(lambda: not app.conversation.busy)
        assert (texts(app)[1], last_state(app)) == ("It begins", AnswerState.STOPPED)
    assert stored(tmp_path)[1] == ("assistant", "It begins", None, StoreState.STOPPED)


async def test_what_was_typed_while_a_first_question_was_stored_is_no_draft_elsewhere(
    tmp_path: Path, server: Running
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        with held(app):
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            await pilot.press(*"next")
            app.conversation.checkpoint()
        await answered(app, 2)
        await pilot.press("ctrl+n")
        await wait_until(lambda: app.conversation.key is None)
        assert app.composer.text == ""
    assert drafts(tmp_path) == ["next", ""]


# -- drafts and earlier questions ----------------------------------------------------------


async def test_up_twice_in_a_hurry_keeps_the_draft(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two")
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"draft")
        with held(app):
            await pilot.press("up", "up")
        await wait_until(lambda: app.composer.text == "question of one")
        await pilot.press("down", "down")
        assert app.composer.text == "draft"


@pytest.mark.parametrize("early", [False, True])
async def test_up_and_another_conversation_keep_both_drafts(tmp_path: Path, early: bool) -> None:
    one, _two = filled(tmp_path, "one", "two")
    async with window(tmp_path, go_on=True) as (app, pilot):
        await pilot.press(*"draft")
        with held(app) as go:
            await pilot.press("up")
            if not early:
                go.set()
                await wait_until(lambda: app.composer.text == "question of two")
            app.spawn(app.conversation.show(one))
        await wait_until(lambda: texts(app) == ["question of one"])
        await pilot.pause()
        assert app.composer.text == ""
        await pilot.press(*"new", "ctrl+q")
        await wait_until(lambda: not app.is_running)
    assert sorted(drafts(tmp_path)) == ["", "draft", "new"]


async def test_an_earlier_question_that_is_sent_leaves_the_draft(
    tmp_path: Path, server: Running
) -> None:
    filled(tmp_path, "one")
    async with window(tmp_path, server.base_url, go_on=True) as (app, pilot):
        await pilot.press(*"draft", "up")
        await wait_until(lambda: app.composer.text == "question of one")
        await pilot.press("enter")
        await answered(app, 3)
        assert texts(app)[1] == "question of one" and app.composer.text == "draft"


async def test_up_and_quit_keep_the_draft(tmp_path: Path) -> None:
    filled(tmp_path, "one")
    async with window(tmp_path, go_on=True) as (app, pilot):
        await pilot.press(*"draft", "up")
        await wait_until(lambda: app.composer.text == "question of one")
        await pilot.press("ctrl+q")
        await wait_until(lambda: not app.is_running)
    assert drafts(tmp_path) == ["draft", ""]


async def test_a_draft_that_could_not_be_kept_is_kept_later(tmp_path: Path) -> None:
    filled(tmp_path, "one")
    async with window(tmp_path, go_on=True) as (app, pilot):
        conversations = app.conversation.keeper.store.conversations
        key = app.conversation.key or ""
        with failing(conversations, "set_draft") as calls:
            await pilot.press(*"draft")
            for _n in range(2):
                count = len(calls)
                app.conversation.checkpoint()
                await wait_until(lambda count=count: len(calls) > count)
            await pilot.pause()
        assert toasts(app).count("disk is full") == 1  # one sentence does not stand there twice
        app.conversation.checkpoint()
        await wait_until(lambda: conversations.get(key).draft == "draft")


async def test_a_draft_that_cannot_be_kept_comes_along(tmp_path: Path) -> None:
    one, _two = filled(tmp_path, "one", "two")
    with open_store(tmp_path) as store:
        store.conversations.set_draft(one, "other")
    async with window(tmp_path, go_on=True) as (app, pilot):
        await pilot.press(*"draft")
        with failing(app.conversation.keeper.store.conversations, "set_draft"):
            app.spawn(app.conversation.show(one))
            await wait_until(lambda: app.composer.text == "draft\n\nother")


# -- two windows ---------------------------------------------------------------------------


async def test_each_window_goes_on_its_own_branch(tmp_path: Path, server: Running) -> None:
    server.reset_log()
    async with window(tmp_path, server.base_url) as (app, pilot):
        await ask(app, pilot, "one")
        key = app.conversation.key
        assert key is not None
        with open_store(tmp_path) as other:
            other.messages.add(key, "user", "from the other window")
            theirs = other.messages.add(key, "assistant", "its answer").id
            await ask(app, pilot, "two")
            assert texts(app) == ["one", "echo: one", "two", "echo: two"]
            assert versions(app) == [None, None, (2, 2), None]
            with held(app):
                await pilot.press("ctrl+r")
                await pilot.pause()
                other.messages.show(theirs)  # between the key and what it does
            await wait_until(lambda: versions(app)[-1] == (2, 2))
            await answered(app, 4)
            assert texts(app)[2:] == ["two", "echo: two"]
    asked = [record.body for record in server.log.records if record.prompt == "two"]
    assert [len(body["messages"]) for body in asked if body] == [3, 3]  # type: ignore[arg-type]


async def test_an_answer_that_comes_in_another_window(tmp_path: Path, server: Running) -> None:
    with open_store(tmp_path) as other:
        key = other.conversations.create(title="t").id
        other.messages.add(key, "user", "one")
        answer = other.messages.begin(key).id
        other.messages.checkpoint(answer, "It begins")
        async with window(tmp_path, server.base_url, go_on=True) as (app, pilot):
            assert texts(app) == ["one", "It begins"] and last_state(app) is AnswerState.STREAMING
            await pilot.press("ctrl+c")
            await wait_until(lambda: "again to quit" in toasts(app))  # nothing of its own comes
            await pilot.press("alt+g")
            await wait_until(lambda: "still being written" in toasts(app))
            await type_in(app, "two")
            await wait_until(lambda: texts(app)[2:] == ["two", "echo: two"])
            await wait_until(lambda: not app.conversation.busy)
            other.messages.finish(answer, StoreState.COMPLETE, "It begins and ends")
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
        said = "There is no conversation" if purged else f"qchat chats restore {key}"
        await wait_until(lambda: said in toasts(app) and not app.conversation.busy)
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
        with held(app):
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            app.spawn(app.chats.delete())
            await pilot.pause()
        await wait_until(lambda: "Deleted" in toasts(app) and app.conversation.key is None)
        await wait_until(lambda: not app.conversation.busy)
        assert app.conversation.answering is None and not app.conversation.answers_in(key)
        store = app.conversation.keeper.store
        assert [node.role for node in store.messages.path(key)] == ["user", "user"]
    assert not [record for record in server.log.records if record.prompt == "mine"]


async def test_two_quick_undoings_undo_two(tmp_path: Path) -> None:
    one, two, three = filled(tmp_path, "one", "two", "three")
    async with window(tmp_path) as (app, _pilot):
        store = app.conversation.keeper.store
        for key in (one, two):
            await app.conversation.show(key)
            await app.chats.delete()
        with held(app):
            for _n in range(3):
                app.spawn(app.chats.restore())
        await wait_until(lambda: "Nothing was deleted here" in toasts(app))
        await wait_until(lambda: len(store.conversations.list()) == 3)
        await app.conversation.show(three)
        await app.talk.drop()
        with held(app):
            app.spawn(app.talk.undo())
            app.spawn(app.talk.undo())
        await wait_until(lambda: "Nothing was taken out" in toasts(app))
        await wait_until(lambda: texts(app) == ["question of three"])


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
                assert app.composer.text == "mine" and not app.conversation.opened
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
            patch.setattr(app.conversation.keeper, "questions", broken)
            await pilot.press(*"mine", "up")
            await wait_until(lambda: "KeyError" in toasts(app))
            patch.setattr(app.chats, "list", broken)
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
        await wait_until(lambda: app.query_one(CompletionList).options)
        (gone / "notes").unlink()
        gone.rmdir()
        await pilot.press("tab")
        await wait_until(lambda: "No such file" in toasts(app))
        await pilot.press("x")
        await wait_until(lambda: not app.query_one(CompletionList).options)
        assert app.composer.text == "@nox" and app.fault is None


async def test_a_failed_answer_says_how_to_ask_again_after_a_restart(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        key = store.conversations.create(title="t").id
        store.messages.add(key, "user", "one")
        answer = store.messages.begin(key).id
        store.messages.finish(answer, StoreState.ERROR, "", error="It broke off.")
    async with window(tmp_path, go_on=True) as (app, _pilot):
        await wait_until(lambda: "Ctrl+R asks again" in screen(app))


async def test_what_was_set_before_a_conversation_began_is_there_again(
    tmp_path: Path, server: Running
) -> None:
    (key,) = filled(tmp_path, "one")
    async with window(tmp_path, server.base_url) as (app, _pilot):
        await type_in(app, "/set temperature 0.5")
        await wait_until(lambda: app.current.using.sampling.temperature == 0.5)
        await app.conversation.show(key)
        assert app.current.using.sampling.temperature is None
        await app.conversation.show(None)
        assert app.current.using.sampling.temperature == 0.5
        await ask(app, _pilot, "two")
        await app.conversation.show(None)
        assert app.current.using.sampling.temperature is None
