"""The screens over the conversation: parameters, servers and models, system prompts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.app import App
from textual.screen import Screen
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
from qchat.tui.screens.parameters import ParametersScreen, Value
from qchat.tui.screens.pick_list import PickItem, PickList
from qchat.tui.screens.prompt_picker import PromptChoice, PromptPicker, wish
from qchat.tui.servers.prober import LocalServer

from ..config_file import write_config
from ..faults import Running, running
from .waiting import wait_until

NOBODY = Endpoint("http://127.0.0.1:9/v1")


class Bare(App[None]):
    """An app under the screen."""

    def __init__(self, screen: Screen[object]) -> None:
        super().__init__()
        self._over = screen
        self.results: list[object] = []

    def on_mount(self) -> None:
        self.push_screen(self._over, self.results.append)


def said(screen: Screen[object], selector: str) -> str:
    return str(screen.query_one(selector, Static).content)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(models=("small", "large"), max_model_len=40_960) as found:
        yield found


async def test_parameters_with_the_keyboard_alone() -> None:
    using = [RequestSettings.new(DefaultSettings(NOBODY, options=Sampling(seed=5), preset="code"))]
    screen = ParametersScreen(using[0], using.append)
    async with Bare(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: isinstance(screen.focused, Value))
        assert screen.query_one("#value-preset", Value).placeholder == "code"
        assert said(screen, "#origin-preset") == "config.toml"
        assert said(screen, "#origin-temperature") == "the preset"
        assert said(screen, "#origin-seed") == "the command line"
        assert said(screen, "#origin-min_p") == "the server's own"
        await pilot.press("down", "right", "down")  # thinking on, which changes the preset's values
        assert using[-1].sampling.thinking is True
        assert screen.query_one("#value-temperature", Value).placeholder == "0.6"
        await pilot.press(*"3", "down")
        assert "between 0 and 2, not 3" in said(screen, "#said-temperature")
        assert using[-1].own.temperature is None
        await pilot.press("up")
        await pilot.press("backspace", *"1.5", "enter")
        assert using[-1].own.temperature == 1.5
        assert said(screen, "#said-temperature") == ""
        assert said(screen, "#origin-temperature") == "this conversation"
        await pilot.press("up", "ctrl+r", "down")
        assert using[-1].own.temperature is None
        await pilot.press("f8")
        assert using[-1].own == Sampling() and using[-1].preset == "code"
        await pilot.press("escape")
        assert not screen.is_current


def drawn(screen: ParametersScreen) -> str:
    return "\n".join(strip.text for strip in screen._compositor.render_strips())


async def test_names_of_parameters_are_whole_on_a_narrow_screen() -> None:
    screen = ParametersScreen(
        RequestSettings.new(DefaultSettings(NOBODY, preset="code")), lambda _using: None
    )
    async with Bare(screen).run_test(size=(40, 24)):
        await wait_until(lambda: all(name in drawn(screen) for name in parameters.NAMES))


@pytest.mark.parametrize("size", [(40, 15), (80, 12)])
async def test_what_a_parameter_is_stands_there_on_a_short_screen(size: tuple[int, int]) -> None:
    screen = ParametersScreen(RequestSettings.new(DefaultSettings(NOBODY)), lambda _using: None)
    async with Bare(screen).run_test(size=size):
        await wait_until(lambda: isinstance(screen.focused, Value))
        screen.query_one("#value-stop").focus()
        await wait_until(lambda: "│ stop " in drawn(screen) and "Esc closes" in drawn(screen))


async def test_escape_puts_back_what_was_wrong_and_takes_what_is_right() -> None:
    using: list[RequestSettings] = []
    screen = ParametersScreen(RequestSettings.new(DefaultSettings(NOBODY)), using.append)
    async with Bare(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: isinstance(screen.focused, Value))
        screen.query_one("#value-top_p").focus()
        await pilot.press(*"7", "escape")
        assert screen.is_current and "at most 1" in said(screen, "#said-top_p")
        await pilot.press("escape")
        assert screen.is_current and screen.query_one("#value-top_p", Value).value == ""
        await pilot.press(*"0.7", "escape")
        assert not screen.is_current
    assert [one.own.top_p for one in using] == [0.7]


async def test_what_is_typed_while_another_value_is_taken_stays() -> None:
    using: list[RequestSettings] = []
    before = RequestSettings.new(DefaultSettings(NOBODY)).with_preset("code")
    screen = ParametersScreen(before, using.append)
    async with Bare(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: isinstance(screen.focused, Value))
        assert screen.query_one("#value-preset", Value).value == "code"
        first, second, third = (
            screen.query_one(f"#value-{name}", Value) for name in ("top_p", "top_k", "min_p")
        )
        first.focus()
        first.value, second.value, third.value = "0.50", "7", "0.1"  # faster than it is taken
        third.focus()
        await wait_until(lambda: using)
        assert (first.value, second.value, third.value) == ("0.5", "7", "0.1")
        await pilot.press("escape")
        assert not screen.is_current
    last = using[-1].own
    assert (last.top_p, last.top_k, last.min_p) == (0.5, 7, 0.1)


@pytest.mark.parametrize("size", [(80, 24), (10, 2)])
async def test_parameters_on_any_size(size: tuple[int, int]) -> None:
    screen = ParametersScreen(RequestSettings.new(DefaultSettings(NOBODY)), lambda _using: None)
    async with Bare(screen).run_test(size=size) as pilot:
        await wait_until(lambda: isinstance(screen.focused, Value))
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
    chosen: list[ModelChoice] = []
    screen = ModelPicker(settings, NOBODY, chosen.append)
    async with Bare(screen).run_test(size=(80, 24)) as pilot:
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
        assert [(one.endpoint.name, one.model) for one in chosen] == [("lab", "large")]
        assert not screen.is_current


async def test_a_server_with_several_models_asks_which(server: Running) -> None:
    chosen: list[ModelChoice] = []
    screen = ModelPicker(None, Endpoint(server.base_url), chosen.append)
    async with Bare(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: screen.query_one(OptionList).option_count == 3)
        await pilot.press("enter")
        assert "several models" in said(screen, ".note") and chosen == []
        await pilot.press("down", "enter")
        assert chosen[0].model == "small"


async def test_a_model_that_is_listed_twice_is_one() -> None:
    with running(models=("demo", "demo", "demo\x1b[2J")) as server:
        screen = ModelPicker(None, Endpoint(server.base_url), lambda _choice: None)
        async with Bare(screen).run_test(size=(80, 24)):
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
        chosen: list[ModelChoice] = []
        settings = load({"QCHAT_HOME": str(tmp_path)})
        screen = ModelPicker(settings, Endpoint(guarded.base_url), chosen.append)
        async with Bare(screen).run_test(size=(80, 24)) as pilot:
            options = screen.query_one(OptionList)
            await wait_until(lambda: options.option_count == 3)  # the two, and the one's model
            await pilot.press("down", "enter")
            assert [one.endpoint for one in chosen] == [keyed]


async def test_the_mark_stays_at_the_first_line_until_it_is_moved() -> None:
    screen = PickList("", [PickItem("b", "b"), PickItem("c", "c")], hint="", note="")
    async with Bare(screen).run_test(size=(80, 24)) as pilot:
        await wait_until(lambda: screen.marked == "b")
        screen.show([PickItem("a", "a"), PickItem("b", "b"), PickItem("c", "c")])
        assert screen.marked == "a"
        await pilot.press("down")
        screen.show([PickItem("0", "0"), PickItem("a", "a"), PickItem("b", "b")])
        assert screen.marked == "b"


async def test_names_that_a_server_made_up_are_text_and_leave_room_for_the_values() -> None:
    usage = {"\x1b]0;mine\x07evil\n": 1, "x" * 3_000: 2, "prompt_tokens": 3}
    screen = AnswerInfo(
        rows_of(Stored(1, "c", None, "assistant", "", None, MessageState.STOPPED, 0.0, usage=usage))
    )
    async with Bare(screen).run_test(size=(80, 24)):
        lines = [str(line.content) for line in screen.query(Static)]
        assert any(line.split() == ["evil", "1"] for line in lines)
        tokens = next(line for line in lines if line.startswith("prompt_tokens"))
        assert tokens.endswith(" 3") and len(tokens) < 60
        assert "\x1b" not in "".join(lines)


async def test_an_address_is_typed(server: Running) -> None:
    chosen: list[ModelChoice] = []
    screen = ModelPicker(None, NOBODY, chosen.append)
    async with Bare(screen).run_test(size=(80, 24)) as pilot:
        screen.query_one(Input).value = "ftp://x"
        await pilot.press("enter")
        assert "must start with http" in said(screen, ".note")
        screen.query_one(Input).value = server.url
        await pilot.press("enter")
        options = screen.query_one(OptionList)
        assert screen.marked == "1" and "Enter takes it" in said(screen, ".note")
        await wait_until(lambda: options.option_count == 4)
        assert screen.marked == "1"
        screen.query_one(Input).value = "small"
        await pilot.press("enter")
        assert [(one.endpoint.base_url, one.model) for one in chosen] == [
            (server.base_url, "small")
        ]


async def test_system_prompts_are_chosen_edited_and_named(tmp_path: Path) -> None:
    prompts = Prompts(Paths.find({"QCHAT_HOME": str(tmp_path)}))
    prompts.write("french", "Answer in French.")
    (prompts.folder / "broken.md").write_bytes(b"\xff")
    (prompts.folder / "empty.md").write_bytes(b"")

    async def pick(typed: str, *keys: str, words: str = "no name") -> PromptChoice | None:
        screen = PromptPicker(prompts, "Answer in French.")
        app = Bare(screen)
        async with app.run_test(size=(80, 24)) as pilot:
            assert "● french" in str(screen.query_one(OptionList).options[-1].prompt)
            screen.query_one(Input).value = typed
            await pilot.press(*keys)
            assert app.results or words in said(screen, ".note")
            return wish(str(app.results[0])) if app.results else None

    assert await pick("", "enter") == PromptChoice(None)
    assert await pick("fren", "enter") == PromptChoice("french")
    assert await pick("fren", "ctrl+e") == PromptChoice("french", edit=True)
    assert await pick("broken", "enter", words="is not UTF-8") is None
    assert await pick("empty", "enter") == PromptChoice("empty", edit=True)
    assert await pick("new one", "enter") == PromptChoice("new one", edit=True)
    assert await pick("../x", "enter") is None
    assert await pick("n" * 253, "enter", words="252 bytes at most") is None
