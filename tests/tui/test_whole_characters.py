"""Wide characters stay whole where something lies over other widgets."""

from collections.abc import Sequence
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import Static

from qchat.store import StoredConversation
from qchat.tui.actions.palette import PaletteCommands, open_palette
from qchat.tui.app import ChatScreen
from qchat.tui.screens.confirmation import Confirmation
from qchat.tui.whole_characters import WholeCharacters, keep_whole

from .chat_app import keymap
from .screens import screen_text


class Covered(App[None]):
    """A text over widgets that begin and end below it."""

    CSS = """
    Screen { layers: default over; }
    #under { margin: 0 0 0 2; width: 9; }
    #over { layer: over; position: absolute; width: 8; height: 2; }
    """

    def compose(self) -> ComposeResult:
        yield Static("lef里面!\n" * 3, id="under")
        yield Static(" 回车打\n一二三四", id="over")


async def test_a_text_over_the_edges_of_others_loses_nothing() -> None:
    app = Covered()
    async with app.run_test(size=(20, 5)) as pilot:
        keep_whole(app.screen)
        app.screen.refresh(layout=True)
        await pilot.pause()
        # Of the character that is half covered nothing is left; the third row is not covered.
        lines = screen_text(app.screen).splitlines()
        assert lines[:3] == [" 回车打  !", "一二三四 !", "  lef里面!"]


async def test_the_screens_of_the_chat_keep_them_whole(tmp_path: Path) -> None:
    async def no_conversations() -> Sequence[StoredConversation]:
        return ()

    commands = PaletteCommands(
        keymap(tmp_path, ""), lambda action: None, no_conversations, lambda key: None
    )
    for screen in (ChatScreen(), Confirmation("?", "yes"), open_palette(commands)):
        assert isinstance(screen._compositor, WholeCharacters)
