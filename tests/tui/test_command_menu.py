"""The menu of commands that opens after a slash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from textual import events

from qchat.api.endpoint import Endpoint
from qchat.sampling import Sampling
from qchat.settings import load, private_dir
from qchat.store import open_store
from qchat.tui.actions import slash
from qchat.tui.app import ChatApp
from qchat.tui.composer.command_menu import (
    CommandEntry,
    common_start,
    matching_commands,
    typed_command,
)
from qchat.tui.composer.completion_list import VISIBLE, CompletionList
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.help import HelpScreen

from .chat_app import NOWHERE, window
from .waiting import wait_until

ENTRIES = [
    CommandEntry(name, argument, f"does {name}")
    for name, argument in (("export", "[FILE]"), ("edit", ""), ("editor", ""), ("theme", "[NAME]"))
]


@pytest.mark.parametrize(
    ("text", "column", "typed"),
    [
        ("/", 1, ""),
        ("/ex", 3, "ex"),
        ("/EX", 3, "ex"),
        ("/undo-t", 7, "undo-t"),
        ("/翻译", 3, "翻译"),
        ("/ex", 0, None),
        ("//ex", 4, None),
        ("/etc/hosts", 10, None),
        ("/export md", 10, None),
        ("a /ex", 5, None),
        ("", 0, None),
    ],
)
def test_what_is_a_command_being_typed(text: str, column: int, typed: str | None) -> None:
    assert typed_command(text, column) == typed


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("", ["export", "edit", "editor", "theme"]),
        ("e", ["export", "edit", "editor"]),
        ("edit", ["edit", "editor"]),
        ("editor", ["editor"]),
        ("or", ["export", "editor"]),
        ("zz", []),
    ],
)
def test_matches(typed: str, names: list[str]) -> None:
    assert [entry.name for entry in matching_commands(ENTRIES, typed)] == names


def test_the_common_start() -> None:
    assert common_start(ENTRIES, "ed") == "edit"
    assert common_start(ENTRIES, "e") == "e"
    assert common_start(ENTRIES, "x") == "x"


def menu(app: ChatApp) -> list[str]:
    return app.query_one(CompletionList).options


def drawn(app: ChatApp) -> str:
    return str(app.query_one(CompletionList).content)


async def test_a_slash_lists_all_commands_with_their_arguments(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press("/")
        await wait_until(lambda: len(menu(app)) > 40)
        assert "/export [FORMAT] [FILE]" in menu(app) and "/rename TITLE" in menu(app)
        assert len(drawn(app).splitlines()) == VISIBLE
        for _step in range(VISIBLE + 2):
            await pilot.press("down")
        assert menu(app)[VISIBLE + 2] in drawn(app)
        await pilot.press(*"rena")
        await wait_until(lambda: menu(app) == ["/rename TITLE"])
        assert "rename this conversation" in drawn(app)
        await pilot.press("escape")
        await wait_until(lambda: menu(app) == [])
        assert app.composer.text == "/rena"
        await pilot.press("tab")
        assert app.composer.text == "/rename "


async def test_enter_completes_first_and_runs_what_is_whole(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"/hel", "enter")
        assert app.composer.text == "/help" and not isinstance(app.screen, HelpScreen)
        await pilot.press("enter")
        await wait_until(lambda: isinstance(app.screen, HelpScreen))
        assert app.composer.text == ""


async def test_keys_faster_than_the_menu_run_what_they_say(tmp_path: Path) -> None:
    """They arrive in one read, while the menu still lists what a slash may become."""
    async with window(tmp_path) as (app, pilot):
        await pilot.press("/")
        await wait_until(lambda: menu(app))
        for key in (*"theme", "space", *"nord", "enter"):
            character = {"space": " ", "enter": "\r"}.get(key, key)
            app.composer.post_message(events.Key(key, character))
        await wait_until(lambda: app.theme == "nord")
        assert app.composer.text == ""


async def test_tab_completes_as_far_as_it_is_certain(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await pilot.press(*"/undo-", "tab")
        assert app.composer.text == "/undo-text"
        await pilot.press("ctrl+u", *"/previous", "tab", "tab")
        assert app.composer.text == "/previous"
        await pilot.press("ctrl+u", *"/ar", "tab")
        assert app.composer.text == "/archive"
        await pilot.press("d", "tab")
        assert app.composer.text == "/archived"
        await pilot.press("ctrl+u", *"/qqq", "tab", "x")
        assert app.composer.text == "/qqqx"


def with_prompts(home: Path, url: str, **prompts: str) -> LaunchOptions:
    """Options with a folder of system prompts."""
    settings = load({"QCHAT_HOME": str(home)})
    folder = private_dir(settings.paths.config / "prompts")
    for name, text in prompts.items():
        (folder / f"{name}.md").write_text(text)
    return LaunchOptions(Endpoint(url), None, Sampling(), None, False, "", settings=settings)


async def test_own_prompts_are_commands(tmp_path: Path) -> None:
    start = with_prompts(tmp_path, NOWHERE, Pirate="Speak like a pirate.", new="never")
    with open_store(tmp_path / "data") as store:
        app = ChatApp(lambda: store, start)
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await pilot.press(*"/pir", "tab")
            assert app.composer.text == "/pirate "
            await pilot.press("enter")
            await wait_until(lambda: app.parts.settings.current.system == "Speak like a pirate.")
            assert app.composer.text == "" and app.transcript.messages == []
            await pilot.press(*"/pirate", "space", *"ahoy", "ctrl+j", *"you", "enter")
            await wait_until(lambda: app.transcript.messages)
            assert app.transcript.messages[0].text == "ahoy\nyou"
            await pilot.press(*"/new", "enter")
            await wait_until(lambda: not app.transcript.messages)


def test_a_prompt_that_cannot_be_read_is_a_sentence() -> None:
    command = slash.parse("/Pirate  say\nit", ["pirate"])
    assert command == slash.PromptCommand("pirate", "say\nit")
    assert slash.parse("//pirate", ["pirate"]) == "/pirate"
    assert slash.parse("/new\nline", ["new"]) == "/new\nline"


async def test_a_chip_is_unfolded_by_its_command(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        app.composer.write("x" * 1001)
        await pilot.press("home", *"/unfold", "space", "end", "enter")
        await wait_until(lambda: app.composer.text == "x" * 1001)


def test_placeholders_are_translated() -> None:
    code = "from qchat.tui.actions.table import ACTIONS; print(ACTIONS['rename'].argument)"
    environ = {**os.environ, "QCHAT_LANG": "zh", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout == "标题\n"
