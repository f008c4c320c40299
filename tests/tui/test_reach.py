"""A server that goes and comes back, and one that is not there at all."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import OptionList

from qchat.api.endpoint import Endpoint, Secret
from qchat.errors import EngineError
from qchat.sampling import Sampling
from qchat.settings import Settings, TuiSettings, load
from qchat.store import open_store
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.server_start_picker import ServerStartPicker
from qchat.tui.server_list import ServerProber
from qchat.tui.server_start import ServerStart, free_port
from qchat.tui.transcript.message import AnswerState

from ..faults import Running, running
from .chat_app import chat, last_state, texts, toasts, type_in
from .waiting import wait_until


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as found:
        yield found


async def test_it_goes_and_comes_back_and_the_question_is_asked_again(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.probe.reachable)
            server.down()
            await type_in(app, "anybody there?")
            await wait_until(lambda: last_state(app) is AnswerState.ERROR)
            assert app.conversation.unanswered and "asks again" in app.transcript.messages[-1].note
            await wait_until(lambda: app.probe.reachable is False)
            await wait_until(lambda: "does not answer any more" in toasts(app))
            assert app._status.parts[0].text.startswith("○")
            await pilot.press(*"draft")  # one can write meanwhile
            server.up()
            await wait_until(lambda: app.probe.reachable)
            await wait_until(lambda: "Ctrl+R asks the last question again" in toasts(app))
            await pilot.press("ctrl+r")
            await wait_until(lambda: last_state(app) is AnswerState.COMPLETE)
            assert texts(app)[-1] == "echo: anybody there?" and not app.conversation.unanswered
            assert app.composer.text == "draft"


async def test_it_goes_in_the_middle_of_an_answer_and_comes_back(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.probe.reachable)
            await type_in(app, "x [[answer:rate=50;length=4000]]")
            await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
            await type_in(app, "next")
            await wait_until(lambda: app.conversation.waiting)
            server.down()
            await wait_until(lambda: last_state(app) is AnswerState.ERROR)
            assert "w4" in texts(app)[1] and app.composer.text == "next"
            await wait_until(lambda: app.probe.reachable is False)
            server.up()
            await wait_until(lambda: "Ctrl+R asks the last question again" in toasts(app))
            await pilot.press("ctrl+r")
            await wait_until(
                lambda: last_state(app) is AnswerState.STREAMING and "w2" in texts(app)[1]
            )
            assert app.composer.text == "next"
            await pilot.press("ctrl+c")


def test_a_look(server: Running) -> None:
    looker = ServerProber(Endpoint(server.base_url))
    found = looker.look()
    assert found.seconds and not found.trouble and found.context(None) == 40_960
    assert found.context("demo") == 40_960 and found.context("other") is None
    server.down()
    gone = looker.look()
    assert gone.seconds is None and "Nothing answers" in gone.trouble
    server.up()
    assert looker.look().models == found.models
    looker.close()


def test_a_look_at_a_server_that_hangs_or_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        found = ServerProber(Endpoint(url), seconds=0.2).look()
        assert found.seconds is None and "went silent" in found.trouble
    with running(api_key="right" * 8) as server:
        found = ServerProber(Endpoint(server.base_url, api_key=Secret("wrong" * 8))).look()
        assert found.seconds is not None and "refused the key" in found.trouble


@pytest.mark.parametrize("way", ["early", "first", "stop", "other server"])
async def test_a_question_waits_for_the_key_that_is_found_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """What `qchat serve` says of its servers is replaced; tests/e2e has the real one."""
    go, opens = threading.Event(), threading.Event()
    settings = load({"QCHAT_HOME": str(tmp_path)})

    def unlocked(_settings: Settings, endpoint: Endpoint) -> Endpoint:
        go.wait(20)
        return replace(endpoint, api_key=Secret("right" * 8))

    monkeypatch.setattr("qchat.tui.server_list.unlocked", unlocked)
    with running(api_key="right" * 8) as server, running() as other, open_store(tmp_path) as store:
        url = other.base_url if way == "other server" else server.base_url
        start = LaunchOptions(
            *(Endpoint(url), None, Sampling(), None, False, "", TuiSettings(titles=False)),
            settings=settings,
        )
        app = ChatApp(lambda: opens.wait(20) and store, start)  # type: ignore[arg-type,return-value]
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(*"mine")
            if way == "early":
                await pilot.press("enter")
            opens.set()
            await wait_until(lambda: app.conversation.opened)
            if way == "other server":
                await wait_until(lambda: app.probe.reachable)
                app.current.prefer(Endpoint(server.base_url), None)
            if way != "early":
                await pilot.press("enter")
            await wait_until(lambda: texts(app) == ["mine"])  # it is stored, and not asked
            await pilot.press(*"next")
            await pilot.pause()
            assert texts(app) == ["mine"]
            if way == "stop":
                await pilot.press("ctrl+c")
                await wait_until(lambda: not app.conversation.busy)
                assert "Ctrl+R asks it" in toasts(app) and not go.is_set()
                go.set()
                await wait_until(lambda: app.probe.reachable)
                await pilot.press("ctrl+r")
            go.set()
            await wait_until(
                lambda: last_state(app) is AnswerState.COMPLETE and len(texts(app)) == 2
            )
            assert texts(app)[1] == "echo: mine" and app.composer.text == "next"


@contextmanager
def dripping() -> Iterator[str]:
    """The address of a server whose list of models never ends."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            while not ended.wait(0.05):
                connection.sendall(b" ")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=listening.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)


def test_a_look_at_a_server_that_drips_has_an_end() -> None:
    with dripping() as url:
        looker = ServerProber(Endpoint(url), seconds=0.2)
        for _time in range(2):
            found = looker.look()
            assert found.seconds is not None and "too slow" in found.trouble


async def test_a_server_that_is_chosen_while_another_drips_is_looked_at(
    tmp_path: Path, server: Running
) -> None:
    with dripping() as url, chat(tmp_path, url) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.probe._looker and app.probe._looker._client)
            left = app.probe._looker
            assert left is not None
            app.current.prefer(Endpoint(server.base_url), None)
            await wait_until(lambda: app.probe.last is not None and app.probe.last.models)
            assert left._client is None


async def test_offers_where_nobody_answers(tmp_path: Path) -> None:
    start = LaunchOptions(
        Endpoint("http://127.0.0.1:9/v1"), None, Sampling(), None, False, "",
        settings=load({"QCHAT_HOME": str(tmp_path)}),
    )  # fmt: skip
    with open_store(tmp_path) as store:
        app = ChatApp(lambda: store, start)
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: "F5 starts a server" in app.transcript.placeholder)
            assert any("F5" in part.text for part in app._status.parts)
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
            assert list(app.offers.notes()) == []


async def test_a_start_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    with chat(tmp_path / "data", "http://127.0.0.1:9/v1") as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.opened)
            await type_in(app, "/start ./no-such-folder")
            await wait_until(lambda: "no-such-folder did not start: " in toasts(app))
            assert app.offers.starting is None and app.offers.left == [] and app.offers.doing == ""


async def test_what_was_started_is_asked_and_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is replaced by one that is ready at once; tests/e2e has the real one."""
    script = tmp_path / "ready.py"
    script.write_text("")
    monkeypatch.setattr("qchat.tui.server_start.QCHAT", (sys.executable, str(script)))
    with chat(tmp_path, "http://127.0.0.1:9/v1") as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.opened)
            await type_in(app, "/start Qwen/Qwen3-0.6B")
            await wait_until(lambda: app.offers.left)
            [(model, url)] = app.offers.left
            assert app.current.using.endpoint.base_url == f"{url}/v1"
            await wait_until(lambda: "is ready at" in toasts(app))
            await app.conversation.new()
            assert app.current.using.endpoint.base_url == f"{url}/v1"
    stop = f"{model} runs on at {url}. It is stopped by: qchat stop Qwen3-0.6B"
    assert list(app.offers.notes()) == [stop]


def test_a_start_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is replaced by one that writes phases and waits for Ctrl+C, as it does."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        "print('A note.', file=sys.stderr)\n"
        "print('[   0 s] Loading weights (1 of 2 files)', file=sys.stderr, flush=True)\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    monkeypatch.setattr("qchat.tui.server_start.QCHAT", (sys.executable, str(script)))
    starting = ServerStart("demo")
    phases: list[str] = []

    def told() -> None:
        phases.append(starting.phase)
        starting.stop()

    with pytest.raises(EngineError, match="The start of demo was stopped"):
        starting.wait(told)
    assert phases == ["Loading weights (1 of 2 files)"]


def test_the_port_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = free_port()
        assert port != taken.getsockname()[1]
        with socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
