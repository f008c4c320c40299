"""Answers that end or are stopped at an inconvenient moment."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.message_state import MessageState
from qchat.tui.chat.repository import LoadedConversation

from ..faults import Running, running
from .chat_app import filled, last_state, stored, texts, type_in, window
from .waiting import wait_until

QUESTION = "x [[answer:rate=60;length=120]]"
"""Its answer takes about a second."""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


def block_until_requests_end() -> None:
    """Block the event loop until no request is in progress."""
    deadline = time.monotonic() + 20
    while any(thread.name == "chat-request" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_an_answer_that_ends_while_its_conversation_is_loaded_is_shown_complete(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = filled(tmp_path, "other")
    async with window(tmp_path, server.base_url) as (app, _pilot):
        await type_in(app, QUESTION)
        await wait_until(lambda: len(texts(app)) == 2 and texts(app)[1])
        conversation, repository = app.conversation.id, app.conversation.repository
        assert conversation is not None
        await app.conversation.show(other)
        load, was_read, go_on = repository.load, threading.Event(), threading.Event()

        def slow_load(key: str | None) -> LoadedConversation:
            loaded = load(key)
            was_read.set()
            assert go_on.wait(20)
            return loaded

        monkeypatch.setattr(repository, "load", slow_load)
        assert app.conversation.is_answering(conversation)
        app.spawn(app.conversation.show(conversation))
        await wait_until(was_read.is_set)
        await wait_until(lambda: not app.conversation.is_answering(conversation))
        go_on.set()
        await wait_until(lambda: app.conversation.id == conversation)
        await wait_until(lambda: last_state(app) is MessageState.COMPLETE)
        answer = texts(app)[1]
    assert stored(tmp_path)[1][1::2] == (answer, MessageState.COMPLETE)


async def test_what_arrives_after_a_stop_changes_nothing(tmp_path: Path, server: Running) -> None:
    async with window(tmp_path, server.base_url) as (app, pilot):
        await type_in(app, QUESTION)
        await wait_until(lambda: len(texts(app)) == 2 and texts(app)[1])
        block_until_requests_end()  # the rest of the answer, and its end, wait for the event loop
        assert app.conversation.stop()
        answer = texts(app)[1]
        await pilot.pause()
        await wait_until(lambda: not app.conversation.busy)
        assert (texts(app)[1], last_state(app)) == (answer, MessageState.STOPPED)
        assert app.fault is None
    assert stored(tmp_path)[1][1::2] == (answer, MessageState.STOPPED)
