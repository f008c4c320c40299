"""Drafts of several conversations: a slow or failing store, earlier questions, a hurry."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual import events

from qchat.store import open_store

from ..faults import Running, running
from .chat_app import (
    answered,
    drafts,
    filled,
    texts,
    toasts,
    window,
)
from .store_faults import blocked_store, failing
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


async def test_what_was_typed_while_a_first_question_was_stored_is_no_draft_elsewhere(
    tmp_path: Path, server: Running
) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        with blocked_store(app):
            await pilot.press(*"mine", "enter")
            await wait_until(lambda: not app.composer.text)
            await pilot.press(*"next")
            app.conversation.checkpoint()
        await answered(app, 2)
        await pilot.press("ctrl+n")
        await wait_until(lambda: app.conversation.id is None)
        assert app.composer.text == ""
    assert drafts(tmp_path) == ["next", ""]


async def test_keys_right_after_a_new_conversation_are_for_it(tmp_path: Path) -> None:
    """However many come in one read, and however long it takes: up to a second."""
    (one,) = filled(tmp_path, "one")
    async with window(tmp_path, go_on=True) as (app, pilot):
        await pilot.press(*"draft")
        with blocked_store(app):
            for key in ("ctrl+n", "h", "i"):
                app.post_message(events.Key(key, key if len(key) == 1 else None))
            await asyncio.sleep(0.1)
            assert app.composer.text == "draft"
        await wait_until(lambda: app.composer.text == "hi")
        assert app.conversation.id is None
        with blocked_store(app):
            app.spawn(app.conversation.show(one))
            app.post_message(events.Key("!", "!"))
            await wait_until(lambda: app.composer.text == "hi!")  # it takes longer
        await wait_until(lambda: app.composer.text == "draft")
    assert drafts(tmp_path) == ["draft", "hi!"]


# -- drafts and earlier questions ----------------------------------------------------------


async def test_up_twice_in_a_hurry_keeps_the_draft(tmp_path: Path) -> None:
    filled(tmp_path, "one", "two")
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"draft")
        with blocked_store(app):
            await pilot.press("up", "up")
        await wait_until(lambda: app.composer.text == "question of one")
        await pilot.press("down", "down")
        assert app.composer.text == "draft"


@pytest.mark.parametrize("early", [False, True])
async def test_up_and_another_conversation_keep_both_drafts(tmp_path: Path, early: bool) -> None:
    one, _two = filled(tmp_path, "one", "two")
    async with window(tmp_path, go_on=True) as (app, pilot):
        await pilot.press(*"draft")
        with blocked_store(app) as go:
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


async def test_a_draft_that_could_not_be_saved_is_saved_later(tmp_path: Path) -> None:
    filled(tmp_path, "one")
    async with window(tmp_path, go_on=True) as (app, pilot):
        conversations = app.conversation.repository.store.conversations
        key = app.conversation.id or ""
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


async def test_a_draft_that_cannot_be_saved_stays_in_the_composer(tmp_path: Path) -> None:
    one, _two = filled(tmp_path, "one", "two")
    with open_store(tmp_path) as store:
        store.conversations.set_draft(one, "other")
    async with window(tmp_path, go_on=True) as (app, pilot):
        await pilot.press(*"draft")
        with failing(app.conversation.repository.store.conversations, "set_draft"):
            app.spawn(app.conversation.show(one))
            await wait_until(lambda: app.composer.text == "draft\n\nother")
