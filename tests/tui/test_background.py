"""Background work that fails is reported once and goes on."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qchat.store import open_store
from qchat.tui.servers.prober import ProbeResult, ServerProber

from ..faults import Running, running
from .chat_app import NOWHERE, filled, last_state, listed, toasts, type_in, window
from .screens import screen
from .waiting import wait_until


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as server:
        yield server


def fail_once(monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> threading.Event:
    """The next call of a method raises; the event is set then."""
    method, raised = getattr(target, name), threading.Event()

    def call(*args: Any, **options: Any) -> Any:
        if not raised.is_set():
            raised.set()
            raise RuntimeError("it was planted")
        return method(*args, **options)

    monkeypatch.setattr(target, name, call)
    return raised


async def test_the_status_line_follows_the_server_after_a_probe_that_raised(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with window(tmp_path, server.base_url) as (app, _pilot):
        await wait_until(lambda: "●" in screen(app))
        probe, calls = ServerProber.probe, []

        def raise_once(prober: ServerProber) -> ProbeResult:
            calls.append(prober)
            if len(calls) == 1:
                raise RuntimeError("it was planted")
            return probe(prober)

        monkeypatch.setattr(ServerProber, "probe", raise_once)
        server.down()
        app.parts.monitor.wake()
        await wait_until(lambda: "Watching the server: RuntimeError: it was planted" in toasts(app))
        await wait_until(lambda: "○" in screen(app))
        server.up()
        await wait_until(lambda: "●" in screen(app))
        assert toasts(app).count("it was planted") == 1
        assert isinstance(app.fault, RuntimeError)


async def test_drafts_are_saved_after_a_checkpoint_that_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with window(tmp_path) as (app, pilot):
        raised = fail_once(monkeypatch, app.conversation, "checkpoint")
        await wait_until(raised.is_set)
        await pilot.press(*"draft")
        store = app.conversation.repository.store
        await wait_until(lambda: "draft" in store.recall("draft"))
        assert toasts(app).count("it was planted") == 1


async def test_the_sidebar_follows_the_store_after_a_read_that_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, "one")
    async with window(tmp_path, NOWHERE) as (app, pilot):
        await pilot.press("ctrl+l")
        await wait_until(lambda: listed(app) == ["one"])
        raised = fail_once(monkeypatch, app.conversation.repository.store, "changes")
        await wait_until(raised.is_set)
        with open_store(tmp_path) as store:
            store.conversations.create(title="two")
        await wait_until(lambda: set(listed(app)) == {"one", "two"})
        assert toasts(app).count("it was planted") == 1


async def test_an_exception_at_the_end_of_an_answer_is_reported(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with window(tmp_path, server.base_url) as (app, _pilot):
        fail_once(monkeypatch, app.transcript, "replace")
        await type_in(app, "mine")
        await wait_until(lambda: "it was planted. This is a bug in qchat" in toasts(app))
        assert last_state(app) is not None and app.is_running
