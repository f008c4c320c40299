"""What the parts of the chat see of its window, and the message that asks it to redraw."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

R = TypeVar("R")


class StateChanged(Message):
    """Something that the status line, the notes or the sidebar show has changed."""

    def can_replace(self, message: Message) -> bool:
        """Redraw once for several changes in a row."""
        return isinstance(message, StateChanged)


class Window(Protocol):
    """The window as its parts see it. All methods are called on its event loop."""

    @property
    def size(self) -> Size:
        """Columns and rows."""
        ...

    def say(self, text: str, *, error: bool = False, seconds: float = 4) -> None:
        """Show a sentence in the corner for some seconds."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background; report its exception."""
        ...

    def follow(self, work: Awaitable[object]) -> None:
        """Report the exception of something that has been started already."""
        ...

    def supervise(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` for as long as the window is open; report its exception and restart it."""
        ...

    def push_screen(
        self, screen: Screen[R], callback: Callable[[R | None], None] | None = None
    ) -> object:
        """Show a screen on top; `callback` gets its result."""
        ...

    def set_interval(self, interval: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` every `interval` seconds."""
        ...

    def post_message(self, message: Message) -> bool:
        """Queue a message for the window."""
        ...

    def exit(self, result: int) -> None:
        """Close the window with this exit code."""
        ...
