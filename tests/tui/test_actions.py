"""The table of actions: every row works, and what config.toml says about keys is checked."""

import inspect
from pathlib import Path

import pytest
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

from qchat.api.endpoint import Endpoint
from qchat.errors import UsageError
from qchat.sampling import Sampling
from qchat.store import Store
from qchat.tui.actions import slash
from qchat.tui.actions.action import GROUPS
from qchat.tui.actions.keymap import Keymap
from qchat.tui.actions.table import ACTIONS, ROWS, SLASHES
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions

from .chat_app import NOWHERE, chat, keymap
from .screens import screen
from .waiting import wait_until


def closed() -> Store:
    raise UsageError("no store")


def test_no_key_is_another_one_to_a_terminal() -> None:
    for action in ACTIONS.values():
        for key in action.keys.split(","):
            letter = key.removeprefix("alt+")
            if len(letter) == 1 and letter != key:
                assert f"\x1b{letter}" not in ANSI_SEQUENCES_KEYS, key


def test_every_action_has_a_handler_that_takes_what_it_gets() -> None:
    start = LaunchOptions(Endpoint("http://127.0.0.1:9/v1"), None, Sampling(), None, False, "")
    app = ChatApp(closed, start)
    assert set(app.handlers) == set(ACTIONS)
    for action in ACTIONS.values():
        inspect.signature(app.handlers[action.name].run).bind("text")
        assert action.group in GROUPS and action.about
        assert action.keys or action.slash


def test_names_keys_and_commands_are_there_once() -> None:
    slashes = [action.slash for action in ROWS if not action.place]
    assert len(ACTIONS) == len(ROWS) and len(SLASHES) == len(slashes)
    every = [key for action in ROWS for key in action.keys.split(",") if key]
    assert len(set(every)) == len(every)
    for place in ("", "list"):
        rows = [action for action in ROWS if action.place == place]
        keys = [key for action in rows for key in action.keys.split(",") if key]
        assert keys and [binding.key for binding in Keymap().bindings(place)] == keys


def test_keys_are_what_config_toml_says(tmp_path: Path) -> None:
    keys = keymap(tmp_path, 'new = "Ctrl+Alt+N, f11"\nretry = ""\nleave = "ctrl+r"')
    assert keys.keys("new") == ("alt+ctrl+n", "f11")
    assert keys.keys("retry") == () and keys.shown("retry") == "/retry"
    assert keys.keys("leave") == ("ctrl+r",) and keys.shown("leave") == "Ctrl+R"
    assert keys.keys("help") == ("f1",)
    row = next(line for line in keys.help_text().splitlines() if "`/new`" in line)
    assert row.startswith("| Alt+Ctrl+N, F11 |")
    bound = {binding.key: binding.action for binding in keys.bindings()}
    assert bound["alt+ctrl+n"] == bound["f11"] == "app.do('new')" and "ctrl+n" not in bound


async def test_the_status_line_names_the_key_that_helps(tmp_path: Path) -> None:
    with chat(tmp_path, NOWHERE, keys=keymap(tmp_path, 'help = "f9"')) as app:
        async with app.run_test(size=(100, 24)):
            await wait_until(lambda: "F9 help" in screen(app))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('nwe = "f11"', ["'nwe'", "'new'"]),
        ('zzzzz = "f11"', ["'zzzzz'", "page_up"]),
        ('new = "ctrl+nn"', ["'ctrl+nn'", "not a key"]),
        ('new = "cmd+n"', ["not a key"]),
        ('new = "ctrl+"', ["not a key"]),
        ('new = "ctrl+i"', ["ctrl+i", "Tab"]),
        ('new = "f11, ctrl+m"', ["ctrl+m", "Enter"]),
        ('new = "ctrl+["', ["ctrl+[", "Escape"]),
        ('new = "n"', ["editing"]),
        ('new = "?"', ["editing"]),
        ('new = "enter"', ["editing"]),
        ('new = "ctrl+r"', ["ctrl+r", "retry"]),
        ('new = "f1"', ["f1", "help"]),
        ('list_pin = "f2"', ["f2", "unfold"]),
        ("new = 3", ["quotes"]),
    ],
)
def test_keys_that_cannot_be(tmp_path: Path, line: str, expected: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        keymap(tmp_path, line)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'config' / 'config.toml'}:2: ")
    assert all(word in text for word in expected), text


def test_a_clash_names_the_line_that_made_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"config.toml:3: f11 is already bound to retry"):
        keymap(tmp_path, 'retry = "f11"\nnew = "f11"')


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [("/new", "new", ""), ("/NEW  ", "new", ""), ("/quit\n", "leave", "")],
)
def test_commands(text: str, name: str, argument: str) -> None:
    command = slash.parse(text)
    assert isinstance(command, slash.SlashCommand)
    assert (command.action.name, command.argument) == (name, argument)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("hello /new", "hello /new"),
        ("//new", "/new"),
        ("// a comment", "// a comment"),
        ("//comment", "//comment"),
        ("/usr/bin/python", "/usr/bin/python"),
        ("/new\nline", "/new\nline"),
        ("/ what", "/ what"),
        ("/", "/"),
    ],
)
def test_what_is_no_command_is_text(text: str, sent: str) -> None:
    assert slash.parse(text) == sent


@pytest.mark.parametrize(
    ("text", "expected"),
    [("/nwe", "/new"), ("/new thing", "takes no argument"), ("/qqqqq", "Enter again")],
)
def test_what_looks_like_a_command(text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        slash.parse(text)
