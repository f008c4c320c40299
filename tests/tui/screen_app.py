"""An app that shows one screen over the conversation, and its results."""

from typing import Generic, TypeVar

from textual.app import App
from textual.screen import Screen
from textual.widgets import Static

Result = TypeVar("Result")


class ScreenApp(App[None], Generic[Result]):
    """An app that shows one screen, and its results."""

    def __init__(self, screen: Screen[Result]) -> None:
        super().__init__()
        self._pushed = screen
        self.results: list[Result | None] = []

    def on_mount(self) -> None:
        self.push_screen(self._pushed, self.results.append)


def text_of(screen: Screen[object], selector: str) -> str:
    """The text of a screen's label."""
    return str(screen.query_one(selector, Static).content)
