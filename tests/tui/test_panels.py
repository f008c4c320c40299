"""The screens over the conversation: parameters, servers and models, system prompts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList, Static

from qchat import parameters
from qchat.api.endpoint import Endpoint, Secret
from qchat.sampling import Sampling
from qchat.settings import Paths, load
from qchat.store import MessageState
from qchat.store import StoredMessage as Stored
from qchat.system_prompts import Prompts
from qchat.tui.request_settings import DefaultSettings, RequestSettings
from qchat.tui.screens.answer_info import AnswerInfo, rows_of
from qchat.tui.screens.model_picker import ModelChoice, ModelPicker
from qchat.tui.screens.parameters import ParameterInput, ParametersScreen
from qchat.tui.screens.pick_list import PickItem, PickList
from qchat.tui.screens.prompt_picker import PromptChoice, PromptPicker
from qchat.tui.servers.prober import LocalServer

from ..config_file import write_config
from ..faults import Running, running
from .screen_app import ScreenApp, text_of
from .screens import screen_text
from .waiting import wait_until

NOBODY = Endpoint("http://127.0.0.1:9/v1")


def models_of(app: ScreenApp[ModelChoice | None]) -> list[tuple[Endpoint, str | None]]:
    """The servers and models that were picked."""
    return [(choice.endpoint, choice.model) for choice in app.results if choice is not None]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(models=("small", "large"), max_model_len=40_960) as running_server:
        yield running_server


async def test_parameters_with_the_keyboard_alone() -> None:
    changes = [
        RequestSettings.new(DefaultSettings(NOBODY, options=Sampling(seed=5), preset="code"))
    ]
    screen = ParametersScreen(changes[0], changes.append)
    async with ScreenApp(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: isinstance(screen.focused, ParameterInput))
        assert screen.query_one("#value-preset", ParameterInput).placeholder == "code"
        assert text_of(screen, "#origin-preset") == "config.toml"
        assert text_of(screen, "#origin-temperature") == "preset"
        assert text_of(screen, "#origin-seed") == "command line"
        assert text_of(screen, "#origin-min_p") == "server default"
        await pilot.press("down", "right", "down")  # thinking on, which changes the preset's values
        assert changes[-1].sampling.thinking is True
        assert screen.query_one("#value-temperature", ParameterInput).placeholder == "0.6"
        await pilot.press(*"3", "down")
        assert "between 0 and 2, not 3" in text_of(screen, "#error-temperature")
        assert changes[-1].own.temperature is None
        await pilot.press("up")
        await pilot.press("backspace", *"1.5", "enter")
        assert changes[-1].own.temperature == 1.5
        assert text_of(screen, "#error-temperature") == ""
        assert text_of(screen, "#origin-temperature") == "this conversation"
        await pilot.press("up", "ctrl+r", "down")
        assert changes[-1].own.temperature is None
        await pilot.press("f8")
        assert changes[-1].own == Sampling() and changes[-1].preset == "code"
        await pilot.press("escape")
        assert not screen.is_current


def drawn(screen: ParametersScreen) -> str:
    return screen_text(screen)


async def test_names_of_parameters_are_whole_on_a_narrow_screen() -> None:
    screen = ParametersScreen(
        RequestSettings.new(DefaultSettings(NOBODY, preset="code")), lambda _using: None
    )
    async with ScreenApp(screen).run_test(size=(40, 24)):
        await wait_until(lambda: all(name in drawn(screen) for name in parameters.NAMES))


@pytest.mark.parametrize("size", [(40, 15), (80, 12)])
async def test_what_a_parameter_is_stands_there_on_a_short_screen(size: tuple[int, int]) -> None:
    screen = ParametersScreen(RequestSettings.new(DefaultSettings(NOBODY)), lambda _using: None)
    async with ScreenApp(screen).run_test(size=size):
        await wait_until(lambda: isinstance(screen.focused, ParameterInput))
        screen.query_one("#value-stop").focus()
        await wait_until(lambda: "│ stop " in drawn(screen) and "Esc: close" in drawn(screen))


async def test_escape_puts_back_what_was_wrong_and_takes_what_is_right() -> None:
    changes: list[RequestSettings] = []
    screen = ParametersScreen(RequestSettings.new(DefaultSettings(NOBODY)), changes.append)
    async with ScreenApp(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: isinstance(screen.focused, ParameterInput))
        screen.query_one("#value-top_p").focus()
        await pilot.press(*"7", "escape")
        assert screen.is_current and "at most 1" in text_of(screen, "#error-top_p")
        await pilot.press("escape")
        assert screen.is_current and screen.query_one("#value-top_p", ParameterInput).value == ""
        await pilot.press(*"0.7", "escape")
        assert not screen.is_current
    assert [one.own.top_p for one in changes] == [0.7]


async def test_what_is_typed_while_another_value_is_applied_stays() -> None:
    changes: list[RequestSettings] = []
    before = RequestSettings.new(DefaultSettings(NOBODY)).with_preset("code")
    screen = ParametersScreen(before, changes.append)
    async with ScreenApp(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: isinstance(screen.focused, ParameterInput))
        assert screen.query_one("#value-preset", ParameterInput).value == "code"
        first, second, third = (
            screen.query_one(f"#value-{name}", ParameterInput)
            for name in ("top_p", "top_k", "min_p")
        )
        first.focus()
        first.value, second.value, third.value = "0.50", "7", "0.1"  # faster than it is taken
        third.focus()
        await wait_until(lambda: changes)
        assert (first.value, second.value, third.value) == ("0.5", "7", "0.1")
        await pilot.press("escape")
        assert not screen.is_current
    last = changes[-1].own
    assert (last.top_p, last.top_k, last.min_p) == (0.5, 7, 0.1)


@pytest.mark.parametrize("size", [(80, 24), (10, 2)])
async def test_parameters_on_any_size(size: tuple[int, int]) -> None:
    screen = ParametersScreen(RequestSettings.new(DefaultSettings(NOBODY)), lambda _using: None)
    async with ScreenApp(screen).run_test(size=size) as pilot:
        await wait_until(lambda: isinstance(screen.focused, ParameterInput))
        if size == (80, 24):
            last = screen.query_one("#value-stop")
            assert last.region.bottom <= 24 and last.region.height == 1
        await pilot.press("up")
        assert screen.focused is screen.query_one("#value-stop")


async def test_servers_are_looked_at_and_one_is_chosen(tmp_path: Path, server: Running) -> None:
    write_config(
        tmp_path,
        f'[servers.lab]\nbase_url = "{server.url}"\n'
        '[servers.shut]\nbase_url = "http://127.0.0.1:1"\napi_key_env = "NO_SUCH_KEY"\n',
    )
    settings = load({"QCHAT_HOME": str(tmp_path)})
    screen = ModelPicker(settings, NOBODY)
    app = ScreenApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        options = screen.query_one(OptionList)

        def lines() -> list[str]:
            return [str(option.prompt) for option in options.options]

        await wait_until(lambda: any("large" in line for line in lines()))
        await wait_until(lambda: any("Nothing answers" in line for line in lines()))
        assert any("● lab" in line and " ms" in line for line in lines())
        assert any("○ shut" in line and "NO_SUCH_KEY is not set" in line for line in lines())
        assert any("large" in line and "40,960 tokens" in line for line in lines())
        screen.query_one(Input).value = "large"
        await pilot.press("enter")
        assert [(one.name, model) for one, model in models_of(app)] == [("lab", "large")]
        assert not screen.is_current


async def test_a_server_with_several_models_asks_which(server: Running) -> None:
    screen = ModelPicker(None, Endpoint(server.base_url))
    app = ScreenApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: screen.query_one(OptionList).option_count == 3)
        await pilot.press("enter")
        assert "several models" in text_of(screen, ".said") and app.results == []
        await pilot.press("down", "enter")
        assert models_of(app)[0][1] == "small"


async def test_a_model_that_is_listed_twice_is_one() -> None:
    with running(models=("demo", "demo", "demo\x1b[2J")) as server:
        screen = ModelPicker(None, Endpoint(server.base_url))
        async with ScreenApp(screen).run_test(size=(80, 24)):
            options = screen.query_one(OptionList)
            await wait_until(lambda: options.option_count > 1)
            assert [str(option.prompt).split()[0] for option in options.options[1:]] == [
                "demo",
                "demo",
            ]


async def test_the_same_address_with_a_key_is_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k" * 32
    with running(api_key=key) as guarded:
        keyed = Endpoint(guarded.base_url, api_key=Secret(key))
        mine = [LocalServer("mine", keyed)]
        monkeypatch.setattr(
            "qchat.tui.screens.model_picker.running_servers", lambda _settings: iter(mine)
        )
        settings = load({"QCHAT_HOME": str(tmp_path)})
        screen = ModelPicker(settings, Endpoint(guarded.base_url))
        app = ScreenApp(screen)
        async with app.run_test(size=(80, 24)) as pilot:
            options = screen.query_one(OptionList)
            await wait_until(lambda: options.option_count == 3)  # the two, and the one's model
            await pilot.press("down", "enter")
            assert [one for one, _model in models_of(app)] == [keyed]


async def test_the_mark_stays_at_the_first_line_until_it_is_moved() -> None:
    screen = PickList("", [PickItem("b", "b"), PickItem("c", "c")], placeholder="", note="")
    async with ScreenApp(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: screen.highlighted_key == "b")
        screen.set_items([PickItem("a", "a"), PickItem("b", "b"), PickItem("c", "c")])
        assert screen.highlighted_key == "a"
        await pilot.press("down")
        screen.set_items([PickItem("0", "0"), PickItem("a", "a"), PickItem("b", "b")])
        assert screen.highlighted_key == "b"


async def test_names_that_a_server_made_up_are_text_and_leave_room_for_the_values() -> None:
    usage = {"\x1b]0;mine\x07evil\n": 1, "x" * 3_000: 2, "prompt_tokens": 3}
    screen = AnswerInfo(
        rows_of(Stored(1, "c", None, "assistant", "", None, MessageState.STOPPED, 0.0, usage=usage))
    )
    async with ScreenApp(screen).run_test(size=(80, 24)):
        lines = [str(line.content) for line in screen.query(Static)]
        assert any(line.split() == ["evil", "1"] for line in lines)
        tokens = next(line for line in lines if line.startswith("prompt_tokens"))
        assert tokens.endswith(" 3") and len(tokens) < 60
        assert "\x1b" not in "".join(lines)


async def test_an_address_is_typed(server: Running) -> None:
    screen = ModelPicker(None, NOBODY)
    app = ScreenApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        screen.query_one(Input).value = "ftp://x"
        await pilot.press("enter")
        assert "must start with http" in text_of(screen, ".said")
        assert screen.query_one(".said").display and "F8" in text_of(screen, ".note")
        screen.query_one(Input).value = ""
        await wait_until(lambda: not screen.query_one(".said").display)
        screen.query_one(Input).value = server.url
        await pilot.press("enter")
        options = screen.query_one(OptionList)
        assert screen.highlighted_key == "1" and "press Enter to use it" in text_of(screen, ".said")
        await wait_until(lambda: options.option_count == 4)
        assert screen.highlighted_key == "1"
        screen.query_one(Input).value = "small"
        await pilot.press("enter")
        assert [(one.base_url, model) for one, model in models_of(app)] == [
            (server.base_url, "small")
        ]


async def test_system_prompts_are_chosen_edited_and_named(tmp_path: Path) -> None:
    prompts = Prompts(Paths.find({"QCHAT_HOME": str(tmp_path)}))
    prompts.write("french", "Answer in French.")
    (prompts.folder / "broken.md").write_bytes(b"\xff")
    (prompts.folder / "empty.md").write_bytes(b"")

    async def pick(typed: str, *keys: str, note: str = "no name") -> PromptChoice | None:
        screen = PromptPicker(prompts, "Answer in French.")
        app = ScreenApp(screen)
        async with app.run_test(size=(80, 24)) as pilot:
            assert "● french" in str(screen.query_one(OptionList).options[-1].prompt)
            screen.query_one(Input).value = typed
            await pilot.press(*keys)
            assert app.results or note in text_of(screen, ".said")
            return app.results[0] if app.results else None

    assert await pick("", "enter") == PromptChoice(None)
    assert await pick("fren", "enter") == PromptChoice("french")
    assert await pick("fren", "ctrl+e") == PromptChoice("french", edit=True)
    assert await pick("broken", "enter", note="is not UTF-8") is None
    assert await pick("empty", "enter") == PromptChoice("empty", edit=True)
    assert await pick("new one", "enter") == PromptChoice("new one", edit=True)
    assert await pick("../x", "enter") is None
    assert await pick("n" * 253, "enter", note="252 bytes at most") is None
