"""What a person changes of what is asked reaches the server, and stays with the conversation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import OptionList, Static

from qchat.api.endpoint import LOCAL_URL, Endpoint
from qchat.sampling import Sampling
from qchat.settings import TuiSettings, load
from qchat.store import MessageState as StoreState
from qchat.store import StoredMessage as Stored
from qchat.store import open_store
from qchat.system_prompts import Prompts
from qchat.tui.app import ChatApp
from qchat.tui.composer import external_editor as editor
from qchat.tui.launch import LaunchOptions
from qchat.tui.request_settings import Origin
from qchat.tui.screens.answer_info import AnswerInfo, rows_of
from qchat.tui.screens.model_picker import ModelPicker
from qchat.tui.screens.parameters import ParametersScreen
from qchat.tui.screens.pick_list import PickList
from qchat.tui.transcript.message import AnswerState

from ..faults import Running, running
from .chat_app import chat as plain_chat
from .chat_app import last_state, texts, type_in
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(models=("small", "large"), max_model_len=4_000) as found:
        yield found


@contextmanager
def chat(
    home: Path, url: str, sampling: Sampling, *, go_on: bool = False, question: str = ""
) -> Iterator[ChatApp]:
    settings = load({"QCHAT_HOME": str(home)})
    tui = TuiSettings(titles=False)
    start = LaunchOptions(
        Endpoint(url), "small", sampling, None, go_on, question, tui, settings=settings
    )
    with open_store(settings.paths.data) as store:
        yield ChatApp(lambda: store, start)


async def command(app: ChatApp, text: str) -> None:
    """Send a command, and wait until it has been taken."""
    await type_in(app, text)
    await wait_until(lambda: app.composer.text == "")


async def ask(app: ChatApp, text: str) -> None:
    before = len(texts(app))
    await type_in(app, text)
    await wait_until(
        lambda: len(texts(app)) == before + 2 and last_state(app) is not AnswerState.STREAMING
    )


def body(server: Running) -> dict[str, Any]:
    last = server.log.records[-1].body
    assert isinstance(last, dict)
    return last


def said(app: ChatApp) -> str:
    return " ".join(str(one.message) for one in app._notifications)


async def test_commands_change_what_is_asked_and_it_is_kept(
    tmp_path: Path, server: Running
) -> None:
    prompts = Prompts(load({"QCHAT_HOME": str(tmp_path)}).paths)
    prompts.write("terse", "Answer in one word.")
    with chat(tmp_path, server.base_url, Sampling(seed=4)) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.opened)
            await command(app, "/set temperature 0.2")
            await command(app, "/set stop=END, ###")
            await command(app, "/think on")
            await command(app, "/preset creative")
            await command(app, "/system terse")
            await wait_until(lambda: app.current.using.system == "Answer in one word.")
            await ask(app, "one")
            asked = body(server)
            assert asked["messages"][0] == {"role": "system", "content": "Answer in one word."}
            assert asked["temperature"] == 0.2 and asked["seed"] == 4 and asked["top_p"] == 0.95
            assert asked["stop"] == ["END", "###"] and "max_tokens" not in asked
            assert asked["chat_template_kwargs"] == {"enable_thinking": True}
            await wait_until(lambda: app.probe.last is not None and app.probe.last.models)
            await command(app, "/model large")
            await command(app, "/set temperature")
            await wait_until(lambda: app.current.using.value("temperature")[0] == 0.9)
            await command(app, "/system none")
            await pilot.press("ctrl+g")  # on, then off
            await ask(app, "two")
            assert body(server)["model"] == "large"
            assert body(server)["chat_template_kwargs"] == {"enable_thinking": False}
            assert body(server)["messages"][0]["role"] == "user"
            first, _question, second = [one.id for one in app.transcript.messages[1:]]
            get = app.conversation.keeper.store.messages.get
            used = [(await app.conversation.keeper.run(get, one)).used for one in (first, second)]
            assert [one.get("system") for one in used] == ["Answer in one word.", None]
            assert used[0]["request"]["stop"] == ["END", "###"]
            await pilot.press("ctrl+n")  # the model stays, what was said for the other does not
            await wait_until(lambda: app.conversation.key is None)
            assert app.current.using.model == "large"
            assert app.current.using.own == Sampling(seed=4)
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
    with chat(tmp_path, server.base_url, Sampling(top_k=7), go_on=True) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: len(texts(app)) == 4)
            using = app.current.using
            assert using.value("stop") == (("END", "###"), Origin.CONVERSATION)
            assert using.value("preset") == ("creative", Origin.CONVERSATION)
            assert using.value("thinking") == (False, Origin.CONVERSATION)
            assert using.value("top_k") == (7, Origin.COMMAND)
            assert (using.own.seed, using.system) == (4, None)
            await app.conversation.show(None)
            assert app.current.using.own == Sampling(top_k=7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/set temperature 9", "between 0 and 2, not 9"),
        ("/set warmth 1", "no parameter 'warmth'"),
        ("/think maybe", "on, off or auto"),
        ("/preset odd", "no preset 'odd'"),
        ("/system nosuch", "no system prompt 'nosuch'"),
        ("/model nosuch", "has no model 'nosuch'; it has small, large"),
        ("/server nosuch", "no server 'nosuch'"),
        ("/server ftp://x", "must start with http"),
    ],
)
async def test_a_wrong_command_is_a_sentence_and_changes_nothing(
    tmp_path: Path, server: Running, text: str, words: str
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.opened)
            await wait_until(lambda: app.probe.last is not None and app.probe.last.models)
            before = app.current.using
            await type_in(app, text)
            await wait_until(lambda: words in said(app))
            assert app.current.using == before


async def test_with_several_models_one_is_to_be_chosen(tmp_path: Path, server: Running) -> None:
    with plain_chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: any("F7 chooses" in part.text for part in app._status.parts))
            await ask(app, "one")
            assert "choose one with /model: small, large" in app.transcript.messages[-1].error
            await command(app, "/model large")
            assert not any("F7" in part.text for part in app._status.parts)
            await pilot.press("ctrl+r")
            await wait_until(lambda: last_state(app) is AnswerState.COMPLETE)
            assert body(server)["model"] == "large"


async def test_the_screens_open_by_key_and_change_the_conversation(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.opened)
            await pilot.press("f3")
            await wait_until(lambda: isinstance(app.screen, ParametersScreen))
            await pilot.press("right", "escape")
            assert app.current.using.preset == "qwen3-thinking"
            await command(app, "/preset")
            await wait_until(lambda: isinstance(app.screen, PickList))
            await pilot.press(*"code", "enter")
            await wait_until(lambda: app.current.using.preset == "code")
            await pilot.press("f7")
            await wait_until(lambda: isinstance(app.screen, ModelPicker))
            options = app.screen.query_one(OptionList)
            await wait_until(
                lambda: any("large" in str(option.prompt) for option in options.options)
            )
            await pilot.press(*"large", "enter")
            await wait_until(lambda: app.current.using.model == "large")


async def test_a_conversation_whose_server_is_gone_is_asked_of_no_other(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling(), go_on=True) as app:
        store = app._open_store()
        made = store.conversations.create(title="secret", server="lab", model="big")
        async with app.run_test(size=(100, 24)) as pilot:
            await wait_until(lambda: "no server 'lab'" in said(app) and "F7 chooses" in said(app))
            await wait_until(lambda: app.probe.last is not None)
            assert app._status.parts[0].text == "○ lab"
            await ask(app, "for nobody else")
            assert "F7 chooses one" in app.transcript.messages[-1].error
            assert "for nobody else" not in server.log.answered
            await command(app, "/set seed 3")
            await wait_until(lambda: store.conversations.get(made.id).settings == {"seed": 3})
            assert store.conversations.get(made.id).server == "lab"
            await command(app, "/model small")
            await pilot.press("f7", "enter")
            assert app.current._fresh.server == server.base_url
            assert isinstance(app.screen, ModelPicker)
            assert "no server 'lab'" in str(app.screen.query_one(".note", Static).content)
            await pilot.press("escape")
            await command(app, f"/server {server.base_url}")
            await command(app, "/model small")
            await pilot.press("ctrl+r")
            await wait_until(lambda: last_state(app) is AnswerState.COMPLETE)
            assert store.conversations.get(made.id).server == server.base_url


async def test_what_was_asked_of_this_machine_never_goes_elsewhere(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling(), go_on=True) as app:
        store = app._open_store()
        key = store.conversations.create(title="local").id  # as they were kept once
        question = store.messages.add(key, "user", "hi").id
        used = {"server": LOCAL_URL}
        answer = store.messages.begin(key, model="m", used=used)
        assert answer.parent == question
        store.messages.finish(answer.id, StoreState.COMPLETE, "hello", None)
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: len(texts(app)) == 2)
            assert app.current.using.endpoint.base_url == LOCAL_URL


async def test_the_key_of_a_server_that_runs_here_is_found(
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
                await wait_until(lambda: last_state(app) is AnswerState.COMPLETE)
                assert "wants a key" not in said(app)
                first = app.conversation.key
                await app.conversation.show(None)
                await ask(app, "two")
                await app.conversation.show(first)
                await ask(app, "three")
                assert texts(app)[-1] == "echo: three"


@pytest.mark.parametrize("n", [1, 2])
async def test_the_only_server_that_runs_here_is_asked_where_none_was_chosen(
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
                assert f"runs here: {server.base_url}" in said(app)
            else:
                await wait_until(lambda: last_state(app) is AnswerState.ERROR)
                assert app.current.using.endpoint == nowhere


async def test_the_parameters_screen_leaves_the_server_that_came_meanwhile(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, "http://127.0.0.1:9/v1", Sampling()) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.opened)
            await pilot.press("f3")
            await wait_until(lambda: isinstance(app.screen, ParametersScreen))
            app.uses.connect(Endpoint(server.base_url), "large")
            await pilot.press("right", "escape")
            using = app.current.using
            assert using.preset == "qwen3-thinking"
            assert (using.endpoint.base_url, using.model) == (server.base_url, "large")


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("/set stop a=b", ("a=b",)),
        ("/set stop=a=b", ("a=b",)),
        ("/set stop = a b", ("a b",)),
        ('/set STOP ["=", "\\n"]', ("=", "\n")),
    ],
)
async def test_a_value_is_set_as_it_is_written(
    tmp_path: Path, server: Running, text: str, stop: tuple[str, ...]
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.opened)
            await command(app, text)
            await wait_until(lambda: app.current.using.own.stop == stop)


async def test_a_prompt_that_can_not_be_kept_is_used_all_the_same(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        prompts = app.uses._prompts
        begun: list[str] = []

        async def elsewhere(_app: object, text: str) -> str:
            begun.append(text)
            if len(begun) > 1:
                prompts.folder.rename(prompts.folder.with_name("away"))
                prompts.folder.write_text("in the way")
            return f"Answer in French, please {len(begun)}.\n"

        monkeypatch.setattr(editor, "edit_text", elsewhere)
        prompts.write("empty", "")
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.opened)
            await app.uses._edit("empty")
            assert (
                prompts.read("empty") == app.current.using.system == "Answer in French, please 1."
            )
            await app.uses._edit("empty")
            assert app.current.using.system == "Answer in French, please 2."
            await wait_until(lambda: "Can't make the folder" in said(app))
            assert "all the same" in said(app)
            assert begun == ["", "Answer in French, please 1."]


async def test_what_was_used_stands_with_the_answer(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url, Sampling(temperature=0.5, max_tokens=900)) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.opened)
            await pilot.press("f6")
            await wait_until(lambda: "no answer here" in said(app))
            await ask(app, "hi [[answer:reasoning=reasoning;length=30]]")
            await pilot.press("f6")
            await wait_until(lambda: isinstance(app.screen, AnswerInfo))
            assert isinstance(app.screen, AnswerInfo)
            rows = dict(app.screen.rows)
            assert rows["model"] == "small" and rows["server"] == server.base_url
            assert rows["state"] == "complete (stop)"
            assert rows["temperature"] == "0.5" and rows["max_tokens"] == "900"
            assert (
                int(rows["completion_tokens"]) >= 30
                and "total time" in rows
                and "output speed" in rows
            )
            await pilot.press("escape")


async def test_the_context_is_counted_and_warned_of(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.probe.context == 4_000)
            await ask(app, "hi [[answer:length=30]]")
            used = app.current.context
            assert used is not None and 30 < used < 100
            part = next(part for part in app._status.parts if "/4,000" in part.text)
            assert part.text.startswith(f"{used:,}/4,000") and not part.warns
            await ask(app, "more [[answer:length=3500]]")
            part = next(part for part in app._status.parts if "/4,000" in part.text)
            assert part.warns
            await wait_until(lambda: "tokens are used" in said(app))


async def test_the_time_of_thinking_is_shown_while_it_comes(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.opened)
            await type_in(app, "hi [[answer:reasoning=reasoning;rate=12]]")
            await wait_until(lambda: texts(app) and app.transcript.messages[-1].reasoning)
            await wait_until(lambda: app.transcript.messages[-1].thought_seconds)
            assert last_state(app) is AnswerState.STREAMING and texts(app)[-1] == ""
            await wait_until(lambda: last_state(app) is AnswerState.COMPLETE)
            last = app.transcript.messages[-1]
            assert last.thought_seconds is not None and last.thought_seconds > 0


def test_the_info_of_any_answer_that_is_stored() -> None:
    odd = {"server": None, "system": "Be brief.", "request": {"stop": ["\x1b[31m"], "n": 1}}
    usage = {
        "prompt_tokens": 3,
        "prompt_tokens_details": {},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "x": "y",
    }
    with_all = Stored(
        1, "c", None, "assistant", "", None, state=_store_state("error"), created=0.0,
        error="It broke.", used=odd, usage=usage, timings={"total_seconds": 1},
    )  # fmt: skip
    rows = dict(rows_of(with_all))
    assert rows["system prompt"] == "Be brief." and rows["error"] == "It broke."
    assert rows["server"] == "-" and rows["total time"] == "1.00 s"
    assert rows["completion_tokens_details.reasoning_tokens"] == "2"
    assert "tokens" not in rows
    bare = Stored(1, "c", None, "assistant", "", None, _store_state("stopped"), 0.0)
    assert dict(rows_of(bare))["tokens"] == "not reported by the server"


def _store_state(name: str) -> Any:
    return StoreState(name)
