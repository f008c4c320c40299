"""The configured system prompt of new conversations, and its variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import pytest

from qchat.api.endpoint import Endpoint
from qchat.prompt_variables import automatic_values, filled
from qchat.sampling import Sampling
from qchat.settings import load
from qchat.store import open_store
from qchat.system_prompts import Prompts
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.prompt_variables import PromptVariables

from ..config_file import write_config
from ..faults import Running, running
from .chat_app import answered, texts, type_in
from .settings_chat import body
from .waiting import wait_until


@pytest.fixture
def server() -> Iterator[Running]:
    with running(models=["Qwen3-8B"]) as server:
        yield server


@contextmanager
def chat(home: Path, url: str, prompt: str, question: str = "") -> Iterator[ChatApp]:
    write_config(home, '[tui]\nsystem_prompt = "mine"\ntitles = false\n')
    settings = load({"QCHAT_HOME": str(home)})
    prompts = Prompts(settings.paths)
    prompts.write("mine", prompt)
    start = LaunchOptions(
        *(Endpoint(url), None, Sampling(), None, False, question, settings.tui),
        settings=settings,
        prompt=prompts.read("mine"),
    )
    with open_store(settings.paths.data) as store:
        yield ChatApp(lambda: store, start)


def system(server: Running) -> str:
    first = body(server)["messages"][0]
    assert first["role"] == "system"
    return str(first["content"])


def test_what_is_filled_in_by_itself() -> None:
    values = automatic_values(datetime(2026, 3, 2, 9, 5), "Qwen3-8B")
    assert filled("{{date}} {{ time }} {{model}} {{name}}", values) == (
        "2026-03-02 09:05 Qwen3-8B {{name}}"
    )
    assert "model" not in automatic_values(datetime(2026, 3, 2), None)


async def test_date_and_model_are_filled_in_when_a_conversation_begins(
    tmp_path: Path, server: Running
) -> None:
    before = date.today()
    with chat(tmp_path, server.base_url, "You are {{model}}. Today is {{date}}.") as app:
        async with app.run_test(size=(80, 24)):
            for number in (1, 2):
                await wait_until(lambda: app.parts.monitor.reachable)
                await type_in(app, "hello")
                await answered(app, 2)
                days = {f"You are Qwen3-8B. Today is {day}." for day in (before, date.today())}
                assert system(server) in days, number
                await type_in(app, "/new")
                await wait_until(lambda: not texts(app))


async def test_another_variable_is_asked_for_before_the_first_question_is_sent(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, "Answer in {{language}} on {{date}}.") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.parts.monitor.reachable)
            await type_in(app, "hello")
            await wait_until(lambda: isinstance(app.screen, PromptVariables))
            await pilot.press("escape")
            await wait_until(lambda: not isinstance(app.screen, PromptVariables))
            assert app.composer.text == "hello" and texts(app) == []
            await pilot.press("enter")
            await wait_until(lambda: isinstance(app.screen, PromptVariables))
            await pilot.press(*"French", "enter")
            await answered(app, 2)
            assert system(server).startswith("Answer in French on 2")
            await type_in(app, "again")
            await answered(app, 4)
            assert system(server).startswith("Answer in French on 2")


async def test_a_question_of_the_command_line_waits_for_them(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url, "Answer in {{language}}.", "why?") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: isinstance(app.screen, PromptVariables))
            await pilot.press("escape")
            await wait_until(lambda: app.composer.text == "why?")
            assert texts(app) == []
            await pilot.press("enter")
            await wait_until(lambda: isinstance(app.screen, PromptVariables))
            await pilot.press(*"French", "enter")
            await answered(app, 2)
            assert system(server) == "Answer in French." and texts(app)[0] == "why?"
