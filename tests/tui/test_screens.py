"""The main screens as a person sees them, and the themes."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.color import Color

from qchat.api.endpoint import Endpoint
from qchat.sampling import Sampling
from qchat.settings import TuiSettings, load
from qchat.store import MessageState, open_store
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.theme_picker import ThemePicker
from qchat.tui.themes import THEMES, first_theme

from ..config_file import write_config
from ..faults import running
from .chat_app import NOWHERE, chat, hits, listed, texts, toasts, type_in, window
from .screens import assert_screen, screen, strips
from .waiting import wait_until

NOW = 1_772_452_800.0  # 2026-03-02 12:00 UTC
DAY = 86_400
ANSWER = """Light *scatters*, and **blue** most:

1. It comes from the sun.
2. Air turns it aside.

| colour | nm |
|---|---|
| 蓝色 | 450 |

```python
print("blue")
```
"""


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        patch.delenv("NO_COLOR", raising=False)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    """A store with conversations of several days; the last one is the newest."""
    now = [NOW - 30 * DAY]
    with open_store(tmp_path, clock=lambda: now[0]) as store:
        for days, title in [
            (30, "A plan for the garden, from the soil to the last frost"),
            (5, "知识图谱是什么？"),
            (1, "Tests in Rust"),
            (0.1, "[b]Brackets[/b] \x1b[31m are text"),
            (0.05, "Why is the sky blue?"),
        ]:
            now[0] = NOW - days * DAY
            made = store.conversations.create(title=title)
            store.messages.add(made.id, "user", f"{title} Tell me about 图谱.")
            answer = store.messages.begin(made.id, model="demo")
            store.messages.finish(answer.id, MessageState.COMPLETE, ANSWER)
            if days == 5:
                store.conversations.pin(made.id)
    return tmp_path


async def opened(app: ChatApp) -> None:
    await wait_until(lambda: app.conversation.is_open and app.parts.monitor.reachable is False)
    app.parts.sidebar.clock = lambda: NOW
    await wait_until(lambda: len(texts(app)) == 2)


async def test_nothing_yet(tmp_path: Path) -> None:
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: "Start a server" in screen(app))
            await pilot.pause()
            await assert_screen(app, "nothing-yet")


async def test_a_conversation_and_the_list(store_folder: Path) -> None:
    with chat(store_folder, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(120, 24)) as pilot:
            await opened(app)
            await wait_until(lambda: len(listed(app)) == 5)
            await app.parts.sidebar.read()
            await pilot.pause()
            await assert_screen(app, "conversation-wide")
            await pilot.resize_terminal(80, 24)
            await wait_until(lambda: not app.parts.sidebar.display)
            await pilot.pause()
            await assert_screen(app, "conversation")
            await pilot.press("ctrl+l", "down")
            await pilot.pause()
            await assert_screen(app, "list-over")


@pytest.mark.parametrize("size", [(40, 16), (40, 24), (200, 40)])
async def test_a_conversation_in_other_windows(store_folder: Path, size: tuple[int, int]) -> None:
    with chat(store_folder, NOWHERE, go_on=True) as app:
        async with app.run_test(size=size):
            await opened(app)
            if size[0] >= 100:
                await wait_until(lambda: len(listed(app)) == 5)
            await assert_screen(app, f"conversation-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [(40, 24), (120, 24), (200, 40)])
async def test_the_first_screen(tmp_path: Path, size: tuple[int, int]) -> None:
    with running(models=["Qwen3-8B"]) as server, open_store(tmp_path) as store:
        lab = Endpoint(server.base_url, name="lab")
        app = ChatApp(lambda: store, LaunchOptions(lab, None, Sampling(), None, False, ""))
        async with app.run_test(size=size):
            await wait_until(lambda: "Try" in screen(app))
            await assert_screen(app, f"first-{size[0]}x{size[1]}")


async def test_the_first_screen_in_another_window(tmp_path: Path) -> None:
    with running(models=["Qwen3-8B"]) as server, open_store(tmp_path) as store:
        lab = Endpoint(server.base_url, name="lab")
        app = ChatApp(lambda: store, LaunchOptions(lab, None, Sampling(), None, False, ""))
        async with app.run_test(size=(40, 24)) as pilot:
            await wait_until(lambda: "Try" in screen(app))
            for width, height in ((200, 40), (120, 24), (40, 24)):
                await pilot.resize_terminal(width, height)
                await assert_screen(app, f"first-{width}x{height}")
            for width in (200, 7, 6, 5, 1, 40):  # in some there is no room for the composer
                await pilot.resize_terminal(width, 24)
                await pilot.pause()
            await assert_screen(app, "first-40x24")


async def test_search_palette_and_help(store_folder: Path) -> None:
    with chat(store_folder, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await opened(app)
            await pilot.press("ctrl+f", *"图谱")
            await wait_until(lambda: len(hits(app)) == 6)
            await pilot.press("down")
            await pilot.pause()
            await assert_screen(app, "search")
            await pilot.press("escape", "ctrl+p", *"arch")
            await wait_until(lambda: "unarchive this conversation" in screen(app))
            assert "No matches" not in screen(app)
            await pilot.press("escape", "f1")
            await wait_until(lambda: "Keys and commands" in screen(app))
            assert "new text" not in screen(app)


async def test_every_theme(store_folder: Path) -> None:
    with chat(store_folder, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(120, 24)) as pilot:
            await opened(app)
            await wait_until(lambda: len(listed(app)) == 5)
            colour_sets = set()
            for name in THEMES:
                await type_in(app, f"/theme {name}")
                await wait_until(lambda n=name: app.theme == n)
                await pilot.pause()
                colours = {
                    style.color.name
                    for strip in strips(app.screen)
                    for _text, style, _control in strip
                    if style is not None and style.color is not None
                }
                assert (colours == {"default"}) == (name == "no-color"), (name, colours)
                colour_sets.add(frozenset(colours))
            assert len(colour_sets) == len(THEMES)
            await type_in(app, "/theme pink")
            await wait_until(lambda: "pink" in toasts(app))
            assert app.theme == name


async def test_the_list_of_themes_shows_each_before_it_is_chosen(tmp_path: Path) -> None:
    async with window(tmp_path) as (app, pilot):
        await type_in(app, "/theme")
        await wait_until(lambda: isinstance(app.screen, ThemePicker))
        await pilot.press("down")
        await wait_until(lambda: app.theme == "light")
        await pilot.press("escape")
        await wait_until(lambda: app.theme == "dark")
        await type_in(app, "/theme")
        await wait_until(lambda: isinstance(app.screen, ThemePicker))
        await pilot.press(*"gruv", "enter")
        await wait_until(lambda: app.theme == "gruvbox")


def test_the_theme_to_begin_with() -> None:
    assert first_theme("auto", no_color=False, dark=False) == "light"
    assert first_theme("auto", no_color=False) == "dark"
    assert first_theme("auto", no_color=True) == "no-color"
    assert first_theme("light", no_color=True) == "light"


def test_every_theme_can_be_set(tmp_path: Path) -> None:
    for name in ("auto", *THEMES):
        write_config(tmp_path, f'[tui]\ntheme = "{name}"\n')
        assert load({"QCHAT_HOME": str(tmp_path)}).tui.theme == name


@pytest.mark.parametrize(("name", "dark"), [("light", False), ("high-contrast", True)])
async def test_the_theme_of_the_settings_is_the_first(
    tmp_path: Path, name: str, dark: bool
) -> None:
    with open_store(tmp_path) as store:
        start = LaunchOptions(
            Endpoint(NOWHERE), None, Sampling(), None, False, "", TuiSettings(theme=name)
        )
        app = ChatApp(lambda: store, start)
        async with app.run_test(size=(80, 24)):
            assert app.theme == name
            assert app.has_class("-dark-mode") is dark
            assert app.screen.styles.background == Color.parse(THEMES[name].background or "")
