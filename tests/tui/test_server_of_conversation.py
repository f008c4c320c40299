"""Which server a conversation is sent to, and which one is detected on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Static

from qchat.api.endpoint import LOCAL_URL, Endpoint
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import TuiSettings, load
from qchat.store import open_store
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.model_picker import ModelPicker

from ..faults import Running, running
from .chat_app import last_state, texts, toasts
from .settings_chat import ask, chat, command
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(models=("small", "large"), max_model_len=4_000) as server:
        yield server


async def test_a_conversation_whose_server_is_gone_uses_no_other(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling(), go_on=True) as app:
        store = app._open_store()
        made = store.conversations.create(title="secret", server="lab", model="big")
        async with app.run_test(size=(100, 24)) as pilot:
            await wait_until(
                lambda: "no server 'lab'" in toasts(app) and "F7 selects" in toasts(app)
            )
            await wait_until(lambda: app.parts.monitor.result is not None)
            await wait_until(lambda: app.parts.title_bar.parts[1].text == "○ lab")
            await ask(app, "for nobody else")
            assert "F7 selects another" in app.transcript.messages[-1].error
            assert "for nobody else" not in server.log.answered
            await command(app, "/set seed 3")
            await wait_until(lambda: store.conversations.get(made.id).settings == {"seed": 3})
            assert store.conversations.get(made.id).server == "lab"
            await command(app, "/model small")
            await pilot.press("f7", "enter")
            assert isinstance(app.screen, ModelPicker)
            assert "no server 'lab'" in str(app.screen.query_one(".said", Static).content)
            await pilot.press("escape")
            await app.conversation.show(None)  # new conversations use the server of the window
            assert app.parts.settings.current.server == server.base_url
            await app.conversation.show(made.id)
            await command(app, f"/server {server.base_url}")
            await command(app, "/model small")
            await pilot.press("ctrl+r")
            await wait_until(lambda: last_state(app) is MessageState.COMPLETE)
            assert store.conversations.get(made.id).server == server.base_url


async def test_a_conversation_of_the_local_server_uses_no_other(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling(), go_on=True) as app:
        store = app._open_store()
        key = store.conversations.create(title="local").id  # as they were kept once
        question = store.messages.add(key, "user", "hi").id
        used = {"server": LOCAL_URL}
        answer = store.messages.begin(key, model="m", used=used)
        assert answer.parent == question
        store.messages.finish(answer.id, MessageState.COMPLETE, "hello", None)
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: len(texts(app)) == 2)
            assert app.parts.settings.current.endpoint.base_url == LOCAL_URL


async def test_the_api_key_of_a_local_server_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k" * 32
    with running(models=("small",), api_key=key) as guarded:
        (tmp_path / "key").write_text(key)
        (tmp_path / "key").chmod(0o600)
        record = {
            "name": "demo",
            "state": "ready",
            "url": guarded.url,
            "key": str(tmp_path / "key"),
        }
        monkeypatch.setattr("qchat.api.local_servers._records", lambda: [record])
        with chat(tmp_path, guarded.base_url, Sampling(), question="one") as app:
            async with app.run_test(size=(80, 24)):
                await wait_until(lambda: last_state(app) is MessageState.COMPLETE)
                assert "wants a key" not in toasts(app)
                first = app.conversation.id
                await app.conversation.show(None)
                await ask(app, "two")
                await app.conversation.show(first)
                await ask(app, "three")
                assert texts(app)[-1] == "echo: three"


@pytest.mark.parametrize("n", [1, 2])
async def test_the_only_local_server_is_used_without_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Running, n: int
) -> None:
    record = {"name": "demo", "state": "ready", "url": server.url, "key": "none"}
    monkeypatch.setattr("qchat.api.local_servers._records", lambda: [record] * n)
    settings = load({"QCHAT_HOME": str(tmp_path)})
    nowhere = Endpoint("http://127.0.0.1:9/v1", origin="default")
    start = LaunchOptions(
        *(nowhere, "small", Sampling(), None, False, "hello", TuiSettings(titles=False)),
        settings=settings,
    )
    with open_store(tmp_path) as store:
        app = ChatApp(lambda: store, start)
        async with app.run_test(size=(80, 24)):
            if n == 1:
                await wait_until(lambda: texts(app) == ["hello", "echo: hello"])
                text = f"runs on this machine: {server.base_url}"
                await wait_until(lambda: text in toasts(app))
            else:
                await wait_until(lambda: last_state(app) is MessageState.ERROR)
                assert app.parts.settings.current.endpoint == nowhere
