"""Typing the API key of a server in the list of servers."""

from pathlib import Path

from textual.widgets import Input, OptionList

from qchat.api import endpoint as endpoints
from qchat.api.endpoint import Endpoint, Secret
from qchat.settings import load
from qchat.tui.screens.key_prompt import KeyPrompt
from qchat.tui.screens.model_picker import ModelPicker

from ..config_file import write_config
from ..faults import running
from .screen_app import ScreenApp, text_of
from .waiting import wait_until

KEY = "k" * 32


async def test_a_key_is_typed_and_kept(tmp_path: Path) -> None:
    with running(api_key=KEY) as server:
        settings = load({"QCHAT_HOME": str(tmp_path)})
        screen = ModelPicker(settings, Endpoint(server.base_url))
        app = ScreenApp(screen)
        async with app.run_test(size=(100, 24)) as pilot:
            options = screen.query_one(OptionList)
            await wait_until(lambda: "401" in drawn(options) or "key" in drawn(options))
            await pilot.press("enter")  # it wants a key
            await wait_until(lambda: isinstance(app.screen, KeyPrompt))
            await pilot.press(*"two words", "enter")
            assert isinstance(app.screen, KeyPrompt) and "one word" in text_of(app.screen, ".note")
            app.screen.query_one(Input).value = KEY
            assert KEY not in str(app.screen.query_one(Input).render_line(0).text)
            await pilot.press("enter")
            await wait_until(lambda: "●" in drawn(options))
            assert "Kept in" in text_of(screen, ".said")
            await pilot.press("enter")
            await wait_until(lambda: app.results)
        assert app.results[0].endpoint.api_key == Secret(KEY)
        endpoint = endpoints.resolve(settings, base_url=server.base_url)
        assert endpoint is not None and endpoint.api_key == Secret(KEY)


async def test_escape_types_none_and_a_configured_key_is_named(tmp_path: Path) -> None:
    with running(api_key=KEY) as server:
        write_config(
            tmp_path, f'[servers.lab]\nbase_url = "{server.url}"\napi_key_env = "LAB_KEY"\n'
        )
        settings = load({"QCHAT_HOME": str(tmp_path), "LAB_KEY": "wrong"})
        endpoint = endpoints.resolve(settings)
        assert endpoint is not None
        screen = ModelPicker(settings, endpoint)
        app = ScreenApp(screen)
        async with app.run_test(size=(120, 24)) as pilot:
            options = screen.query_one(OptionList)
            await wait_until(lambda: "○ lab" in drawn(options))
            await pilot.press("f8")
            await wait_until(lambda: isinstance(app.screen, KeyPrompt))
            await pilot.press("escape")
            await wait_until(lambda: app.screen is screen)
            assert not (tmp_path / "config" / "keys").exists()
            await pilot.press("f8", *KEY, "enter")
            await wait_until(lambda: "● lab" in drawn(options))
            assert "config.toml:3 names another key" in text_of(screen, ".said")


def drawn(options: OptionList) -> str:
    return "\n".join(str(option.prompt) for option in options.options)
