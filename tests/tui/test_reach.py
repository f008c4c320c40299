"""A server that goes and comes back, and one that is not there at all."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from textual.widgets import OptionList

from qchat.api.endpoint import Endpoint, Secret
from qchat.errors import EngineError
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import Settings, TuiSettings, load
from qchat.store import open_store
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.server_start_picker import ServerStartPicker
from qchat.tui.servers.prober import ServerProber
from qchat.tui.servers.server_process import ServerProcess, free_port

from ..faults import Running, running
from .chat_app import chat, last_state, texts, toasts, type_in
from .screens import screen
from .waiting import wait_until


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as result:
        yield result


async def test_a_server_goes_and_comes_back_and_the_question_is_sent_again(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.parts.monitor.reachable)
            server.down()
            await type_in(app, "anybody there?")
            await wait_until(lambda: last_state(app) is MessageState.ERROR)
            assert app.conversation.unanswered and "retries" in app.transcript.messages[-1].note
            await wait_until(lambda: app.parts.monitor.reachable is False)
            await wait_until(lambda: "no longer responds" in toasts(app))
            assert app.parts.title_bar.parts[1].text.startswith("○")
            await pilot.press(*"draft")  # one can write meanwhile
            server.up()
            await wait_until(lambda: app.parts.monitor.reachable)
            await wait_until(lambda: "Ctrl+R sends the last question again" in toasts(app))
            await pilot.press("ctrl+r")
            await wait_until(lambda: last_state(app) is MessageState.COMPLETE)
            assert texts(app)[-1] == "echo: anybody there?" and not app.conversation.unanswered
            assert app.composer.text == "draft"


async def test_it_goes_in_the_middle_of_an_answer_and_comes_back(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.parts.monitor.reachable)
            await type_in(app, "x [[answer:rate=50;length=4000]]")
            await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
            await type_in(app, "next")
            await wait_until(lambda: app.conversation.drafts.queue)
            server.down()
            await wait_until(lambda: last_state(app) is MessageState.ERROR)
            assert "w4" in texts(app)[1] and app.composer.text == "next"
            await wait_until(lambda: app.parts.monitor.reachable is False)
            server.up()
            await wait_until(lambda: "Ctrl+R sends the last question again" in toasts(app))
            await pilot.press("ctrl+r")
            await wait_until(
                lambda: last_state(app) is MessageState.STREAMING and "w2" in texts(app)[1]
            )
            assert app.composer.text == "next"
            await pilot.press("ctrl+c")


def test_a_look(server: Running) -> None:
    prober = ServerProber(Endpoint(server.base_url))
    result = prober.probe()
    assert result.seconds and not result.error_message and result.context(None) == 40_960
    assert result.context("demo") == 40_960 and result.context("other") is None
    server.down()
    gone = prober.probe()
    assert gone.seconds is None and "Nothing answers" in gone.error_message
    server.up()
    assert prober.probe().models == result.models
    prober.close()


def test_a_look_at_a_server_that_hangs_or_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        result = ServerProber(Endpoint(url), timeout=0.2).probe()
        assert result.seconds is None and "went silent" in result.error_message
    with running(api_key="right" * 8) as server:
        result = ServerProber(Endpoint(server.base_url, api_key=Secret("wrong" * 8))).probe()
        assert result.seconds is not None and "refused the key" in result.error_message


@pytest.mark.parametrize("case", ["early", "first", "stop", "other server"])
async def test_a_question_waits_for_the_api_key_of_a_local_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """What `qchat serve` says of its servers is replaced; tests/e2e has the real one."""
    go, opens = threading.Event(), threading.Event()
    settings = load({"QCHAT_HOME": str(tmp_path)})

    def endpoint_with_key(_settings: Settings, endpoint: Endpoint) -> Endpoint:
        go.wait(20)
        return replace(endpoint, api_key=Secret("right" * 8))

    monkeypatch.setattr("qchat.api.local_servers.endpoint_with_key", endpoint_with_key)
    with running(api_key="right" * 8) as server, running() as other, open_store(tmp_path) as store:
        url = other.base_url if case == "other server" else server.base_url
        start = LaunchOptions(
            *(Endpoint(url), None, Sampling(), None, False, "", TuiSettings(titles=False)),
            settings=settings,
        )
        app = ChatApp(lambda: opens.wait(20) and store, start)  # type: ignore[arg-type,return-value]
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(*"mine")
            if case == "early":
                await pilot.press("enter")
            opens.set()
            await wait_until(lambda: app.conversation.is_open)
            if case == "other server":
                await wait_until(lambda: app.parts.monitor.reachable)
                app.parts.settings.set_server(Endpoint(server.base_url), None)
            if case != "early":
                await pilot.press("enter")
            await wait_until(lambda: texts(app) == ["mine"])  # it is stored, and not asked
            await pilot.press(*"next")
            await pilot.pause()
            assert texts(app) == ["mine"]
            if case == "stop":
                await pilot.press("ctrl+c")
                await wait_until(lambda: not app.conversation.busy)
                await wait_until(lambda: "Ctrl+R sends it" in toasts(app))
                assert not go.is_set()
                go.set()
                await wait_until(lambda: app.parts.monitor.reachable)
                await pilot.press("ctrl+r")
            go.set()
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            assert texts(app)[1] == "echo: mine" and app.composer.text == "next"


class Dripping(NamedTuple):
    """A server whose list of models never ends; requests that came in and that were closed."""

    url: str
    requests: list[bytes]
    closed: threading.Event


@contextmanager
def dripping() -> Iterator[Dripping]:
    """Run such a server."""
    ended, closed = threading.Event(), threading.Event()
    requests: list[bytes] = []

    def drip(connection: socket.socket) -> None:
        try:
            send(connection)
        finally:
            closed.set()

    def send(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            requests.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            while not ended.wait(0.05):
                connection.sendall(b" ")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=listening.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield Dripping(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", requests, closed)
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)


def test_a_look_at_a_server_that_drips_has_an_end() -> None:
    with dripping() as slow:
        prober = ServerProber(Endpoint(slow.url), timeout=0.2)
        for _time in range(2):
            result = prober.probe()
            assert result.seconds is not None and "too slow" in result.error_message


async def test_a_server_that_is_chosen_while_another_drips_is_looked_at(
    tmp_path: Path, server: Running
) -> None:
    with dripping() as slow, chat(tmp_path, slow.url) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: any(b"/models" in request for request in slow.requests))
            app.parts.settings.set_server(Endpoint(server.base_url), None)
            await wait_until(
                lambda: app.parts.monitor.result is not None and app.parts.monitor.result.models
            )
            await wait_until(slow.closed.is_set)


async def test_offers_where_nobody_answers(tmp_path: Path) -> None:
    start = LaunchOptions(
        Endpoint("http://127.0.0.1:9/v1"), None, Sampling(), None, False, "",
        settings=load({"QCHAT_HOME": str(tmp_path)}),
    )  # fmt: skip
    with open_store(tmp_path) as store:
        app = ChatApp(lambda: store, start)
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: "Start a server on this machine" in screen(app))
            assert any("F5" in part.text for part in app.parts.status_line.parts)
            await pilot.press("f5")
            await wait_until(lambda: isinstance(app.screen, ServerStartPicker))
            options = app.screen.query_one(OptionList)

            def lines() -> list[str]:
                return [str(option.prompt) for option in options.options]

            await wait_until(lambda: lines() and not any("…" in line for line in lines()))
            assert "Another server" in lines()[-1]
            if "No server can be started here" in lines()[0]:  # there is no vLLM here
                assert len(lines()) == 2
            else:
                assert "Start the demo model" in lines()[0] and len(lines()) == 3
            await pilot.press("escape")
            assert list(app.parts.exit_notes()) == []


async def test_a_start_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    with chat(tmp_path / "data", "http://127.0.0.1:9/v1") as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.is_open)
            await type_in(app, "/start ./no-such-folder")
            await wait_until(lambda: "no-such-folder did not start: " in toasts(app))
            assert (
                app.parts.server_actions.starting is None
                and app.parts.server_actions.started == []
                and app.parts.server_actions.activity == ""
            )


@pytest.mark.parametrize("is_ready", [True, False], ids=["ready", "fails"])
async def test_questions_wait_for_the_server_that_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Running, is_ready: bool
) -> None:
    """The command is replaced by one that ends once a file is there."""
    script, go = tmp_path / "start.py", tmp_path / "go"
    script.write_text(
        "import pathlib, sys, time\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n"
        f"sys.exit({0 if is_ready else 3})\n"
    )
    monkeypatch.setattr("qchat.tui.servers.server_process.QCHAT", (sys.executable, str(script)))
    with chat(tmp_path / "data", "http://127.0.0.1:9/v1") as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.is_open)
            await type_in(app, "/start demo")
            await wait_until(lambda: app.parts.is_server_awaited)
            app.parts.server_actions.starting.url = server.url  # type: ignore[union-attr]
            await type_in(app, "one")
            await type_in(app, "two")
            await wait_until(lambda: "sent when the server is ready" in screen(app))
            assert texts(app) == []
            go.touch()
            if is_ready:
                answers = ["one", "echo: one", "two", "echo: two"]
                await wait_until(lambda: texts(app) == answers)
            else:
                await wait_until(lambda: "demo did not start" in toasts(app))
                assert texts(app) == [] and app.composer.text == "one\n\ntwo"


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "./models/Qwen3-0.6B/"])
async def test_a_server_that_was_started_here_is_used_and_keeps_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The command is replaced by one that is ready at once; tests/e2e has the real one."""
    script = tmp_path / "ready.py"
    script.write_text("")
    monkeypatch.setattr("qchat.tui.servers.server_process.QCHAT", (sys.executable, str(script)))
    with chat(tmp_path, "http://127.0.0.1:9/v1") as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.is_open)
            await type_in(app, f"/start {name}")
            await wait_until(lambda: app.parts.server_actions.started)
            [(model, url)] = app.parts.server_actions.started
            assert app.parts.settings.current.endpoint.base_url == f"{url}/v1"
            await wait_until(lambda: "is ready at" in toasts(app))
            await app.parts.conversation_actions.new()
            assert app.parts.settings.current.endpoint.base_url == f"{url}/v1"
    stop = f"{model} keeps running at {url}. To stop it: qchat stop Qwen3-0.6B"
    assert list(app.parts.exit_notes()) == [stop]


def test_a_start_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is replaced by one that writes phases and waits for Ctrl+C, as it does."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        "print('A note.', file=sys.stderr)\n"
        "print('[   0 s] Loading weights (1 of 2 files)', file=sys.stderr, flush=True)\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    monkeypatch.setattr("qchat.tui.servers.server_process.QCHAT", (sys.executable, str(script)))
    starting = ServerProcess("demo")
    phases: list[str] = []

    def on_phase() -> None:
        phases.append(starting.phase)
        starting.stop()

    with pytest.raises(EngineError, match="The start of demo was stopped"):
        starting.wait(on_phase)
    assert phases == ["Loading weights (1 of 2 files)"]


def test_the_port_is_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = free_port()
        assert port != listener.getsockname()[1]
        with socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
