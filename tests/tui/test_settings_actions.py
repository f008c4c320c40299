"""What a person changes of what is asked reaches the server, and stays with the conversation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.api.endpoint import Endpoint
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import load
from qchat.system_prompts import Prompts
from qchat.tui.composer import external_editor as editor
from qchat.tui.request_settings import Origin
from qchat.tui.screens.answer_info import AnswerInfo
from qchat.tui.screens.model_picker import ModelPicker
from qchat.tui.screens.parameters import ParametersScreen
from qchat.tui.screens.pick_list import PickList

from ..faults import Running, running
from .chat_app import chat as plain_chat
from .chat_app import last_state, texts, toasts, type_in
from .screens import screen
from .settings_chat import ask, body, chat, command
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(models=("small", "large"), max_model_len=4_000) as server:
        yield server


async def test_commands_change_the_settings_and_save_them(tmp_path: Path, server: Running) -> None:
    prompts = Prompts(load({"QCHAT_HOME": str(tmp_path)}).paths)
    prompts.write("terse", "Answer in one word.")
    with chat(tmp_path, server.base_url, Sampling(seed=4)) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await command(app, "/set temperature 0.2")
            await command(app, "/set stop=END, ###")
            await command(app, "/think on")
            await command(app, "/preset creative")
            await command(app, "/system terse")
            await wait_until(lambda: app.parts.settings.current.system == "Answer in one word.")
            await ask(app, "one")
            request = body(server)
            assert request["messages"][0] == {"role": "system", "content": "Answer in one word."}
            assert (
                request["temperature"] == 0.2 and request["seed"] == 4 and request["top_p"] == 0.95
            )
            assert request["stop"] == ["END", "###"] and "max_tokens" not in request
            assert request["chat_template_kwargs"] == {"enable_thinking": True}
            await wait_until(
                lambda: app.parts.monitor.result is not None and app.parts.monitor.result.models
            )
            await command(app, "/model large")
            await command(app, "/set temperature")
            await wait_until(lambda: app.parts.settings.current.value("temperature")[0] == 0.9)
            await command(app, "/system none")
            await pilot.press("ctrl+g")  # on, then off
            await ask(app, "two")
            assert body(server)["model"] == "large"
            assert body(server)["chat_template_kwargs"] == {"enable_thinking": False}
            assert body(server)["messages"][0]["role"] == "user"
            first, _question, second = [one.id for one in app.transcript.messages[1:]]
            get = app.conversation.repository.store.messages.get
            used = [
                (await app.conversation.repository.run(get, one)).used for one in (first, second)
            ]
            assert [one.get("system") for one in used] == ["Answer in one word.", None]
            assert used[0]["request"]["stop"] == ["END", "###"]
            await pilot.press("ctrl+n")  # the model stays, what was said for the other does not
            await wait_until(lambda: app.conversation.id is None)
            assert app.parts.settings.current.model == "large"
            assert app.parts.settings.current.own == Sampling(seed=4)
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
    with chat(tmp_path, server.base_url, Sampling(top_k=7), go_on=True) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: len(texts(app)) == 4)
            using = app.parts.settings.current
            assert using.value("stop") == (("END", "###"), Origin.CONVERSATION)
            assert using.value("preset") == ("creative", Origin.CONVERSATION)
            assert using.value("thinking") == (False, Origin.CONVERSATION)
            assert using.value("top_k") == (7, Origin.COMMAND)
            assert (using.own.seed, using.system) == (4, None)
            await app.conversation.show(None)
            assert app.parts.settings.current.own == Sampling(top_k=7)


@pytest.mark.parametrize(
    ("text", "message"),
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
    tmp_path: Path, server: Running, text: str, message: str
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.is_open)
            await wait_until(
                lambda: app.parts.monitor.result is not None and app.parts.monitor.result.models
            )
            before = app.parts.settings.current
            await type_in(app, text)
            await wait_until(lambda: message in toasts(app))
            assert app.parts.settings.current == before


async def test_with_several_models_one_is_to_be_chosen(tmp_path: Path, server: Running) -> None:
    with plain_chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(
                lambda: any("F7 selects" in part.text for part in app.parts.status_line.parts)
            )
            await ask(app, "one")
            assert "choose one with /model: small, large" in app.transcript.messages[-1].error
            await command(app, "/model large")
            await wait_until(
                lambda: not any("F7" in part.text for part in app.parts.status_line.parts)
            )
            await pilot.press("ctrl+r")
            await wait_until(lambda: last_state(app) is MessageState.COMPLETE)
            assert body(server)["model"] == "large"


async def test_the_screens_open_by_key_and_change_the_conversation(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await pilot.press("f3")
            await wait_until(lambda: isinstance(app.screen, ParametersScreen))
            await pilot.press("right", "escape")
            assert app.parts.settings.current.preset == "qwen3-thinking"
            await command(app, "/preset")
            await wait_until(lambda: isinstance(app.screen, PickList))
            await pilot.press(*"code", "enter")
            await wait_until(lambda: app.parts.settings.current.preset == "code")
            await pilot.press("f7")
            await wait_until(lambda: isinstance(app.screen, ModelPicker))
            await wait_until(lambda: "large" in screen(app))
            await pilot.press(*"large", "enter")
            await wait_until(lambda: app.parts.settings.current.model == "large")


async def test_the_parameters_screen_leaves_the_server_that_came_meanwhile(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, "http://127.0.0.1:9/v1", Sampling()) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await pilot.press("f3")
            await wait_until(lambda: isinstance(app.screen, ParametersScreen))
            app.parts.settings_actions.connect(Endpoint(server.base_url), "large")
            await pilot.press("right", "escape")
            using = app.parts.settings.current
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
            await wait_until(lambda: app.conversation.is_open)
            await command(app, text)
            await wait_until(lambda: app.parts.settings.current.own.stop == stop)


async def test_a_prompt_that_can_not_be_saved_is_used_nevertheless(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        prompts = app.parts.settings_actions._prompts
        begun: list[str] = []

        async def edit_text(_app: object, text: str) -> str:
            begun.append(text)
            if len(begun) > 1:
                prompts.folder.rename(prompts.folder.with_name("away"))
                prompts.folder.write_text("in the way")
            return f"Answer in French, please {len(begun)}.\n"

        monkeypatch.setattr(editor, "edit_text", edit_text)
        prompts.write("empty", "")
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.is_open)
            await app.parts.settings_actions._edit("empty")
            assert (
                prompts.read("empty")
                == app.parts.settings.current.system
                == "Answer in French, please 1."
            )
            await app.parts.settings_actions._edit("empty")
            assert app.parts.settings.current.system == "Answer in French, please 2."
            await wait_until(lambda: "Can't make the folder" in toasts(app))
            assert "nevertheless" in toasts(app)
            assert begun == ["", "Answer in French, please 1."]


async def test_what_was_used_stands_with_the_answer(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url, Sampling(temperature=0.5, max_tokens=900)) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await pilot.press("f6")
            await wait_until(lambda: "no answer here" in toasts(app))
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
            await wait_until(lambda: app.parts.settings.context_limit == 4_000)
            await ask(app, "hi [[answer:length=30]]")
            used = app.parts.settings.used_tokens
            assert used is not None and 30 < used < 100
            part = next(part for part in app.parts.status_line.parts if "/4,000" in part.text)
            assert part.text.startswith(f"{used:,}/4,000") and not part.warns
            await ask(app, "more [[answer:length=3500]]")
            part = next(part for part in app.parts.status_line.parts if "/4,000" in part.text)
            assert part.warns
            await wait_until(lambda: "tokens are used" in toasts(app))


async def test_the_seconds_of_reasoning_are_drawn_during_it(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, Sampling()) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: app.conversation.is_open)
            await type_in(app, "hi [[answer:reasoning=reasoning;rate=12]]")
            await wait_until(lambda: texts(app) and app.transcript.messages[-1].reasoning)
            await wait_until(lambda: app.transcript.messages[-1].thought_seconds)
            assert last_state(app) is MessageState.STREAMING and texts(app)[-1] == ""
            await wait_until(lambda: last_state(app) is MessageState.COMPLETE)
            last = app.transcript.messages[-1]
            assert last.thought_seconds is not None and last.thought_seconds > 0
